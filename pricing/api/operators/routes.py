"""Where the operators' endpoints are, and what the documentation says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pricing.access.role import Role
from pricing.api.http.authorization import Endpoint
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.operator_schemas import (
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
from pricing.api.http.operator_schemas import Letters as LettersAnswer
from pricing.api.http.problems import (
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
from pricing.api.http.request_parsing import query_parameters
from pricing.api.http.routing import BODY_PROBLEMS, Operation, add, reference
from pricing.api.ingest.idempotency_key import PARAMETER
from pricing.api.operators.dead_letters import Letters
from pricing.api.operators.endpoints import Admin
from pricing.api.operators.overrides import IF_MATCH, Overrides

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """One endpoint for operators: what is not the same for all of them."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    answer: type[BaseModel]
    example: Any
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    parameters: Sequence[Mapping[str, Any]] = ()
    problems: Sequence[Kind] = ()
    description: str = ""

    @property
    def operation(self) -> Operation:
        query, body = self.query, self.body
        return Operation(
            method=self.method,
            path=self.path,
            operation_id=_camel(self.summary),
            tag="operators",
            summary=self.summary,
            description=self.description or f"{self.summary}, by an operator.",
            answer=self.answer,
            example=self.example,
            role=Role.OPERATOR,
            problems=self._kinds(),
            parameters=[*self.parameters, *(query_parameters(query) if query else ())],
            is_body_required=query is None,
            body=None
            if body is None
            else {"schema": reference(body), "example": _BODY_EXAMPLES[body]},
        )

    def _kinds(self) -> Sequence[Kind]:
        takes_input = self.query is not None or self.body is not None
        return [
            BUSY,
            NOT_READY,
            *self.problems,
            *([INVALID_INPUT] if takes_input else ()),
            *(BODY_PROBLEMS if self.body is not None else ()),
        ]


def _camel(summary: str) -> str:
    first, *others = summary.replace("'", "").split()
    return first.lower() + "".join(word.capitalize() for word in others)


def add_admin(app: FastAPI, parts: ApiDependencies) -> None:
    admin = Admin(parts)
    for route in (
        *_of_overrides(Overrides(parts)),
        *_of_breakers(admin),
        *_of_records(admin),
        *_of_letters(Letters(parts)),
    ):
        add(app, route.endpoint, route.operation)


def _of_overrides(overrides: Overrides) -> Iterator[_Route]:
    yield _Route(
        method="POST",
        path=_LEVEL,
        endpoint=overrides.set_level,
        summary="Override the mode",
        description="A floor, a pin or a ceiling, with a reason and an end. Below the level that "
        "the inputs say it needs `force`, and lasts 15 min at most. The short form "
        "`?level=&reason=`, without a body, is a floor of 30 min. Works with everything dead.",
        answer=OverrideAnswer,
        example={
            "data": _OVERRIDE_EXAMPLE,
            "mode": "degraded",
            "level": "moderate",
            "durable": True,
        },
        query=SetLevelQuery,
        body=SetLevel,
        parameters=(IF_MATCH, PARAMETER),
        problems=(FORCE_NEEDED, CHANGED_MEANWHILE, INVALID_KEY, KEY_REUSED),
    )
    yield _Route(
        method="DELETE",
        path=_LEVEL,
        endpoint=overrides.end_override,
        summary="End the override",
        answer=OverrideAnswer,
        example={"data": None, "mode": "normal", "level": "normal", "durable": True},
        parameters=(IF_MATCH,),
        problems=(CHANGED_MEANWHILE,),
    )


def _of_breakers(admin: Admin) -> Iterator[_Route]:
    all_of_them = {"data": [_BREAKER_EXAMPLE]}
    yield _Route(
        method="GET",
        path=_BREAKER,
        endpoint=admin.breakers,
        summary="List circuit breakers",
        answer=Breakers,
        example=all_of_them,
    )
    yield _Route(
        method="POST",
        path=f"{_BREAKER}/{{service}}/reset",
        endpoint=admin.reset_breaker,
        summary="Reset a circuit breaker",
        answer=OneBreaker,
        example={"data": _BREAKER_EXAMPLE},
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    )
    yield _Route(
        method="POST",
        path=f"{_BREAKER}/{{service}}/force-open",
        endpoint=admin.force_open,
        summary="Force a circuit breaker open",
        answer=OneBreaker,
        example={"data": {**_BREAKER_EXAMPLE, "state": "FORCED_OPEN"}},
        body=ForceOpen,
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    )
    yield _Route(
        method="POST",
        path="/api/admin/reset-circuit-breakers",
        endpoint=admin.reset_all,
        summary="Reset every circuit breaker",
        answer=Breakers,
        example=all_of_them,
    )


def _of_records(admin: Admin) -> Iterator[_Route]:
    listing: dict[str, Any] = {"data": [], "next": None, "source": "database"}
    yield _Route(
        method="GET",
        path=f"{_RELIABILITY}/mode/history",
        endpoint=admin.history,
        summary="List changes of the mode",
        answer=Listing,
        example=listing,
        query=PageQuery,
    )
    yield _Route(
        method="GET",
        path="/admin/audit",
        endpoint=admin.audit,
        summary="List operators' acts",
        answer=Listing,
        example=listing,
        query=PageQuery,
    )
    yield _Route(
        method="GET",
        path=f"{_RELIABILITY}/reports/reliability",
        endpoint=admin.report,
        summary="Report the reliability",
        answer=Report,
        example={"data": {"availability": 1.0}},
        query=ReportQuery,
    )


def _of_letters(letters: Letters) -> Iterator[_Route]:
    one = f"{_RELIABILITY}/dlq/{{message_id}}"
    yield _Route(
        method="GET",
        path=f"{_RELIABILITY}/dlq",
        endpoint=letters.listing,
        summary="List dead letters",
        answer=LettersAnswer,
        example={"data": [], "next": None},
        query=LettersQuery,
    )
    yield _Route(
        method="POST",
        path=f"{one}/retry",
        endpoint=letters.retry,
        summary="Put a dead letter back",
        answer=LetterOutcome,
        example={"data": {"id": "0123456789abcdef", "outcome": "put back"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER,),
    )
    yield _Route(
        method="DELETE",
        path=one,
        endpoint=letters.discard,
        summary="Discard a dead letter",
        answer=LetterOutcome,
        example={"data": {"id": "0123456789abcdef", "outcome": "discarded"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER,),
    )
