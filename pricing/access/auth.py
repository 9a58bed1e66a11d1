"""Who calls, and whether they may: decided from memory, so also with everything dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from pricing.access.keys import KeyFile, KeyRing, KeyWatch
from pricing.access.role import Role

_log = structlog.get_logger(__name__)

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI gives them: names in lower case."""

_BEARER = b"bearer"


class AccessDenied(Exception):
    """The caller may not."""


class NotAuthenticated(AccessDenied):
    """The caller shows no valid key.

    `reason` is for the caller; `has_key` says that a key came, but is not valid.
    """

    def __init__(self, reason: str, *, has_key: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.has_key = has_key


class NotAllowed(AccessDenied):
    """The caller is known, and the role of the key does not allow it."""

    def __init__(self, needed: Role, given: Role) -> None:
        super().__init__(f"needs {needed}, has {given}")
        self.needed = needed
        self.given = given


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    name: str
    role: Role
    key_id: str | None = None

    @property
    def actor(self) -> str:
        """How an operator's action is signed."""
        return f"{self.name} ({self.key_id})" if self.key_id else self.name


ANYONE = Principal("anyone", Role.ADMIN)
"""Every caller, where authentication is off."""


class Gate(Protocol):
    """Tells callers by their headers. Raises `NotAuthenticated`; never waits."""

    def identify(self, headers: Headers) -> Principal: ...


class OpenGate:
    """Lets every caller do everything. A valid key still says who acts, for the audit."""

    def __init__(self, ring: Callable[[], KeyRing] | None = None) -> None:
        self._ring = ring

    def identify(self, headers: Headers) -> Principal:
        if self._ring is None:
            return ANYONE
        presented = _presented(headers)
        key = self._ring().find(presented) if presented else None
        if key is None:
            return ANYONE
        return Principal(key.name, Role.ADMIN, key.key_id)


class KeyGate:
    """Callers show an API key."""

    def __init__(self, ring: Callable[[], KeyRing], *, wall_s: Callable[[], float]) -> None:
        self._ring = ring
        self._wall_s = wall_s

    def identify(self, headers: Headers) -> Principal:
        presented = _presented(headers)
        if not presented:
            raise NotAuthenticated(
                "Send an API key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.",
                has_key=False,
            )
        key = self._ring().find(presented)
        if key is None:
            raise NotAuthenticated("The key is not known.", has_key=True)
        if key.revoked_at_s is not None:
            raise NotAuthenticated("The key was revoked.", has_key=True)
        if key.is_expired(self._wall_s()):
            raise NotAuthenticated("The key has expired.", has_key=True)
        return Principal(key.name, key.role, key.key_id)


@asynccontextmanager
async def open_gate(
    path: Path, *, is_open: bool, wall_s: Callable[[], float]
) -> AsyncIterator[Gate]:
    """A gate over the keys in a file, which it follows. Raises `KeysError` for a broken file."""
    watch = await asyncio.to_thread(KeyWatch, KeyFile(path))
    async with watch.watching():
        if is_open:
            yield OpenGate(lambda: watch.ring)
            return
        if not watch.ring.keys:
            _log.warning("no API keys found; every call will be refused", path=str(path))
        yield KeyGate(lambda: watch.ring, wall_s=wall_s)


def authorize(gate: Gate, headers: Headers, role: Role) -> Principal:
    """Who calls, if they may do what `role` may. Raises `NotAuthenticated`, `NotAllowed`."""
    principal = gate.identify(headers)
    if not principal.role.includes(role):
        raise NotAllowed(role, principal.role)
    return principal


def may(gate: Gate, headers: Headers, role: Role) -> bool:
    """Whether the caller may do what `role` may. Never raises: the fast path only wants to know."""
    try:
        return gate.identify(headers).role.includes(role)
    except NotAuthenticated:
        return False


def _presented(headers: Headers) -> bytes:
    """The key of a request; empty without one. A bearer token goes before the other header."""
    found = b""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.partition(b" ")
            return token.strip() if scheme.lower() == _BEARER else b"?"
        if name == b"x-api-key":
            found = value.strip()
    return found
