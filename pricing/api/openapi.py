"""Prints the OpenAPI document: `python -m pricing.api.openapi > docs/openapi.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from fallback.breaker import PROFILES
from pricing.api.app import create_app
from pricing.api.http.dependencies import ApiDependencies
from pricing.health.passive import DEPENDENCIES, PassiveHealth
from pricing.metrics.api import Metrics
from pricing.mode.policy import ModePolicy
from pricing.ports import Receipt
from pricing.reading.guarded_store import CallGuards, guarded_stores, new_breakers
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryStates
from pricing.zones.catalogue import Catalogue
from pricing.zones.locate import ZoneLocator
from streaming.events.event_types import Event


def document() -> str:
    """The document of this release, in the form in which it is committed."""
    return json.dumps(create_app(_idle_parts()).openapi(), indent=2, ensure_ascii=False) + "\n"


class _NoPublisher:
    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        raise NotImplementedError


def _idle_parts() -> ApiDependencies:
    """Parts that are never called: the document says what there is, not what it is made of."""
    catalogue = Catalogue(())
    stores = MemoryStates()
    policy = ReadPolicy()
    breakers = new_breakers({name: PROFILES[name] for name in DEPENDENCIES})
    rungs = guarded_stores(
        cache=stores,
        store=stores,
        policy=lambda: policy,
        guards=CallGuards(breakers=breakers),
    )
    ladder = Ladder(
        cache=rungs.redis,
        store=rungs.database,
        last_known=LastKnownZones(()),
        policy=lambda: policy,
        tick_ms=5_000,
        now_ms=int,
    )
    return ApiDependencies(
        catalogue=catalogue,
        locator=ZoneLocator(catalogue),
        ladder=ladder,
        publisher=_NoPublisher(),
        now_ms=int,
        policy=ModePolicy,
        health=PassiveHealth(now_ms=int),
        metrics=Metrics(),
    )


if __name__ == "__main__":
    sys.stdout.write(document())
