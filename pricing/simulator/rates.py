"""How much is going on, where and when: the city's clock, request rates and size of the fleet.

rate of a zone = scale x level(day, hour) x share(zone; day, part of the day)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain
from math import pow as power
from typing import Final
from zoneinfo import ZoneInfo

from pricing.simulator.demand_table import (
    BANDS,
    WEEKDAY,
    WEEKEND,
    DemandTable,
    band,
    day_type,
    known_share,
)

_PRIOR_TRIPS: Final = 1_000
"""Pseudo-trips by the all-day share; chosen on trips that the fit had not seen."""
_SPREAD: Final = 0.20
"""Share of requests spread evenly over the zones: app rides reach further than taxis."""
_LEAST_KNOWN_SHARE: Final = 0.5
_JOB_S: Final = 1_092
"""Pick-up and trip of a mean ride, 18.2 min."""
_BUSY_SHARE: Final = 0.64
"""Of the fleet, at mean demand."""
_FLEET_EXPONENT: Final = 0.7
"""Below 1: the fleet varies less than demand, so that the rush is tight."""
_IDLE_SHARE_WHEN_FASTER: Final = 0.8
_FAR_OFF: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CityClock:
    """The hour of day in the city, which may turn faster than the clock of events."""

    start_ms: int
    """When the city began, on the clock of events."""
    city_start_ms: int
    """The moment that the city's own clock showed then, epoch ms."""
    speed: float
    timezone: tzinfo

    def local(self, now_ms: int) -> datetime:
        """Local time in the city at a moment of the clock of events."""
        return datetime.fromtimestamp(self.city_ms(now_ms) / 1000, UTC).astimezone(self.timezone)

    def city_ms(self, now_ms: int) -> int:
        """What the city's clock shows at a moment of the clock of events."""
        return self.city_start_ms + int((now_ms - self.start_ms) * self.speed)

    def event_ms(self, city_ms: int) -> int:
        """The moment of the clock of events at which the city's clock shows `city_ms`."""
        return self.start_ms + int((city_ms - self.city_start_ms) / self.speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandShape:
    """How a city's requests spread over the week and over its zones."""

    timezone: tzinfo
    hours: tuple[tuple[float, ...], tuple[float, ...]]
    """Level at the middle of each local hour, weekdays and weekends; mean 1 over the week."""
    shares: tuple[tuple[float, ...], ...]
    """By day type and band (four of weekdays, four of weekends): share of each zone, sum 1."""
    day_shares: tuple[float, ...]
    """Share of each zone over all days, sum 1."""
    destinations: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    """Of each zone: recorded zones of drop-off (by index) and their trips; may be empty."""

    def level(self, local: datetime) -> float:
        """Demand at a local time over that of a mean hour; linear between the hours' middles."""
        hours = self.hours[day_type(local)]
        position = local.hour + local.minute / 60 + local.second / 3600 - 0.5
        before = int(position // 1)
        part = position - before
        return hours[before % 24] * (1 - part) + hours[(before + 1) % 24] * part

    def broad_level(self, local: datetime) -> float:
        """The level over the three hours around a local time."""
        around = (local - _FAR_OFF, local, local + _FAR_OFF)
        return sum(self.level(moment) for moment in around) / len(around)

    def shares_at(self, local: datetime) -> tuple[float, ...]:
        """Share of each zone at a local time."""
        return self.shares[day_type(local) * BANDS + band(local.hour)]


def demand_shape(zone_ids: Sequence[str], city_id: str, table: DemandTable) -> DemandShape:
    """Shape the demand of a city's zones after a table.

    A city that the table does not describe gets its hours (read in UTC) and even shares.
    """
    count = len(zone_ids)
    if city_id != table.city_id or known_share(table, zone_ids) < _LEAST_KNOWN_SHARE:
        even = (1 / count,) * count
        return DemandShape(
            timezone=UTC,
            hours=_levels(table),
            shares=(even,) * (2 * BANDS),
            day_shares=even,
            destinations=(((), ()),) * count,
        )
    shares, day_shares = _shares(zone_ids, table)
    return DemandShape(
        timezone=ZoneInfo(table.timezone),
        hours=_levels(table),
        shares=shares,
        day_shares=day_shares,
        destinations=_destinations(zone_ids, table),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Requests per second of each zone, and drivers on duty, at a moment."""

    shape: DemandShape
    clock: CityClock
    requests_per_s: float
    """Of the whole city over a mean hour, on the clock of events."""

    def by_zone(self, now_ms: int) -> list[float]:
        """Requests per second of each zone."""
        local = self.clock.local(now_ms)
        city = self.requests_per_s * self.shape.level(local)
        return [city * share for share in self.shape.shares_at(local)]

    def fleet(self, now_ms: int, crowd: float = 1.0) -> int:
        """Drivers on duty, at least one. `crowd` is demand over what is usual at this hour.

        A city that turns `speed` times faster needs that many times fewer busy drivers, for
        trips are shorter, but as many idle ones: supply is counted against real minutes.
        """
        level = crowd * self.shape.broad_level(self.clock.local(now_ms))
        whole = self.requests_per_s * _JOB_S / _BUSY_SHARE * power(level, _FLEET_EXPONENT)
        if self.clock.speed == 1:
            return max(1, round(whole))
        busy = min(whole, self.requests_per_s * _JOB_S * level)
        idle = _IDLE_SHARE_WHEN_FASTER * (whole - busy)
        return max(1, round(busy / self.clock.speed + idle))


def _levels(table: DemandTable) -> tuple[tuple[float, ...], tuple[float, ...]]:
    daily = [
        [trips / max(1, table.days[kind]) for trips in table.hours[kind]]
        for kind in (WEEKDAY, WEEKEND)
    ]
    mean = (5 * sum(daily[WEEKDAY]) + 2 * sum(daily[WEEKEND])) / (7 * 24) or 1.0
    smooth = [
        tuple((row[h - 1] + 2 * row[h] + row[(h + 1) % 24]) / 4 / mean for h in range(24))
        for row in daily
    ]
    return smooth[WEEKDAY], smooth[WEEKEND]


def _shares(
    zone_ids: Sequence[str], table: DemandTable
) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
    none = (0,) * (2 * BANDS)
    counts = [table.pickups.get(zone_id, none) for zone_id in zone_ids]
    total = sum(chain.from_iterable(counts))
    even = _SPREAD / len(zone_ids)
    all_day = [sum(row) / total for row in counts]
    by_part = []
    for part in range(2 * BANDS):
        trips = sum(row[part] for row in counts)
        by_part.append(
            tuple(
                (1 - _SPREAD) * (row[part] + _PRIOR_TRIPS * share) / (trips + _PRIOR_TRIPS) + even
                for row, share in zip(counts, all_day, strict=True)
            )
        )
    return tuple(by_part), tuple((1 - _SPREAD) * share + even for share in all_day)


def _destinations(
    zone_ids: Sequence[str], table: DemandTable
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    index = {zone_id: position for position, zone_id in enumerate(zone_ids)}
    rows = []
    for zone_id in zone_ids:
        known = {
            index[other]: trips
            for other, trips in table.dropoffs.get(zone_id, {}).items()
            if other in index
        }
        rows.append((tuple(known), tuple(known.values())))
    return tuple(rows)
