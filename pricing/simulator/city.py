"""The living city: riders ask, drivers answer, and the service gets to see both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from pricing.model import Zone
from pricing.simulator.city_events import CityEvent, RideRequest
from pricing.simulator.disturbances import Disturbance, Disturbances
from pricing.simulator.drivers import Driver, Fleet
from pricing.simulator.event_queue import EventQueue
from pricing.simulator.rates import Rates
from pricing.simulator.riders import Demand, Ride
from pricing.simulator.streets import Streets

STEP_MS: Final = 1_000
"""Length of a step, within which rates and prices stay as they are."""
PATIENCE_MS: Final = 180_000
"""How long a rider waits for a driver before giving up."""
HISTORY_MS: Final = 300_000
"""How far back `opening` reaches: the window in which demand is counted."""
WARM_UP_MS: Final = 2_400_000
"""Two mean rides: by then drivers are where rides have taken them. Divided by the speed."""


@dataclass(slots=True)
class Counts:
    """What has happened in a city since it opened."""

    requests: int = 0
    served: int = 0
    unmet: int = 0


class LivingCity:
    """A city that goes on in whole steps of a second.

    It starts warmed up: before `start_ms` it ran unheard, so that drivers are out and about.
    """

    def __init__(
        self,
        zones: Sequence[Zone],
        *,
        rates: Rates,
        demand: Demand,
        seed: int = 1,
        disturbances: Sequence[Disturbance] = (),
    ) -> None:
        self.zone_ids = [zone.zone_id for zone in zones]
        self.counts = Counts()
        self._index = {zone_id: position for position, zone_id in enumerate(self.zone_ids)}
        self._rates = rates
        self._demand = demand
        self._disturbances = Disturbances(disturbances, seed=seed)
        self._streets = Streets(zones)
        self._served_by = _reverse(self._streets)
        self._queue = EventQueue()
        self._waiting: list[dict[str, Ride]] = [{} for _ in zones]
        self._out: list[CityEvent] = []
        self.fleet = Fleet(
            zone_ids=self.zone_ids,
            label=zones[0].city_id,
            seed=seed,
            queue=self._queue,
            neighbours=self._streets.neighbours,
            claim=self._claim,
            report=self._send,
        )
        self._now_ms = rates.clock.start_ms
        self._opening = self._warm_up()

    @property
    def now_ms(self) -> int:
        """Up to where the city has lived."""
        return self._now_ms

    @property
    def local(self) -> datetime:
        """What the city's own clock shows, with its offset."""
        return self._rates.clock.local(self._now_ms)

    def opening(self) -> list[CityEvent]:
        """Where everybody is at the start, then the last five minutes' requests.

        Without them the first prices would count drivers, but no demand. Send them in this
        order: requests without drivers look like a city that is short of them.
        """
        opening, self._opening = self._opening, []
        return opening

    def step(self, now_ms: int, prices: Mapping[str, int]) -> list[CityEvent]:
        """Live on to the last whole second up to `now_ms`; returns what was sent, in order.

        `prices` are multipliers in millionths of the zones that have one. Leave them out and
        the city depends on its seed and start alone.
        """
        known = {self._index[zone_id]: m for zone_id, m in prices.items() if zone_id in self._index}
        while self._now_ms + STEP_MS <= now_ms:
            self._advance(known)
        out, self._out = self._out, []
        return out

    def skip_to(self, now_ms: int) -> None:
        """Leave out the time up to `now_ms`, after a pause in which nobody could listen."""
        while self._now_ms + STEP_MS <= now_ms:
            self._advance({})
        self._out.clear()

    def _warm_up(self) -> list[CityEvent]:
        start_ms = self._now_ms
        pace = self._rates.clock.speed
        warm_up_ms = max(HISTORY_MS, int(WARM_UP_MS / pace)) // STEP_MS * STEP_MS
        self._now_ms = start_ms - warm_up_ms
        shares = self._rates.shape.day_shares
        self.fleet.fill(self._rates.fleet(self._now_ms), shares, self._now_ms)
        while self._now_ms < start_ms:
            self._advance({})
        recent = [event for event in self._out if event.at_ms > start_ms - HISTORY_MS]
        self._out = []
        self.counts = Counts()
        places: list[CityEvent] = list(self.fleet.be_heard(start_ms))
        return [copy for place in places for copy in self._disturbances.sent(place)] + recent

    def _advance(self, prices: Mapping[int, int]) -> None:
        from_ms, to_ms = self._now_ms, self._now_ms + STEP_MS
        usual = self._rates.by_zone(from_ms)
        expected = self._demand.expected(from_ms, usual)
        rates = self._disturbances.rates(expected, self.zone_ids, from_ms)
        for ride in self._demand.arrivals(from_ms, to_ms, rates, prices):
            self._queue.plan(ride.at_ms, partial(self._ask, ride))
        crowd = sum(expected) / (sum(usual) or 1.0)
        self.fleet.step(
            from_ms,
            target=round(self._disturbances.fleet(from_ms) * self._rates.fleet(from_ms, crowd)),
            speed=self._rates.clock.speed,
            duration_s=STEP_MS / 1000,
            rates=rates,
            prices=prices,
            shares=self._rates.shape.day_shares,
        )
        self._queue.run(to_ms)
        self._now_ms = to_ms

    def _ask(self, ride: Ride, at_ms: int) -> None:
        self.counts.requests += 1
        rider_id = f"r-{ride.request_id[:8]}"
        self._send(RideRequest(at_ms, ride.request_id, rider_id, self.zone_ids[ride.zone]))
        for zone in (ride.zone, *self._streets.neighbours(ride.zone)):
            driver = self.fleet.take(zone)
            if driver is not None:
                self._serve(ride, driver, at_ms)
                return
        self._waiting[ride.zone][ride.request_id] = ride
        self._queue.plan(at_ms + PATIENCE_MS, partial(self._give_up, ride))

    def _give_up(self, ride: Ride, at_ms: int) -> None:
        del at_ms
        if self._waiting[ride.zone].pop(ride.request_id, None) is not None:
            self.counts.unmet += 1

    def _claim(self, driver: Driver, at_ms: int) -> bool:
        """Give a free driver the longest waiting ride of their zone or of one beside it."""
        heads = [
            next(iter(self._waiting[zone].values()))
            for zone in (driver.zone, *self._served_by[driver.zone])
            if self._waiting[zone]
        ]
        if not heads:
            return False
        ride = min(heads, key=lambda head: head.at_ms)
        del self._waiting[ride.zone][ride.request_id]
        self._serve(ride, driver, at_ms)
        return True

    def _serve(self, ride: Ride, driver: Driver, at_ms: int) -> None:
        self.counts.served += 1
        local = self._rates.clock.local(at_ms)
        pickup_s = self._streets.pickup_s(driver.zone, ride.zone, local)
        trip_s = ride.trip_s or self._streets.trip_s(ride.zone, ride.dropoff)
        self.fleet.start_job(driver, at_ms, ride.zone)
        done_ms = at_ms + self._paced_ms(pickup_s + trip_s, at_ms)
        self._queue.plan(done_ms, partial(self.fleet.end_job, driver, ride.dropoff))

    def _paced_ms(self, seconds: float, at_ms: int) -> int:
        pace = self._rates.clock.speed * self._disturbances.pace(at_ms)
        return max(1, int(seconds * 1000 / pace))

    def _send(self, event: CityEvent) -> None:
        self._out.extend(self._disturbances.sent(event))


def _reverse(streets: Streets) -> list[list[int]]:
    """Of each zone, those whose riders may be picked up from it."""
    served_by: list[list[int]] = [[] for _ in range(len(streets))]
    for zone in range(len(streets)):
        for near in streets.neighbours(zone):
            served_by[near].append(zone)
    return served_by
