"""Builds an API that needs nothing outside this process.

For the OpenAPI document, which says what there is and calls none of it, and for benchmarks, which
`replace` what they measure.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from fallback.breaker import PROFILES, BreakerRegistry
from fallback.clock import monotonic_s
from fallback.mode import Reading
from fallback.mode.orchestrator import Orchestrator
from fallback.pump.dead_letters import DeadLetterBox
from pricing.access.audit import Audit
from pricing.api.http.dependencies import ApiDependencies
from pricing.clocks import now_ms
from pricing.health.passive import DEPENDENCIES, HealthSource, PassiveHealth
from pricing.health.ramps import Ramps
from pricing.metrics.api import Metrics
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.registry import register
from pricing.mode.current import SystemMode
from pricing.mode.fleet import Fleet
from pricing.mode.inputs import mode_config
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.policy import ModePolicy
from pricing.mode.report import totals_of
from pricing.ports import Publisher
from pricing.reading.guarded_store import CallGuards, guarded_stores, new_breakers
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryOperations, MemoryStates
from pricing.writing.publisher import NoPublisher
from pricing.zones.catalogue import Catalogue
from pricing.zones.locate import ZoneLocator
from streaming.consuming.records import ConsumedRecord

_INSTANCE = "in-memory"
_TICK_S = 5


def in_memory_dependencies(catalogue: Catalogue) -> ApiDependencies:
    """What an API over these zones calls. It refuses events, and its mode never changes."""
    breakers = new_breakers({name: PROFILES[name] for name in DEPENDENCIES})
    health = PassiveHealth(now_ms=now_ms, breakers=breakers)
    publisher, metrics, mode = NoPublisher(), Metrics(), ModePolicy()
    return ApiDependencies(
        catalogue=catalogue,
        locator=ZoneLocator(catalogue),
        ladder=_ladder(catalogue, breakers),
        publisher=publisher,
        now_ms=now_ms,
        policy=lambda: mode,
        health=health,
        metrics=metrics,
        system=_normal_mode(breakers, health, publisher, metrics),
        audit=Audit(_INSTANCE, publisher, now_ms=now_ms),
        operations=MemoryOperations(),
        # No directory: its endpoints say that the disk does not work, and touch none.
        dead_letters=DeadLetterBox(Path(os.devnull), now_ms=now_ms),
    )


def _ladder(catalogue: Catalogue, breakers: BreakerRegistry) -> Ladder:
    states, policy = MemoryStates(), ReadPolicy()
    stores = guarded_stores(
        cache=states,
        store=states,
        policy=lambda: policy,
        guards=CallGuards(breakers=breakers),
    )
    return Ladder(
        cache=stores.redis,
        store=stores.database,
        last_known=LastKnownZones([zone.zone_id for zone in catalogue.zones]),
        policy=lambda: policy,
        tick_ms=_TICK_S * 1000,
        now_ms=now_ms,
    )


class _SilentTail:
    async def read(self, timeout_s: float) -> list[ConsumedRecord]:
        """Give nothing: no other instance is heard of."""
        del timeout_s
        return []


def _normal_mode(
    breakers: BreakerRegistry, health: HealthSource, publisher: Publisher, metrics: Metrics
) -> SystemMode:
    """A mode that nothing steps."""
    config = mode_config(tick_s=_TICK_S, up_dwell_s=3, down_dwell_s=60)
    well = Reading(value="well")
    ramps = Ramps({})
    return SystemMode(
        Orchestrator(config, {spec.name: lambda _now_s: well for spec in config.inputs}),
        journal=ModeJournal(_INSTANCE, publisher, now_ms=now_ms),
        fleet=Fleet(_SilentTail(), now_ms=now_ms),
        totals=MinuteTotals(totals_of(metrics.stats, breakers), monotonic_s()),
        metrics=register(ModeMetrics, CollectorRegistry(), shares=ramps.shares),
        breakers=breakers,
        health=health,
        ramps=ramps,
        read_backlog=lambda: None,
        now_ms=now_ms,
    )
