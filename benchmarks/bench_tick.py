"""One tick of a city: events taken in, the state of each zone made, against counting alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.benchmark import Case
from pricing.surge.city import CityStates, CitySurge
from pricing.surge.events import DemandEvent, SupplyEvent
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.windows import WindowConfig
from pricing.zones import load_catalogue

_CITY = "nyc"
_TICKS = 10
_REQUESTS = 15
_HEARTBEATS = 550
"""Between two ticks, as the simulated city sends them at three requests a second."""
_DRIVERS = 2_350


@dataclass(slots=True)
class _City:
    """Goes on where it stopped, so that every round counts ticks of its own."""

    surge: CitySurge
    zone_ids: list[str]
    tick_ms: int = 1_700_000_000_000
    sent: int = 0

    def tick(self) -> CityStates:
        before_ms, self.tick_ms = self.tick_ms, self.tick_ms + 5_000
        for index in range(_REQUESTS + _HEARTBEATS):
            self._send(index, before_ms + 8 * index)
        return self.surge.states_at(self.tick_ms)

    def _send(self, index: int, at_ms: int) -> None:
        self.sent += 1
        event_id, zone_id = f"event-{self.sent}", self.zone_ids[self.sent % len(self.zone_ids)]
        if index < _REQUESTS:
            self.surge.add(
                DemandEvent(
                    request_id=event_id,
                    event_id=event_id,
                    zone_id=zone_id,
                    occurred_ms=at_ms,
                    arrived_ms=at_ms,
                )
            )
        else:
            self.surge.add(
                SupplyEvent(
                    driver_id=f"driver-{self.sent % _DRIVERS}",
                    event_id=event_id,
                    zone_id=zone_id,
                    available=self.sent % 3 > 0,
                    occurred_ms=at_ms,
                    arrived_ms=at_ms,
                )
            )


class _Tick:
    name = "tick"
    what = (
        "New York's 260 zones: 15 ride requests and 550 heartbeats taken in, windows counted, "
        "policy applied, states made. The baseline counts the same events per zone and no more."
    )
    unit = "tick"

    def cases(self) -> Sequence[Case]:
        window = WindowConfig()
        zones = load_catalogue(None).zones_of(_CITY)
        city = _City(
            CitySurge(_CITY, zones, load_policy(None, window), window),
            [zone.zone_id for zone in zones],
        )
        for _ in range(60):  # five minutes, so that the windows are full
            city.tick()
        return [
            Case(
                label="a Counter",
                run=lambda: [Counter(_zones_of_events(city.zone_ids)) for _ in range(_TICKS)],
                operations=_TICKS,
            ),
            Case(
                label="events, windows, policy, states",
                run=lambda: [city.tick() for _ in range(_TICKS)],
                operations=_TICKS,
            ),
        ]


def _zones_of_events(zone_ids: Sequence[str]) -> Iterator[str]:
    return (zone_ids[index % len(zone_ids)] for index in range(_REQUESTS + _HEARTBEATS))


BENCHMARK = _Tick()
