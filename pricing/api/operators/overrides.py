"""An operator's hand on the mode, over HTTP. Works with every dependency dead.

Two operators who steer at once do not undo each other unseen: `If-Match` names the override that
one of them has looked at. A request that is sent again with its `Idempotency-Key` changes nothing.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fallback.mode import BoundsKind, Level
from fallback.mode.override import DEFAULT_S, ForceNeeded, OverrideRefused, OverrideRequest
from pricing.api.http.audit_trail import record_action
from pricing.api.http.authorization import principal_of
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import (
    CHANGED_MEANWHILE,
    FORCE_NEEDED,
    FieldError,
    Problem,
    invalid_input,
)
from pricing.api.http.request_parsing import json_text, parse, parse_query
from pricing.api.ingest.idempotency_key import HEADER, once
from pricing.api.schemas.operators import SET_LEVEL, SetLevel, SetLevelQuery
from pricing.mode.current import SystemMode

NO_VERSION = "none"
"""The version where no override holds."""
IF_MATCH: dict[str, Any] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "Do it only if this override still holds: `override.version` of the mode, in "
    f'quotes; `"{NO_VERSION}"` if none may hold.',
    "schema": {"type": "string"},
}


class Overrides:
    """Sets and ends the override of this instance."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies
        self._system = dependencies.system

    async def set_level(self, request: Request) -> Response:
        wanted = await _wanted_level(request)
        key = request.headers.get(HEADER)
        if key is None:
            return self._response(await self._set(request, wanted))
        content = await once(
            self._dependencies.idempotency,
            key,
            scope=f"override {principal_of(request).actor}",
            meaning=wanted.model_dump_json().encode(),
            work=lambda _: self._set(request, wanted),
        )
        return self._response(content)

    async def end_override(self, request: Request) -> Response:
        system = self._system
        _check_version(request, system)
        before = system.override_json()
        is_durable = await system.end_override()
        if before is not None:
            await record_action(
                self._dependencies, request, "mode.override.end", "mode", before=before
            )
        return self._response(_content(system, None, is_durable=is_durable))

    async def _set(self, request: Request, wanted: SetLevel) -> bytes:
        system = self._system
        _check_version(request, system)
        before = system.override_json()
        try:
            saved = await system.set_override(
                OverrideRequest(
                    kind=BoundsKind(wanted.kind),
                    level=Level.parse(wanted.level),
                    reason=wanted.reason,
                    actor=principal_of(request).actor,
                    expires_in_s=wanted.expires_in_s,
                    force=wanted.force,
                )
            )
        except ForceNeeded as error:
            raise Problem(FORCE_NEEDED, f"{error.message}; say `force` if you mean it.") from None
        except OverrideRefused as error:
            raise invalid_input([FieldError(f"/{error.field}", error.message)]) from None
        after = system.override_json()
        await record_action(
            self._dependencies,
            request,
            "mode.override.set",
            "mode",
            before=before,
            after=after,
            reason=wanted.reason,
        )
        return _content(system, after, is_durable=saved.is_durable)

    def _response(self, content: bytes) -> Response:
        headers = {"Cache-Control": "no-store", "ETag": f'"{_version(self._system)}"'}
        return Response(content, headers=headers, media_type="application/json")


def _content(system: SystemMode, body: dict[str, Any] | None, *, is_durable: bool) -> bytes:
    level = system.level
    return orjson.dumps(
        {"data": body, "mode": level.mode.value, "level": level.word, "durable": is_durable}
    )


def _version(system: SystemMode) -> str:
    override = system.override
    return NO_VERSION if override is None else override.version


def _check_version(request: Request, system: SystemMode) -> None:
    """Raise `Problem` unless the override is still the one that the caller has seen."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        return
    version = _version(system)
    tags = [tag.strip() for tag in wanted.split(",")]
    if f'"{version}"' in tags or ("*" in tags and version != NO_VERSION):
        return
    raise Problem(
        CHANGED_MEANWHILE,
        f'The override is now "{version}"; look at it, and decide again.',
        headers={"ETag": f'"{version}"'},
        extra={"override": system.override_json()},
    )


async def _wanted_level(request: Request) -> SetLevel:
    """The level that is asked for, by body or by query string. Raises `Problem`."""
    query = parse_query(SetLevelQuery, request)
    if query.level is None:
        return parse(SET_LEVEL, await json_text(request))
    if await request.body():
        raise invalid_input([FieldError("/level", "is asked for twice: by query and by body")])
    if query.reason is None:
        raise invalid_input([FieldError("/reason", "is needed")])
    return SetLevel(
        kind="floor",
        level=query.level,
        reason=query.reason,
        expires_in_s=query.expires_in or DEFAULT_S,
    )
