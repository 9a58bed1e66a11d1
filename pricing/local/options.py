"""What a demo is asked to do: frozen, checked when made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Final, Literal, cast, get_args

from pricing.embedded import Broker
from pricing.simulator.build import MAX_COPIES, MAX_REPLAY_SPEED, MAX_SCALE, MAX_SPEED

Target = Literal["redis", "database", "kafka"]
_FAULT: Final = re.compile(r"([a-z]+)@([0-9]+(?:\.[0-9]+)?)", re.ASCII)
_RUSH: Final = time(18)
_NOW: Final = "now"


@dataclass(frozen=True, slots=True)
class Fault:
    """A server to kill."""

    target: Target
    at_s: float
    """Counted from the line that says ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """Raises `ValueError` that names the option and shows the bad value."""

    port: int = 8000
    data_dir: Path | None = None
    """None: the user's state directory."""
    kafka: str = "tansu"
    """tansu or apache."""
    trips: Path | None = None
    """A file to replay; None: the living city."""
    speed: float = 1.0
    """How much faster the city's day goes, or a replay; events keep the true time."""
    scale: float = 1.0
    """Requests per second over a mean hour; with `trips`, copies of each trip."""
    seed: int = 1
    duration_s: float | None = None
    """End by itself so long after the line that says ready."""
    faults: tuple[str, ...] = ()
    """Each `redis|database|kafka@SECONDS`."""
    day: str | None = None
    """With `trips`: the day to begin on, YYYY-MM-DD; None: the first."""
    at: str | None = None
    """The city's time of day at the start: HH:MM, or `now` for the present one.

    None is the evening rush for the living city, since a demo at three in the morning shows a
    city asleep; with `trips` it is the present one.
    """
    open_loop: bool = False
    """Riders and drivers take no notice of prices, so the seed alone decides what they do."""

    def __post_init__(self) -> None:
        """Check every option, alone and together."""
        _check("port", self.port, 1 <= self.port <= 65_535)
        _check("kafka", self.kafka, self.kafka in get_args(Broker))
        duration_s = self.duration_s
        _check("duration", duration_s, duration_s is None or 0 < duration_s < math.inf)
        if self.trips is None:
            _check("scale", self.scale, 0 < self.scale <= MAX_SCALE)
            _check("speed", self.speed, 1 <= self.speed <= MAX_SPEED)
            if self.day is not None:
                raise ValueError(f"day={self.day!r} needs trips to replay")
        else:
            whole = self.scale == int(self.scale) if math.isfinite(self.scale) else False
            _check("scale", self.scale, whole and 1 <= self.scale <= MAX_COPIES)
            _check("speed", self.speed, 0 < self.speed <= MAX_REPLAY_SPEED)
            if not self.trips.is_file():
                raise ValueError(f"trips={str(self.trips)!r} is not a file")
        _ = self.parsed_faults, self.first_day, self.time_of_day

    @property
    def broker(self) -> Broker:
        """The Kafka to run."""
        return cast("Broker", self.kafka)  # checked when made

    @property
    def parsed_faults(self) -> tuple[Fault, ...]:
        """The faults in order of time."""
        return tuple(sorted(map(_fault, self.faults), key=lambda fault: fault.at_s))

    @property
    def first_day(self) -> date | None:
        """`day` as a date."""
        if self.day is None:
            return None
        try:
            return date.fromisoformat(self.day)
        except ValueError:
            raise ValueError(f"day={self.day!r} is not a date like 2019-03-01") from None

    @property
    def time_of_day(self) -> time | None:
        """`at` as a time; None: the present one."""
        if self.at is None:
            return _RUSH if self.trips is None else None
        if self.at == _NOW:
            return None
        try:
            return time.fromisoformat(self.at)
        except ValueError:
            raise ValueError(f"at={self.at!r} is neither now nor a time like 18:30") from None


def _fault(text: str) -> Fault:
    match = _FAULT.fullmatch(text)
    if match is None or match[1] not in get_args(Target):
        raise ValueError(f"fault={text!r} is not redis, database or kafka@SECONDS")
    return Fault(cast("Target", match[1]), float(match[2]))


def _check(name: str, value: object, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name}={value!r} is out of range")
