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
from pricing.local.city_feed import feed_cities, settle
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import Feed
from pricing.local.options import DemoOptions
from pricing.local.readback import TopicReadback
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
_SHOW_EVERY_S: Final = 1.0
_SETTLE_S: Final = 5.0
_SETTLE_IN_HASTE_S: Final = 1.5
"""After a signal: the whole end has to fit into 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What lives on the service, and what watches it."""

    cities: Cities
    feed: Feed
    reader: PriceReader
    delivery_check: DeliveryCheck
    stats: DemoStats
    readback: TopicReadback
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
            await asyncio.wait({run})  # its steps have deadlines of their own
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
            ) as service,
            # Not the environment's proxies: it is all on loopback.
            httpx2.AsyncClient(base_url=url, trust_env=False) as client,
        ):
            await healthy(client, service.api)
            self._screen.say(f"the api answers; logs are in {service.stack.data_dir}")
            parts = self._parts(service, client, catalogue, trips)
            async with aclosing(parts.readback):
                await parts.readback.open()
                await self._run_until(stop, service, parts)
            self._screen.freeze()
            on_disk = await waiting_on_disk(client) if parts.delivery_check.missing else 0
            for line in summary_lines(parts.stats.summary(self._monotonic(), on_disk=on_disk)):
                self._screen.say(line)

    def _parts(
        self,
        service: WholeService,
        client: httpx2.AsyncClient,
        catalogue: Catalogue,
        trips: list[Trip] | None,
    ) -> _Parts:
        delivery_check = DeliveryCheck()
        feed = Feed(client, delivery_check, self._now_ms)
        zone_ids = [zone.zone_id for zone in catalogue.zones]
        reader = PriceReader(client, zone_ids, since_ms=self._now_ms(), monotonic=self._monotonic)
        cities = make_cities(self._options, catalogue, trips, self._now_ms())
        self._screen.say(f"the city's clock shows {cities.time}")
        if cities.replay is not None and cities.replay.skipped:
            self._screen.say(f"{cities.replay.skipped} trips start in unknown zones: left out")
        readback = TopicReadback(kafka_config(service.settings), delivery_check)
        faults = Faults(
            service.stack,
            self._options.parsed_faults,
            say=self._screen.say,
            on_log_lost=readback.start_over,
        )
        return _Parts(
            cities=cities,
            feed=feed,
            reader=reader,
            delivery_check=delivery_check,
            stats=DemoStats(feed, reader, delivery_check),
            readback=readback,
            faults=faults,
        )

    async def _run_until(self, stop: asyncio.Event, service: WholeService, parts: _Parts) -> None:
        """Run until `stop` or the end of the time, and let what is under way arrive."""
        async with asyncio.TaskGroup() as group:
            city = group.create_task(
                feed_cities(
                    parts.cities,
                    parts.feed,
                    multipliers=lambda: parts.reader.multipliers,
                    now_ms=self._now_ms,
                )
            )
            work = (
                service.api.keep_running(self._screen.say),
                service.processor.keep_running(self._screen.say),
                parts.faults.watch(),
                parts.feed.run(),
                parts.reader.run(),
                parts.readback.run(),
            )
            others = [group.create_task(endless) for endless in work]
            await self._warm_up(service, parts.reader)
            parts.stats.start(self._monotonic())
            others.append(group.create_task(parts.faults.run()))
            others.append(group.create_task(self._show(parts)))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._options.duration_s)
            # The city first: what it still sent could not settle. The feed and the readback go
            # on meanwhile, for they are what brings it in.
            city.cancel()
            within_s = _SETTLE_IN_HASTE_S if stop.is_set() else _SETTLE_S
            await settle(parts.feed, parts.delivery_check, within_s)
            for task in others:
                task.cancel()

    async def _warm_up(self, service: WholeService, reader: PriceReader) -> None:
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
        key = await asyncio.to_thread(operator_key, service, now_s=self._now())
        self._screen.say(f"operator key {key} (as X-API-Key; keys are needed with AUTH=keys)")
        self._screen.say(f"documentation: http://{LOOPBACK}:{self._options.port}/docs")

    async def _show(self, parts: _Parts) -> None:
        while True:
            await asyncio.sleep(_SHOW_EVERY_S)
            note = "; ".join(filter(None, (parts.faults.note, parts.cities.note)))
            view = parts.stats.view(self._monotonic(), city_time=parts.cities.time, note=note)
            self._screen.show(view)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _cause(error: BaseException) -> BaseException:
    """The error worth telling, out of a group that task groups make."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
