"""A server to measure: `python -m benchmarks.http_server KIND REDIS_URL`; prints its port.

`bare` sends a constant; `naive` is what a first draft would be (FastAPI, one HGETALL, a
response model); `memo` and `no-memo` are the price API over Redis, with and without its memo.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import structlog
import uvloop
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from fallback.background import in_background
from fallback.breaker import PROFILES
from pricing.api.app import create_app
from pricing.api.http.dependencies import ApiConfig
from pricing.api.schemas.clients import PriceAnswer
from pricing.api.server import ServerConfig, serve
from pricing.drain import Drain
from pricing.health.passive import DEPENDENCIES, PassiveHealth
from pricing.logs import configure_logs
from pricing.metrics.api import Metrics
from pricing.mode.policy import ModePolicy
from pricing.model import Signal, Zone, ZoneState
from pricing.reading.guarded_store import CallGuards, guarded_stores, new_breakers
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryStates
from pricing.stores.redis_states import RedisConfig, RedisStates
from pricing.wiring.in_memory import in_memory_dependencies
from pricing.zones import load_catalogue

_TICK_S = 5


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def state_of(zone: Zone, tick_ms: int) -> ZoneState:
    """A surging zone at a tick."""
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
        window_start_ms=tick_ms - 300_000,
        window_end_ms=tick_ms,
        policy_version="nyc-000000000000",
    )


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The server itself: what no application can beat."""
    del receive
    assert scope["type"] == "http"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"price":11.25}'})


def naive(redis_url: str) -> ASGIApp:
    app = FastAPI()
    redis = Redis.from_url(redis_url, decode_responses=True)

    @app.get("/api/v1/zones/{zone_id}/price", response_model=PriceAnswer)
    async def price(zone_id: str) -> dict[str, object]:
        found = await redis.hgetall(f"pricing:{zone_id}")
        base_fare, multiplier = float(found["base_fare"]), float(found["surge_multiplier"])
        return {
            "data": {
                "zone_id": zone_id,
                "zone_name": zone_id,
                "base_fare": base_fare,
                "surge_multiplier": multiplier,
                "price": round(base_fare * multiplier, 2),
                "currency": found["currency"],
                "supply_count": int(found["supply_count"]),
                "demand_count": int(found["demand_count"]),
                "confidence": float(found["confidence"]),
                "policy_version": found["policy_version"],
                "reasons": ["demand_exceeds_supply"],
            },
            "source": "redis",
            "freshness": "real-time",
            "timestamp": found["updated_at"],
            "age_ms": 0,
            "mode": "normal",
        }

    return app


async def ticking(cache: RedisStates, zones: Sequence[Zone]) -> None:
    """What the processor does: a new state of every zone at each tick, until cancelled."""
    while True:
        await cache.write([state_of(zone, now_ms()) for zone in zones])
        await asyncio.sleep(_TICK_S)


async def prices(redis_url: str, memo_ms: int, drain: Drain, stack: AsyncExitStack) -> ASGIApp:
    """The price API; its Redis gets a new tick of every zone every five seconds."""
    catalogue = load_catalogue(None)
    cache = await stack.enter_async_context(RedisStates(RedisConfig(url=redis_url)))
    metrics = Metrics()
    breakers = new_breakers(
        {name: PROFILES[name] for name in DEPENDENCIES}, observers=(metrics.breakers,)
    )
    health = PassiveHealth(now_ms=now_ms, breakers=breakers)
    policy = ReadPolicy(memo_ms=memo_ms)
    mode_policy = ModePolicy(read=policy)
    last_known = LastKnownZones([zone.zone_id for zone in catalogue.zones])
    rungs = guarded_stores(
        last_known=last_known,
        cache=cache,
        store=MemoryStates(),
        policy=lambda: policy,
        guards=CallGuards(breakers=breakers, observers=(health, metrics.calls)),
    )
    await stack.enter_async_context(in_background("ticks", ticking(cache, catalogue.zones)))
    ladder = Ladder(
        cache=rungs.redis,
        store=rungs.database,
        last_known=last_known,
        policy=lambda: policy,
        tick_ms=1000 * _TICK_S,
        now_ms=now_ms,
    )
    return create_app(
        replace(
            in_memory_dependencies(catalogue),
            ladder=ladder,
            policy=lambda: mode_policy,
            health=health,
            metrics=metrics,
            config=ApiConfig(log_price_reads=False),
            drain=drain,
        )
    )


async def main(kind: str, redis_url: str) -> None:
    drain = Drain()
    async with AsyncExitStack() as stack:
        app: ASGIApp = bare
        if kind == "naive":
            app = naive(redis_url)
        elif kind != "bare":
            app = await prices(redis_url, 250 if kind == "memo" else 0, drain, stack)
        gc.freeze()  # as the processes of the service do
        await serve(
            app,
            "127.0.0.1",
            0,
            drain=drain,
            config=ServerConfig(drain_delay_s=0, grace_s=1),
            on_started=lambda port: print(port, flush=True),
        )


if __name__ == "__main__":
    configure_logs("INFO", "json")
    structlog.get_logger(__name__).info("serving", kind=sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
