"""The headers that every answer carries about the system: made anew only where one changed."""

from __future__ import annotations

from pricing.api.http.degradation import assess_degradation
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.raw_response import lines_of


class SystemHeaders:
    """Mode, degradation and the states of the circuit breakers, as a server sends them."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies
        self._key: tuple[object, ...] = ()
        self._lines = b""
        self.is_degraded = False
        """As of the last headers; the same for `degraded_services`."""
        self.degraded_services: frozenset[str] = frozenset()

    def lines(self, mode: str) -> bytes:
        """The header lines at this moment, in a mode."""
        known = self._dependencies
        # A service that is not heard of any more changes without an event: once a second.
        key = (mode, known.health.version, known.now_ms() // 1000, known.drain.is_draining)
        if key != self._key:
            self._lines = lines_of(self._make(mode))
            self._key = key
        return self._lines

    def _make(self, mode: str) -> list[tuple[bytes, bytes]]:
        services = self._dependencies.health.services()
        found = assess_degradation(mode, services)
        self.is_degraded = found.is_degraded
        self.degraded_services = frozenset(found.services)
        database = services["database"].state.encode()
        headers = [
            (b"x-system-mode", mode.encode()),
            (b"x-system-degraded", b"true" if found.is_degraded else b"false"),
            (b"x-cache-status", services["redis"].state.encode()),
            (b"x-database-status", database),
            (b"x-circuit-breaker-db", database),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._dependencies.drain.is_draining:
            headers.append((b"connection", b"close"))
        return headers
