"""A price answered, against looking its state up: what the ladder and the answer's form cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import orjson

from benchmarks.benchmark import Case
from fallback.breaker import PROFILES
from pricing.api.prices.rendering import body
from pricing.model import Signal, Zone, ZoneState
from pricing.reading.guarded_store import CallGuards, guarded_stores, new_breakers
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryStates
from pricing.zones import load_catalogue

_READS = 2_000
_TICK_MS = 1_700_000_000_000


def _state(zone: Zone) -> ZoneState:
    return ZoneState(
        zone_id=zone.zone_id,
        city_id=zone.city_id,
        base_fare_minor=zone.base_fare_minor,
        currency=zone.currency,
        multiplier_micro=1_250_000,
        raw_multiplier_micro=1_266_667,
        demand_count=20,
        supply_count=10,
        signal=Signal.LIVE,
        confidence_percent=100,
        reasons=("demand_exceeds_supply", "rounded"),
        window_start_ms=_TICK_MS - 300_000,
        window_end_ms=_TICK_MS,
        policy_version="nyc-000000000000",
    )


def _repeat(read: Callable[[], Awaitable[object]]) -> Callable[[], None]:
    async def reads() -> None:
        for _ in range(_READS):
            await read()

    return lambda: asyncio.run(reads())


def now_ms() -> int:
    """A clock that stands still, soon after the states of `price_ladder`."""
    return _TICK_MS + 2_000


def price_ladder(states: MemoryStates, policy: ReadPolicy) -> Ladder:
    """A ladder whose stores are these, with a state of every zone in them."""
    zones = load_catalogue(None).zones
    asyncio.run(states.write([_state(one) for one in zones]))
    breakers = new_breakers({name: PROFILES[name] for name in ("redis", "database")})
    rungs = guarded_stores(
        cache=states,
        store=states,
        policy=lambda: policy,
        guards=CallGuards(breakers=breakers),
    )
    return Ladder(
        cache=rungs.redis,
        store=rungs.database,
        last_known=LastKnownZones([one.zone_id for one in zones]),
        policy=lambda: policy,
        tick_ms=5_000,
        now_ms=now_ms,
    )


class _Price:
    name = "price"
    what = (
        "One zone's price from the first rung, its store in this process's memory. The baseline "
        "is that store's read alone; the last case is all that a request costs without HTTP."
    )
    unit = "price"

    def cases(self) -> Sequence[Case]:
        zone, states = load_catalogue(None).zones[0], MemoryStates()
        ladder = price_ladder(states, ReadPolicy(memo_ms=0))

        async def answer() -> bytes:
            return orjson.dumps(body(await ladder.price(zone), "normal"))

        ways: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("read of the store", lambda: states.read((zone.zone_id,))),
            ("ladder", lambda: ladder.price(zone)),
            ("ladder, body, JSON", answer),
        ]
        return [Case(label=label, run=_repeat(read), operations=_READS) for label, read in ways]


BENCHMARK = _Price()
