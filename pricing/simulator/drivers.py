"""The drivers of a city: on duty, driving, cruising to where riders are, heard from by heartbeat.

A driver is in one zone at any moment and is either idle or busy. Every change is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from random import Random
from typing import Final

from pricing.model import MICRO
from pricing.simulator.city_events import DriverStatus
from pricing.simulator.event_queue import EventQueue
from pricing.simulator.random_streams import random_stream

_IDLE_BEAT_MS: Final = (9_000, 11_000)
_BUSY_BEAT_MS: Final = 30_000
_DUTY_SHARE_PER_S: Final = 0.002
"""Of the fleet, who may come or go within a second: 1 % in 5 s."""
_DUTY_BURST: Final = 0.01
_SILENT_SHARE: Final = 0.02
"""Of those who go, without a word."""
_BY_DEMAND_SHARE: Final = 0.5
"""Of those who come, where demand is; the others anywhere."""
_MOVE_EVERY_S: Final = 360
"""The drive is in it: a driver counts in the old zone until it is over."""
_FAR_MOVE_SHARE: Final = 0.15
_DEMAND_WINDOW_S: Final = 300


class Driver:
    """One driver. `era` counts changes: what was planned before the last one is dropped."""

    __slots__ = ("busy", "driver_id", "era", "rng", "zone")

    def __init__(self, driver_id: str, zone: int, rng: Random) -> None:
        self.driver_id = driver_id
        self.zone = zone
        self.rng = rng
        self.busy = False
        self.era = 0


class Fleet:
    """Drivers on duty.

    `claim` is asked first when a driver becomes free: True means that a ride was waiting.
    """

    def __init__(
        self,
        *,
        zone_ids: Sequence[str],
        label: str,
        seed: int,
        queue: EventQueue,
        neighbours: Callable[[int], Sequence[int]],
        claim: Callable[[Driver, int], bool],
        report: Callable[[DriverStatus], None],
    ) -> None:
        self._zone_ids = zone_ids
        self._label = label
        self._seed = seed
        self._queue = queue
        self._neighbours = neighbours
        self._claim = claim
        self._report = report
        self._duty = random_stream(seed, "duty", label)
        self._idle: list[dict[str, Driver]] = [{} for _ in zone_ids]
        self._on_duty: dict[str, Driver] = {}
        self._signed_on = 0
        self._allowance = 0.0
        self._surplus = 0
        self._speed = 1.0
        self._wanted = [0.0] * len(zone_ids)
        self._heard = False

    @property
    def drivers(self) -> Iterator[Driver]:
        """Everybody on duty."""
        return iter(self._on_duty.values())

    @property
    def size(self) -> int:
        """How many are on duty."""
        return len(self._on_duty)

    def idle_count(self, zone: int) -> int:
        """How many wait for a ride in a zone."""
        return len(self._idle[zone])

    def fill(self, count: int, shares: Sequence[float], at_ms: int) -> None:
        """Put drivers on duty all at once, as a city starts."""
        for _ in range(count):
            self._sign_on(shares, at_ms)

    def step(
        self,
        at_ms: int,
        *,
        target: int,
        speed: float,
        duration_s: float,
        rates: Sequence[float],
        prices: Mapping[int, int],
        shares: Sequence[float],
    ) -> None:
        """Let drivers come and go towards `target`, and see where riders are to be expected."""
        self._speed = speed
        self._wanted = [
            _DEMAND_WINDOW_S * rate * prices.get(zone, MICRO) / MICRO
            for zone, rate in enumerate(rates)
        ]
        self._allowance += _DUTY_SHARE_PER_S * speed * duration_s * target
        self._allowance = min(self._allowance, 1 + _DUTY_BURST * speed * target)
        self._surplus = self.size - target
        while self._surplus < 0 and self._allowance >= 1:
            self._allowance -= 1
            self._surplus += 1
            self._sign_on(shares, at_ms)

    def take(self, zone: int) -> Driver | None:
        """The driver who has waited longest in a zone, no longer idle from now on."""
        waiting = self._idle[zone]
        if not waiting:
            return None
        return waiting.pop(next(iter(waiting)))

    def start_job(self, driver: Driver, at_ms: int, pickup: int) -> None:
        """Make a driver busy: reported where the ride was taken, then on the way to the rider."""
        driver.busy = True
        self._changed(driver, at_ms)
        driver.zone = pickup

    def end_job(self, driver: Driver, zone: int, at_ms: int) -> None:
        """Set a driver free where the ride ended."""
        driver.busy = False
        driver.zone = zone
        self._free(driver, at_ms)

    def be_heard(self, at_ms: int) -> list[DriverStatus]:
        """Start the heartbeats, spread over their interval; returns one of everybody for now."""
        self._heard = True
        for driver in self.drivers:
            interval_ms = _BUSY_BEAT_MS if driver.busy else _IDLE_BEAT_MS[0]
            first_ms = at_ms + 1 + int(driver.rng.random() * (interval_ms - 1))
            self._queue.plan(first_ms, partial(self._beat, driver, driver.era))
        return [self._status(driver, at_ms) for driver in self.drivers]

    def _sign_on(self, shares: Sequence[float], at_ms: int) -> None:
        self._signed_on += 1
        zones = range(len(self._zone_ids))
        if self._duty.random() < _BY_DEMAND_SHARE:
            zone = self._duty.choices(zones, cum_weights=list(accumulate(shares)))[0]
        else:
            zone = self._duty.choice(zones)
        driver_id = f"{self._label}-d{self._signed_on:05d}"
        driver = Driver(driver_id, zone, random_stream(self._seed, "driver", driver_id))
        self._on_duty[driver_id] = driver
        self._free(driver, at_ms)

    def _free(self, driver: Driver, at_ms: int) -> None:
        if self._claim(driver, at_ms) or self._goes_home(driver, at_ms):
            return
        self._idle[driver.zone][driver.driver_id] = driver
        self._changed(driver, at_ms)
        self._plan_move(driver, at_ms)

    def _goes_home(self, driver: Driver, at_ms: int) -> bool:
        if self._surplus <= 0 or self._allowance < 1:
            return False
        self._surplus -= 1
        self._allowance -= 1
        del self._on_duty[driver.driver_id]
        driver.era += 1
        if self._heard and driver.rng.random() >= _SILENT_SHARE:
            gone = DriverStatus(at_ms, driver.driver_id, self._zone_ids[driver.zone], False)
            self._report(gone)
        return True

    def _plan_move(self, driver: Driver, at_ms: int) -> None:
        wait_s = _MOVE_EVERY_S / self._speed * driver.rng.uniform(0.5, 1.5)
        self._queue.plan(at_ms + int(wait_s * 1000), partial(self._move, driver, driver.era))

    def _move(self, driver: Driver, era: int, at_ms: int) -> None:
        if driver.era != era:
            return
        if self._surplus > 0 and self._allowance >= 1:
            del self._idle[driver.zone][driver.driver_id]
            self._goes_home(driver, at_ms)
            return
        zone = self._where_to(driver)
        if zone == driver.zone:
            self._plan_move(driver, at_ms)
            return
        del self._idle[driver.zone][driver.driver_id]
        driver.zone = zone
        self._free(driver, at_ms)

    def _where_to(self, driver: Driver) -> int:
        if driver.rng.random() < _FAR_MOVE_SHARE:
            short = [
                max(0.0, wanted - len(idle))
                for wanted, idle in zip(self._wanted, self._idle, strict=True)
            ]
            if any(short):
                return driver.rng.choices(range(len(short)), weights=short)[0]
        near = (driver.zone, *self._neighbours(driver.zone))
        pulls = [(self._wanted[zone] + 0.5) / (self.idle_count(zone) + 1) for zone in near]
        return driver.rng.choices(near, weights=pulls)[0]

    def _changed(self, driver: Driver, at_ms: int) -> None:
        driver.era += 1
        if self._heard:
            self._beat(driver, driver.era, at_ms)

    def _beat(self, driver: Driver, era: int, at_ms: int) -> None:
        if driver.era != era:
            return
        self._report(self._status(driver, at_ms))
        wait_ms = _BUSY_BEAT_MS if driver.busy else int(driver.rng.uniform(*_IDLE_BEAT_MS))
        self._queue.plan(at_ms + wait_ms, partial(self._beat, driver, era))

    def _status(self, driver: Driver, at_ms: int) -> DriverStatus:
        return DriverStatus(
            at_ms, driver.driver_id, self._zone_ids[driver.zone], available=not driver.busy
        )
