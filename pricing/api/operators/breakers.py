"""Circuit breakers for operators: look, reset, force open. Works with every dependency dead."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fallback.breaker import CircuitBreaker
from pricing.api.health.breaker_json import breaker_summary_json
from pricing.api.http.audit_trail import record_action
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import UNKNOWN_BREAKER, Problem
from pricing.api.http.request_parsing import json_text, parse
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.schemas.operators import FORCE_OPEN


class CircuitBreakers:
    """The endpoints over the breakers of this instance; every change goes to the audit."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies
        self._breakers = dependencies.system.breakers

    async def list_all(self, _request: Request) -> Response:
        return self._all()

    async def reset(self, request: Request) -> Response:
        breaker = self._breaker(request)
        before = breaker.state.value
        breaker.reset()
        await record_action(
            self._dependencies,
            request,
            "breaker.reset",
            breaker.name,
            before=before,
            after=breaker.state.value,
        )
        return _one(breaker)

    async def force_open(self, request: Request) -> Response:
        breaker = self._breaker(request)
        body = parse(FORCE_OPEN, await json_text(request))
        before = breaker.state.value
        breaker.force_open(for_s=body.expires_in_s)
        await record_action(
            self._dependencies,
            request,
            "breaker.force_open",
            breaker.name,
            before=before,
            after={"state": breaker.state.value, "expires_in_s": body.expires_in_s},
            reason=body.reason,
        )
        return _one(breaker)

    async def reset_all(self, request: Request) -> Response:
        before = self._states()
        self._breakers.reset_all()
        await record_action(
            self._dependencies,
            request,
            "breaker.reset_all",
            "breakers",
            before=before,
            after=self._states(),
        )
        return self._all()

    def _breaker(self, request: Request) -> CircuitBreaker:
        breaker = self._breakers.get(request.path_params["service"])
        if breaker is None:
            names = ", ".join(breaker.name for breaker in self._breakers)
            raise Problem(UNKNOWN_BREAKER, f"There are {names}.")
        return breaker

    def _states(self) -> dict[str, str]:
        return {breaker.name: breaker.state.value for breaker in self._breakers}

    def _all(self) -> Response:
        content = [breaker_summary_json(breaker) for breaker in self._breakers]
        return json_response({"data": content}, headers=NO_STORE)


def _one(breaker: CircuitBreaker) -> Response:
    return json_response({"data": breaker_summary_json(breaker)}, headers=NO_STORE)
