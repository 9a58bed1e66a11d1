"""Starts the whole service, lets a city live on it, shows what happens, and ends it all again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

import httpx2

from pricing.demo.backlog import waiting_on_disk
from pricing.demo.faults import Faults
from pricing.demo.price_reader import PriceReader
from pricing.demo.screen import Screen
from pricing.demo.stats import DemoStats
from pricing.demo.summary import summary_lines
from pricing.embedded.ports import LOOPBACK
from pricing.errors import StartupError
from pricing.local.cities import Cities, make_cities, read_trips_file
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import Feed
from pricing.local.options import DemoOptions
from pricing.local.readback import TopicTail
from pricing.local.whole_service import (
    Commands,
    WholeService,
    healthy,
    open_whole_service,
    operator_key,
    own_commands,
)
from pricing.simulator.trip_file import Trip
from pricing.wiring.configs import kafka_config
from pricing.wiring.settings import load_settings
from pricing.zones import Catalogue, load_catalogue

_LIVE_WITHIN_S: Final = 90.0
_REMIND_EVERY_S: Final = 15.0
_STEP_S: Final = 0.5
_SHOW_EVERY_S: Final = 1.0
_SETTLE_S: Final = 5.0
_SETTLE_IN_HASTE_S: Final = 1.5
"""After a signal: the whole end has to fit into 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """What goes on in a house, and who watches it."""

    cities: Cities
    feed: Feed
    reader: PriceReader
    ledger: DeliveryCheck
    meter: DemoStats
    tail: TopicTail
    faults: Faults


class Demo:
    """One run of the demo."""

    def __init__(
        self,
        options: DemoOptions,
        screen: Screen,
        *,
        commands: Commands | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._screen = screen
        self._commands = commands or own_commands()
        self._now = now
        self._monotonic = monotonic
        self._ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or the time is over; everything is down on return.

        Raises:
            PricingError: it cannot start or go on; one line that says why.
            SettingsError: a setting in the environment is wrong.
        """
        run = asyncio.create_task(self._run(stop))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({run, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not self._ready.is_set():
                run.cancel()  # once ready, the run heeds `stop` itself and ends in good order
            await asyncio.wait({run})
        finally:
            stopped.cancel()
        if run.cancelled():
            self._screen.say("ended before it was ready")
            return
        error = run.exception()
        if error is not None:
            raise _cause(error)

    async def _run(self, stop: asyncio.Event) -> None:
        options = self._options
        catalogue = load_catalogue(load_settings(http_port=options.port).zones_file)
        trips = read_trips_file(options.trips, options.first_day) if options.trips else None
        url = f"http://{LOOPBACK}:{options.port}"
        async with (
            open_whole_service(
                options, self._commands, say=self._screen.say, monotonic=self._monotonic
            ) as house,
            # Not the environment's proxies: it is all on loopback.
            httpx2.AsyncClient(base_url=url, trust_env=False) as client,
        ):
            await healthy(client, house.api)
            self._screen.say(f"the api answers; logs are in {house.stack.data_dir}")
            life = self._life(house, client, catalogue, trips)
            async with aclosing(life.tail):
                await life.tail.open()
                await self._live_on(house, life, stop)
            self._screen.freeze()
            on_disk = await waiting_on_disk(client) if life.ledger.missing else 0
            for line in summary_lines(life.meter.summary(self._monotonic(), on_disk=on_disk)):
                self._screen.say(line)

    def _life(
        self,
        house: WholeService,
        client: httpx2.AsyncClient,
        catalogue: Catalogue,
        trips: list[Trip] | None,
    ) -> _Life:
        ledger = DeliveryCheck()
        feed = Feed(client, ledger, self._now_ms)
        zone_ids = [zone.zone_id for zone in catalogue.zones]
        reader = PriceReader(client, zone_ids, since_ms=self._now_ms(), monotonic=self._monotonic)
        cities = make_cities(self._options, catalogue, trips, self._now_ms())
        self._screen.say(f"the city's clock shows {cities.time}")
        if cities.replay is not None and cities.replay.skipped:
            self._screen.say(f"{cities.replay.skipped} trips start in unknown zones: left out")
        tail = TopicTail(kafka_config(house.settings), ledger)
        faults = Faults(
            house.stack,
            self._options.parsed_faults,
            say=self._screen.say,
            on_log_lost=tail.start_over,
        )
        return _Life(
            cities=cities,
            feed=feed,
            reader=reader,
            ledger=ledger,
            meter=DemoStats(feed, reader, ledger),
            tail=tail,
            faults=faults,
        )

    async def _live_on(self, house: WholeService, life: _Life, stop: asyncio.Event) -> None:
        """Live until it is over, and let what is under way arrive."""
        async with asyncio.TaskGroup() as group:
            living = group.create_task(self._live(life))
            work = (
                house.api.keep_running(self._screen.say),
                house.processor.keep_running(self._screen.say),
                life.faults.watch(),
                life.feed.run(),
                life.reader.run(),
                life.tail.run(),
            )
            others = [group.create_task(one) for one in work]
            await self._warm_up(house, life.reader)
            life.meter.start(self._monotonic())
            others.append(group.create_task(life.faults.run()))
            others.append(group.create_task(self._show(life)))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._options.duration_s)
            living.cancel()
            await self._settle(life, _SETTLE_IN_HASTE_S if stop.is_set() else _SETTLE_S)
            for task in others:
                task.cancel()

    async def _live(self, life: _Life) -> None:
        places, requests = life.cities.opening()
        life.feed.put(places)
        await _until(lambda: not life.feed.pending)
        life.feed.put(requests)
        while True:
            life.feed.put(life.cities.step(self._now_ms(), life.reader.multipliers))
            await asyncio.sleep(_STEP_S)

    async def _warm_up(self, house: WholeService, reader: PriceReader) -> None:
        """Wait for the first live price, and say so."""
        self._screen.say("warming up: the processor joins its group, which takes a few seconds")
        waited_s = 0.0
        while not reader.is_live.is_set():
            if waited_s >= _LIVE_WITHIN_S:
                raise StartupError(f"no live price within {_LIVE_WITHIN_S:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.is_live.wait(), _REMIND_EVERY_S)
                break
            waited_s += _REMIND_EVERY_S
            self._screen.say(f"still warming up after {waited_s:.0f} s")
        self._ready.set()
        self._screen.say(f"ready http://{LOOPBACK}:{self._options.port}")
        key = await asyncio.to_thread(operator_key, house, now_s=self._now())
        self._screen.say(f"operator key {key} (as X-API-Key; keys are needed with AUTH=keys)")
        self._screen.say(f"documentation: http://{LOOPBACK}:{self._options.port}/docs")

    async def _show(self, life: _Life) -> None:
        while True:
            await asyncio.sleep(_SHOW_EVERY_S)
            note = "; ".join(filter(None, (life.faults.note, life.cities.note)))
            view = life.meter.view(self._monotonic(), city_time=life.cities.time, note=note)
            self._screen.show(view)

    async def _settle(self, life: _Life, within_s: float) -> None:
        """Let what is under way arrive: in the service, and then in Kafka."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await _until(lambda: not life.feed.pending and not life.ledger.missing)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what it asks changes in many places, none of them ours
        await asyncio.sleep(0.02)


def _cause(error: BaseException) -> BaseException:
    """The error worth telling, out of a group that task groups make."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
