"""The headers that every answer carries about the system: made anew only where one changed."""

from __future__ import annotations

from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.raw_response import lines_of


class SystemHeaders:
    """Mode, degradation and the states of the circuit breakers, as a server sends them."""

    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts
        self._key: tuple[object, ...] = ()
        self._lines = b""
        self.degraded_services: frozenset[str] = frozenset()
        """As of the last headers."""

    def lines(self, mode: str) -> bytes:
        """The header lines at this moment, in a mode."""
        parts = self._parts
        # A service that is not heard of any more changes without an event: once a second.
        key = (mode, parts.health.version, parts.now_ms() // 1000, parts.drain.is_draining)
        if key != self._key:
            self._lines = lines_of(self._make(mode))
            self._key = key
        return self._lines

    def _make(self, mode: str) -> list[tuple[bytes, bytes]]:
        services = self._parts.health.services()
        self.degraded_services = frozenset(
            name
            for name, service in services.items()
            if service.status in ("degraded", "unhealthy")
        )
        is_degraded = mode != "normal" or bool(self.degraded_services)
        database = services["database"].state.encode()
        headers = [
            (b"x-system-mode", mode.encode()),
            (b"x-system-degraded", b"true" if is_degraded else b"false"),
            (b"x-cache-status", services["redis"].state.encode()),
            (b"x-database-status", database),
            (b"x-circuit-breaker-db", database),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._parts.drain.is_draining:
            headers.append((b"connection", b"close"))
        return headers
