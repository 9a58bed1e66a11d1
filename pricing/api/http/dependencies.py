"""What the HTTP API calls. Wiring builds all of it and closes it; the app only uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fallback.pump.dead_letters import DeadLetterBox
from pricing.access.audit import Audit
from pricing.access.auth import Gate, OpenGate
from pricing.drain import Drain
from pricing.health.passive import HealthSource
from pricing.metrics.api import Metrics
from pricing.mode.current import SystemMode
from pricing.mode.policy import ModePolicy
from pricing.model import Zone
from pricing.ports import Publisher
from pricing.reading.ladder import Ladder
from pricing.stores.operations import Page, PagePosition
from pricing.writing.idempotency import IdempotencyStore, IdempotentAnswers


class Zones(Protocol):
    """The catalogue, as far as the API needs it."""

    @property
    def zones(self) -> Sequence[Zone]:
        """Every zone, in natural order of the ids."""
        ...

    def zone(self, zone_id: str) -> Zone | None: ...


class Locator(Protocol):
    """Finds the zone of a place; None where no zone is."""

    def locate(self, lat: float, lon: float) -> Zone | None: ...


class OperationsLog(Protocol):
    """What the mode did and what operators did, the newest first, from before a place on.

    Raises `DependencyError`.
    """

    async def mode_events(self, limit: int, before: PagePosition) -> Page: ...

    async def audit(self, limit: int, before: PagePosition) -> Page: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Limits and switches of the HTTP API. Raises `ValueError` naming the bad value."""

    max_body_bytes: int = 1_048_576
    """A larger request body is answered with 413."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call; none by default."""
    readiness_requires: tuple[str, ...] = ()
    """Dependencies without which the process does not call itself ready."""
    access_log: bool = True
    """One line a request at INFO; probes and metrics at DEBUG."""
    log_price_reads: bool = True
    """False: of the reads of prices only those that failed get their line."""
    writes_in_flight: int = 256
    """Requests that write, at once; one more is answered with 503."""
    admin_in_flight: int = 16
    """The same for operators' requests."""

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "writes_in_flight", "admin_in_flight"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 1")
        unknown = set(self.readiness_requires) - {"redis", "database", "kafka"}
        if unknown:
            raise ValueError(f"readiness_requires={self.readiness_requires!r}: unknown {unknown}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDependencies:
    """Everything that the endpoints call. Nothing here is opened or closed by the app."""

    catalogue: Zones
    locator: Locator
    ladder: Ladder
    publisher: Publisher
    now_ms: Callable[[], int]
    """Wall clock, epoch ms."""
    policy: Callable[[], ModePolicy]
    """What the system mode makes hold. Read once a request, so that none sees two modes."""
    health: HealthSource
    metrics: Metrics
    system: SystemMode
    audit: Audit
    operations: OperationsLog
    dead_letters: DeadLetterBox
    config: ApiConfig = field(default_factory=ApiConfig)
    drain: Drain = field(default_factory=Drain)
    """Shared with the server that runs the app."""
    idempotency: IdempotentAnswers = field(default_factory=IdempotencyStore)
    gate: Gate = field(default_factory=OpenGate)
    """Tells callers by their keys."""
