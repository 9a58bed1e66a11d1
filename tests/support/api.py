"""An API over parts in memory: two cities, a clock that stands still, rungs that fail as told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

import httpx2

from fallback.breaker import PROFILES
from fallback.clock import Monotonic, monotonic_s
from fallback.mode import Level
from fallback.pump.dead_letters import DeadLetterBox
from pricing.access.audit import Audit
from pricing.api.app import ApiConfig, ApiDependencies, create_app
from pricing.health.passive import DEPENDENCIES, PassiveHealth
from pricing.metrics.api import Metrics
from pricing.mode.policy import ModePolicy
from pricing.model import Zone, ZoneState
from pricing.reading.guarded_store import CallGuards, guarded_stores, new_breakers
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryOperations
from pricing.stores.operations import LAST, Page, PagePosition
from pricing.zones.catalogue import Catalogue
from pricing.zones.locate import ZoneLocator
from tests.support.publisher import MemoryPublisher
from tests.support.system_mode import Shown, stepped_mode
from tests.support.zone_states import TICK_MS

NOW_MS = TICK_MS + 2_140


def zone(zone_id: str = "z1", **changes: Any) -> Zone:
    fields: dict[str, Any] = {
        "zone_id": zone_id,
        "name": f"Zone {zone_id}",
        "city_id": "nyc",
        "zone_class": "core",
        "base_fare_minor": 925,
        "currency": "USD",
        "lat": 40.758028,
        "lon": -73.977698,
        "area_km2": 1.0,
        "min_multiplier_micro": 1_000_000,
        "max_multiplier_micro": 3_000_000,
    }
    return Zone(**(fields | changes))


ZONES = (
    zone("z1"),
    zone("z2", lat=40.69, lon=-74.17),
    zone("z10", city_id="tyo", currency="JPY", base_fare_minor=1_300, lat=35.68, lon=139.76),
)
INSIDE_Z1 = {"lat": 40.758028, "lon": -73.977698}
OUTSIDE = {"lat": 0.0, "lon": 0.0}


@dataclass
class Shelf:
    """A rung's store: has states, or fails, or never answers."""

    states: dict[str, ZoneState] = field(default_factory=dict)
    failure: Exception | None = None
    hangs: bool = False
    reads: list[tuple[str, ...]] = field(default_factory=list)

    def put(self, *states: ZoneState) -> None:
        self.states.update((state.zone_id, state) for state in states)

    async def read(self, zone_ids: Sequence[str]) -> Mapping[str, ZoneState]:
        self.reads.append(tuple(zone_ids))
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return {key: self.states[key] for key in zone_ids if key in self.states}


class LadderWorld:
    """A ladder and everything around it that a test may want to turn."""

    def __init__(
        self,
        zones: Sequence[Zone] = ZONES,
        *,
        now_s: Monotonic = monotonic_s,
        prefetches: bool = False,
        **policy: Any,
    ) -> None:
        self.now_ms = NOW_MS
        self.catalogue = Catalogue(tuple(zones))
        self.cache = Shelf()
        self.store = Shelf()
        self.last_known = LastKnownZones([each.zone_id for each in zones])
        self.metrics = Metrics()
        self.breakers = new_breakers(
            {name: PROFILES[name] for name in DEPENDENCIES}, observers=(self.metrics.breakers,)
        )
        self.health = PassiveHealth(now_ms=self.clock, breakers=self.breakers)
        # Without a memo, so that a test that changes a store sees it at the next read.
        self.policy = ReadPolicy(**{"memo_ms": 0, **policy})
        self.rungs = guarded_stores(
            cache=self.cache,
            store=self.store,
            policy=lambda: self.policy,
            guards=CallGuards(
                breakers=self.breakers,
                observers=(self.health, self.metrics.calls),
                now_s=now_s,
            ),
            last_known=self.last_known if prefetches else None,
        )
        self.ladder = Ladder(
            cache=self.rungs.redis,
            store=self.rungs.database,
            last_known=self.last_known,
            policy=lambda: self.policy,
            tick_ms=5_000,
            now_ms=self.clock,
            now_s=now_s,
        )

    def clock(self) -> int:
        return self.now_ms

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 where nothing was counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


_NO_LETTERS = Path(gettempdir()) / f"equilibrium-no-dead-letters-{uuid4()}"
"""The box of a world that gets none of its own: nothing ever makes the directory."""


class Records(MemoryOperations):
    """What the mode and operators did, as a database tells it, or fails to."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None

    async def mode_events(self, limit: int, before: PagePosition = LAST) -> Page:
        if self.failure is not None:
            raise self.failure
        return await super().mode_events(limit, before)

    async def audit(self, limit: int, before: PagePosition = LAST) -> Page:
        if self.failure is not None:
            raise self.failure
        return await super().audit(limit, before)


_LEVELS = {"normal": Level.NORMAL, "degraded": Level.MINOR, "emergency": Level.SEVERE}


class World(LadderWorld):
    """The same under an app."""

    def __init__(
        self,
        config: ApiConfig | None = None,
        publisher: MemoryPublisher | None = None,
        dead_letters: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.mode = "normal"
        self.publisher = publisher or MemoryPublisher()
        self.shown = Shown()
        self.stepped = stepped_mode(
            breakers=self.breakers,
            health=self.health,
            publisher=self.publisher,
            now_ms=self.clock,
            read=self.policy,
            shown=self.shown,
            stats=self.metrics.stats,
        )
        self.system = self.stepped.system
        self.audit = Audit("api-1", self.publisher, now_ms=self.clock)
        self.operations = Records()
        self.dependencies = ApiDependencies(
            catalogue=self.catalogue,
            locator=ZoneLocator(self.catalogue),
            ladder=self.ladder,
            publisher=self.publisher,
            now_ms=self.clock,
            policy=lambda: ModePolicy(level=_LEVELS[self.mode], read=self.policy),
            health=self.health,
            metrics=self.metrics,
            system=self.system,
            audit=self.audit,
            operations=self.operations,
            dead_letters=DeadLetterBox(dead_letters or _NO_LETTERS, now_ms=self.clock),
            config=config or ApiConfig(),
        )
        self.app = create_app(self.dependencies)

    def client(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://api", verify=False)
