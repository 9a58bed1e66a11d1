"""Where the operators' endpoints are, and what the documentation says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pricing.api.access import Endpoint
from pricing.api.admin import Admin
from pricing.api.letters import Letters
from pricing.api.operations import BODY_PROBLEMS, Operation, add, reference
from pricing.api.operator_schemas import (
    Breakers,
    ForceOpen,
    LetterOutcome,
    LettersQuery,
    Listing,
    OneBreaker,
    OverrideAnswer,
    PageQuery,
    Report,
    ReportQuery,
    SetLevel,
    SetLevelQuery,
)
from pricing.api.operator_schemas import Letters as LettersAnswer
from pricing.api.overrides import IF_MATCH, Overrides
from pricing.api.parts import ApiParts
from pricing.api.problems import (
    BUSY,
    CHANGED_MEANWHILE,
    FORCE_NEEDED,
    INVALID_INPUT,
    INVALID_KEY,
    KEY_REUSED,
    NOT_READY,
    UNKNOWN_BREAKER,
    UNKNOWN_LETTER,
    Kind,
)
from pricing.api.reading import query_parameters
from pricing.api.repeats import PARAMETER
from pricing.keys import Role

_RELIABILITY = "/admin/reliability"
_LEVEL = f"{_RELIABILITY}/degradation/set-level"
_BREAKER = f"{_RELIABILITY}/circuit-breakers"
_BREAKER_EXAMPLE = {"service": "redis", "state": "CLOSED", "calls": 20, "failures": 0}
_OVERRIDE_EXAMPLE = {
    "kind": "floor",
    "level": "moderate",
    "reason": "maintenance of the cache",
    "actor": "anna (abcde23456)",
    "expires_at": "2026-01-02T03:34:05.678Z",
}


def _path(name: str, description: str, example: str) -> Mapping[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


_BODY_EXAMPLES: Mapping[type[BaseModel], Mapping[str, Any]] = {
    SetLevel: {
        "kind": "floor",
        "level": "moderate",
        "reason": "maintenance of the cache",
        "expires_in_s": 1800,
    },
    ForceOpen: {"reason": "redis is being moved", "expires_in_s": 600},
}
_SERVICE = _path("service", "The dependency behind the breaker.", "redis")
_LETTER = _path("message_id", "As the list has it.", "0123456789abcdef")


def add_admin(app: FastAPI, parts: ApiParts) -> None:
    admin, letters, overrides = Admin(parts), Letters(parts), Overrides(parts)

    def route(
        method: str,
        path: str,
        endpoint: Endpoint,
        summary: str,
        answer: type[BaseModel],
        example: Any,
        *,
        query: type[BaseModel] | None = None,
        body: type[BaseModel] | None = None,
        parameters: Sequence[Mapping[str, Any]] = (),
        problems: Sequence[Kind] = (),
        description: str = "",
    ) -> None:
        kinds = [BUSY, NOT_READY, *problems]
        if query is not None or body is not None:
            kinds.append(INVALID_INPUT)
        if body is not None:
            kinds += BODY_PROBLEMS
        words = summary.replace("'", "").split()
        operation = Operation(
            method=method,
            path=path,
            operation_id=words[0].lower() + "".join(word.capitalize() for word in words[1:]),
            tag="operators",
            summary=summary,
            description=description or f"{summary}, by an operator.",
            answer=answer,
            example=example,
            role=Role.OPERATOR,
            problems=kinds,
            parameters=[*parameters, *(query_parameters(query) if query else ())],
            is_body_required=query is None,
            body=None
            if body is None
            else {"schema": reference(body), "example": _BODY_EXAMPLES[body]},
        )
        add(app, endpoint, operation)

    override = {"data": _OVERRIDE_EXAMPLE, "mode": "degraded", "level": "moderate", "durable": True}
    route(
        "POST",
        _LEVEL,
        overrides.set_level,
        "Override the mode",
        OverrideAnswer,
        override,
        query=SetLevelQuery,
        body=SetLevel,
        parameters=(IF_MATCH, PARAMETER),
        problems=(FORCE_NEEDED, CHANGED_MEANWHILE, INVALID_KEY, KEY_REUSED),
        description="A floor, a pin or a ceiling, with a reason and an end. Below the level that "
        "the inputs say it needs `force`, and lasts 15 min at most. The short form "
        "`?level=&reason=`, without a body, is a floor of 30 min. Works with everything dead.",
    )
    ended = {"data": None, "mode": "normal", "level": "normal", "durable": True}
    route(
        "DELETE",
        _LEVEL,
        overrides.end_override,
        "End the override",
        OverrideAnswer,
        ended,
        parameters=(IF_MATCH,),
        problems=(CHANGED_MEANWHILE,),
    )
    breakers = {"data": [_BREAKER_EXAMPLE]}
    route("GET", _BREAKER, admin.breakers, "List circuit breakers", Breakers, breakers)
    route(
        "POST",
        f"{_BREAKER}/{{service}}/reset",
        admin.reset_breaker,
        "Reset a circuit breaker",
        OneBreaker,
        {"data": _BREAKER_EXAMPLE},
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    )
    route(
        "POST",
        f"{_BREAKER}/{{service}}/force-open",
        admin.force_open,
        "Force a circuit breaker open",
        OneBreaker,
        {"data": {**_BREAKER_EXAMPLE, "state": "FORCED_OPEN"}},
        body=ForceOpen,
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    )
    route(
        "POST",
        "/api/admin/reset-circuit-breakers",
        admin.reset_all,
        "Reset every circuit breaker",
        Breakers,
        breakers,
    )
    listing: dict[str, Any] = {"data": [], "next": None, "source": "database"}
    route(
        "GET",
        f"{_RELIABILITY}/mode/history",
        admin.history,
        "List changes of the mode",
        Listing,
        listing,
        query=PageQuery,
    )
    route(
        "GET",
        "/admin/audit",
        admin.audit,
        "List operators' acts",
        Listing,
        listing,
        query=PageQuery,
    )
    route(
        "GET",
        f"{_RELIABILITY}/reports/reliability",
        admin.report,
        "Report the reliability",
        Report,
        {"data": {"availability": 1.0}},
        query=ReportQuery,
    )
    route(
        "GET",
        f"{_RELIABILITY}/dlq",
        letters.listing,
        "List dead letters",
        LettersAnswer,
        {"data": [], "next": None},
        query=LettersQuery,
    )
    route(
        "POST",
        f"{_RELIABILITY}/dlq/{{message_id}}/retry",
        letters.retry,
        "Put a dead letter back",
        LetterOutcome,
        {"data": {"id": "0123456789abcdef", "outcome": "put back"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER,),
    )
    route(
        "DELETE",
        f"{_RELIABILITY}/dlq/{{message_id}}",
        letters.discard,
        "Discard a dead letter",
        LetterOutcome,
        {"data": {"id": "0123456789abcdef", "outcome": "discarded"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER,),
    )
