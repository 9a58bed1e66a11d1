"""One drill: start everything, put load on it, break it, watch it find back, judge."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from pricing.drill.load import Answers, PriceLoad
from pricing.drill.recovery import Recovery
from pricing.drill.scenario import DrillOutcome, Scenario, back_within_s, is_shown
from pricing.embedded.ports import LOOPBACK
from pricing.errors import StartupError
from pricing.local.children import Say
from pricing.local.cities import make_cities
from pricing.local.city_feed import feed_cities, settle
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import Feed
from pricing.local.options import DemoOptions
from pricing.local.outages import bring_back, servers_by_target, take_down
from pricing.local.readback import TopicReadback
from pricing.local.whole_service import WholeService, healthy, open_whole_service, own_commands
from pricing.wiring.configs import kafka_config
from pricing.zones import load_catalogue

_LOOK_S: Final = 0.2
_SHOW_S: Final = 5.0
_LIVE_WITHIN_S: Final = 90.0
_WELL_WITHIN_S: Final = 120.0
_BASELINE_S: Final = 5.0
_SETTLE_S: Final = 30.0
_PRICES_PER_S: Final = 50.0


@dataclass(slots=True)
class _Watch:
    """What the mode said over time."""

    mode: str = "normal"
    level: str = "normal"
    broken_at_s: float | None = None
    mended_at_s: float | None = None
    recovery: Recovery | None = None
    """Followed from then on."""
    shown: Answers = field(default_factory=Answers)


class Drill:
    """A drill on servers and processes of its own."""

    def __init__(
        self,
        scenario: Scenario,
        options: DemoOptions,
        *,
        dwell_s: float,
        say: Say,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._dwell_s = dwell_s
        self._say = say
        self._now = now
        self._monotonic = monotonic
        self._outcome = DrillOutcome(modes=["normal"])
        self._watch = _Watch()
        self._began_s = 0.0

    async def run(self) -> DrillOutcome:
        """Carry it out; everything is down on return. Raises `StartupError`."""
        options = self._options
        catalogue = load_catalogue(None)
        zone_ids = [zone.zone_id for zone in catalogue.zones]
        url = f"http://{LOOPBACK}:{options.port}"
        limits = httpx2.Limits(max_connections=500)
        async with (
            open_whole_service(
                options, own_commands(), say=self._say, monotonic=self._monotonic
            ) as service,
            httpx2.AsyncClient(base_url=url, trust_env=False, limits=limits) as client,
        ):
            await healthy(client, service.api)
            delivery_check = DeliveryCheck()
            cities = make_cities(options, catalogue, None, self._now_ms())
            feed = Feed(client, delivery_check, self._now_ms)
            readback = TopicReadback(kafka_config(service.settings), delivery_check)
            load = PriceLoad(client, zone_ids, per_s=_PRICES_PER_S, monotonic=self._monotonic)
            async with aclosing(readback):
                await readback.open()
                async with _running(feed.run(), readback.run()):
                    async with _running(
                        feed_cities(cities, feed, multipliers=dict, now_ms=self._now_ms)
                    ):
                        await self._until_live(client)
                        load.look()
                        async with _running(load.run(), self._show(client, load)):
                            await self._drill(service)
                            await self._until_normal()
                    await settle(feed, delivery_check, _SETTLE_S)
            self._outcome.acknowledged = delivery_check.acknowledged
            self._outcome.lost = delivery_check.missing
            self._count(load.look())
        return self._outcome

    async def _until_live(self, client: httpx2.AsyncClient) -> None:
        """Wait until prices come from Redis and the mode is normal."""
        self._say("warming up")
        end_s = self._monotonic() + _LIVE_WITHIN_S + _WELL_WITHIN_S
        while self._monotonic() < end_s:
            with suppress(httpx2.HTTPError, KeyError):
                price = (await client.get("/api/v1/zones/161/price")).json()
                mode = await _mode(client)
                is_live = price["source"] == "redis" and price["freshness"] == "real-time"
                if is_live and mode["level"] == "normal":
                    return
            await asyncio.sleep(_LOOK_S)
        raise StartupError("the service did not become normal before the drill")

    async def _drill(self, service: WholeService) -> None:
        servers = servers_by_target(service.stack)
        self._began_s = self._monotonic()
        self._line("all well")
        await asyncio.sleep(_BASELINE_S)
        for number in range(self._scenario.times):
            if number:
                await asyncio.sleep(self._scenario.up_s)
            if self._watch.broken_at_s is None:
                self._watch.broken_at_s = self._monotonic()
            for target in self._scenario.targets:
                self._line(f"fault: {target}: {await take_down(servers[target])}")
            await asyncio.sleep(self._scenario.down_s)
            for target in self._scenario.targets:
                await bring_back(servers[target])
            self._line(f"mended: {', '.join(self._scenario.targets)}")
        # Only now: between two faults of a series nothing is expected to recover.
        self._watch.recovery = Recovery(self._dwell_s)
        self._watch.mended_at_s = self._monotonic()

    async def _until_normal(self) -> None:
        bound_s = back_within_s(self._dwell_s)
        end_s = self._monotonic() + bound_s
        while self._outcome.normal_after_s is None and self._monotonic() < end_s:  # noqa: ASYNC110 - deadline
            await asyncio.sleep(_LOOK_S)

    async def _show(self, client: httpx2.AsyncClient, load: PriceLoad) -> None:
        """Look at the mode often, and tell changes at once and the rest now and then."""
        shown_s = self._monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(httpx2.HTTPError, KeyError, ValueError):
                self._note(await _mode(client))
            if self._monotonic() - shown_s >= _SHOW_S:
                shown_s = self._monotonic()
                seen = load.look()
                self._count(seen)
                self._line(_figures(seen))

    def _note(self, mode: Mapping[str, Any]) -> None:
        watch, outcome, now_s = self._watch, self._outcome, self._monotonic()
        if mode["level"] != watch.level:
            causes = ", ".join(f"{one['input']}: {one['value']}" for one in mode["causes"])
            watch.level, watch.mode = mode["level"], mode["mode"]
            outcome.changes += 1
            outcome.modes.append(mode["mode"])
            self._line(f"mode {mode['mode']} ({mode['level']}) {causes}".rstrip())
        is_detected = watch.broken_at_s is not None and is_shown(self._scenario, mode["mode"])
        if is_detected and outcome.detected_after_s is None:
            outcome.detected_after_s = now_s - (watch.broken_at_s or now_s)
        if watch.recovery is not None and watch.mended_at_s is not None:
            self._follow(watch.recovery, mode, now_s - watch.mended_at_s)

    def _follow(self, recovery: Recovery, mode: Mapping[str, Any], after_s: float) -> None:
        """Note how far the way back is."""
        outcome = self._outcome
        if outcome.normal_after_s is not None:
            return
        recovery.see(after_s, mode)
        if outcome.answering_after_s is None and recovery.answering_s is not None:
            self._line("everything answers again")
        if outcome.loaded_after_s is None and recovery.loaded_s is not None:
            self._line("everything has its whole load again")
        outcome.answering_after_s, outcome.loaded_after_s = recovery.answering_s, recovery.loaded_s
        outcome.late_s = recovery.latest_s
        if self._watch.level == "normal":
            outcome.normal_after_s = after_s

    def _count(self, seen: Answers) -> None:
        self._outcome.answered += len(seen.latencies_s)
        self._outcome.unanswered += len(seen.failures)
        if seen.failures and self._outcome.first_failure is None:
            self._outcome.first_failure = seen.failures[0]

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    def _line(self, text: str) -> None:
        passed_s = self._monotonic() - self._began_s
        self._say(f"{passed_s:6.1f} s  {self._watch.mode:<9}  {text}")


def _figures(seen: Answers) -> str:
    sources = Counter(seen.sources)
    told = ", ".join(f"{source} {times}" for source, times in sources.most_common())
    return (
        f"p50 {seen.percentile_ms(0.5):.1f} ms, p99 {seen.percentile_ms(0.99):.1f} ms, "
        f"unanswered {len(seen.failures)}; {told or 'no answers'}"
    )


async def _mode(client: httpx2.AsyncClient) -> Mapping[str, Any]:
    data: Mapping[str, Any] = (await client.get("/api/v1/system/mode")).json()["data"]
    return data


@asynccontextmanager
async def _running(*work: Any) -> AsyncIterator[None]:
    """Run tasks beside the block; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
