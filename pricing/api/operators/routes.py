"""Where the operators' endpoints are, and what the documentation says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from pricing.access.role import Role
from pricing.api.http.authorization import Endpoint
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import (
    BUSY,
    CHANGED_MEANWHILE,
    DEAD_LETTERS_UNAVAILABLE,
    FORCE_NEEDED,
    INVALID_INPUT,
    INVALID_KEY,
    KEY_REUSED,
    UNKNOWN_BREAKER,
    UNKNOWN_LETTER,
    Kind,
)
from pricing.api.http.request_parsing import query_parameters
from pricing.api.http.routing import BODY_PROBLEMS, Operation, add, reference
from pricing.api.ingest.idempotency_key import PARAMETER
from pricing.api.operators.breakers import CircuitBreakers
from pricing.api.operators.dead_letters import DeadLetters
from pricing.api.operators.history import History
from pricing.api.operators.overrides import IF_MATCH, Overrides
from pricing.api.schemas.operators import (
    Breakers,
    DeadLettersQuery,
    ForceOpen,
    LetterOutcome,
    Letters,
    Listing,
    OneBreaker,
    OverrideAnswer,
    PageQuery,
    Report,
    ReportQuery,
    SetLevel,
    SetLevelQuery,
)

_RELIABILITY = "/admin/reliability"
_LEVEL = f"{_RELIABILITY}/degradation/set-level"
_BREAKERS = f"{_RELIABILITY}/circuit-breakers"
_DLQ = f"{_RELIABILITY}/dlq"


class _Endpoints:
    """The endpoints of one app."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self.overrides = Overrides(dependencies)
        self.breakers = CircuitBreakers(dependencies)
        self.history = History(dependencies)
        self.dead_letters = DeadLetters(dependencies)


@dataclass(frozen=True, slots=True)
class _Route:
    """One endpoint for operators: what is not the same for all of them."""

    method: str
    path: str
    endpoint: Callable[[_Endpoints], Endpoint]
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
            *self.problems,
            *([INVALID_INPUT] if takes_input else ()),
            *(BODY_PROBLEMS if self.body is not None else ()),
        ]


def add_operators(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve everything that operators do over HTTP."""
    endpoints = _Endpoints(dependencies)
    for route in _ROUTES:
        add(app, route.endpoint(endpoints), route.operation)


def _camel(summary: str) -> str:
    first, *others = summary.replace("'", "").split()
    return first.lower() + "".join(word.capitalize() for word in others)


def _path_parameter(name: str, description: str, example: str) -> Mapping[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


_SERVICE = _path_parameter("service", "The dependency behind the breaker.", "redis")
_LETTER = _path_parameter("message_id", "As the list has it.", "0123456789abcdef")
_BODY_EXAMPLES: Mapping[type[BaseModel], Mapping[str, Any]] = {
    SetLevel: {
        "kind": "floor",
        "level": "moderate",
        "reason": "maintenance of the cache",
        "expires_in_s": 1800,
    },
    ForceOpen: {"reason": "redis is being moved", "expires_in_s": 600},
}
_BREAKER = {"service": "redis", "state": "CLOSED", "calls": 20, "failures": 0}
_OVERRIDE = {
    "kind": "floor",
    "level": "moderate",
    "reason": "maintenance of the cache",
    "actor": "anna (abcde23456)",
    "expires_at": "2026-01-02T03:34:05.678Z",
}
_OVERRIDDEN = {"data": _OVERRIDE, "mode": "degraded", "level": "moderate", "durable": True}
_NOT_OVERRIDDEN = {"data": None, "mode": "normal", "level": "normal", "durable": True}
_EMPTY_LISTING: Mapping[str, Any] = {"data": [], "next": None, "source": "database"}

_ROUTES = (
    _Route(
        "POST",
        _LEVEL,
        lambda app: app.overrides.set_level,
        "Override the mode",
        OverrideAnswer,
        _OVERRIDDEN,
        query=SetLevelQuery,
        body=SetLevel,
        parameters=(IF_MATCH, PARAMETER),
        problems=(FORCE_NEEDED, CHANGED_MEANWHILE, INVALID_KEY, KEY_REUSED),
        description="A floor, a pin or a ceiling, with a reason and an end. Below the level that "
        "the inputs say it needs `force`, and lasts 15 min at most. The short form "
        "`?level=&reason=`, without a body, is a floor of 30 min. Works with everything dead.",
    ),
    _Route(
        "DELETE",
        _LEVEL,
        lambda app: app.overrides.end_override,
        "End the override",
        OverrideAnswer,
        _NOT_OVERRIDDEN,
        parameters=(IF_MATCH,),
        problems=(CHANGED_MEANWHILE,),
    ),
    _Route(
        "GET",
        _BREAKERS,
        lambda app: app.breakers.list_all,
        "List circuit breakers",
        Breakers,
        {"data": [_BREAKER]},
    ),
    _Route(
        "POST",
        f"{_BREAKERS}/{{service}}/reset",
        lambda app: app.breakers.reset,
        "Reset a circuit breaker",
        OneBreaker,
        {"data": _BREAKER},
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    ),
    _Route(
        "POST",
        f"{_BREAKERS}/{{service}}/force-open",
        lambda app: app.breakers.force_open,
        "Force a circuit breaker open",
        OneBreaker,
        {"data": {**_BREAKER, "state": "FORCED_OPEN"}},
        body=ForceOpen,
        parameters=(_SERVICE,),
        problems=(UNKNOWN_BREAKER,),
    ),
    _Route(
        "POST",
        "/api/admin/reset-circuit-breakers",
        lambda app: app.breakers.reset_all,
        "Reset every circuit breaker",
        Breakers,
        {"data": [_BREAKER]},
    ),
    _Route(
        "GET",
        f"{_RELIABILITY}/mode/history",
        lambda app: app.history.mode_changes,
        "List changes of the mode",
        Listing,
        _EMPTY_LISTING,
        query=PageQuery,
    ),
    _Route(
        "GET",
        "/admin/audit",
        lambda app: app.history.audit,
        "List operators' acts",
        Listing,
        _EMPTY_LISTING,
        query=PageQuery,
    ),
    _Route(
        "GET",
        f"{_RELIABILITY}/reports/reliability",
        lambda app: app.history.reliability,
        "Report the reliability",
        Report,
        {"data": {"availability": 1.0}},
        query=ReportQuery,
    ),
    _Route(
        "GET",
        _DLQ,
        lambda app: app.dead_letters.list_letters,
        "List dead letters",
        Letters,
        {"data": [], "next": None},
        query=DeadLettersQuery,
        problems=(DEAD_LETTERS_UNAVAILABLE,),
    ),
    _Route(
        "POST",
        f"{_DLQ}/{{message_id}}/retry",
        lambda app: app.dead_letters.retry,
        "Put a dead letter back",
        LetterOutcome,
        {"data": {"id": "0123456789abcdef", "outcome": "put back"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER, DEAD_LETTERS_UNAVAILABLE),
    ),
    _Route(
        "DELETE",
        f"{_DLQ}/{{message_id}}",
        lambda app: app.dead_letters.discard,
        "Discard a dead letter",
        LetterOutcome,
        {"data": {"id": "0123456789abcdef", "outcome": "discarded"}},
        parameters=(_LETTER,),
        problems=(UNKNOWN_LETTER, DEAD_LETTERS_UNAVAILABLE),
    ),
)
