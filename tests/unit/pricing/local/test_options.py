from __future__ import annotations

from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from pricing.demo import DemoOptions
from pricing.local.options import Fault


def test_options_by_default_are_a_living_city_on_port_8000():
    options = DemoOptions()
    assert (options.port, options.kafka, options.trips, options.scale) == (8000, "tansu", None, 1)
    assert options.parsed_faults == ()
    assert options.first_day is None
    assert options.time_of_day == time(18)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"port": 0}, "port=0"),
        ({"port": 65_536}, "port=65536"),
        ({"kafka": "redpanda"}, "kafka='redpanda'"),
        ({"duration_s": 0.0}, r"duration=0\.0"),
        ({"duration_s": float("nan")}, "duration=nan"),
        ({"scale": 0.0}, r"scale=0\.0"),
        ({"scale": 101.0}, r"scale=101\.0"),
        ({"speed": 0.5}, r"speed=0\.5"),
        ({"speed": 25.0}, r"speed=25\.0"),
        ({"faults": ("redis",)}, "fault='redis' is not redis, database or kafka@SECONDS"),
        ({"faults": ("mysql@3",)}, "fault='mysql@3'"),
        ({"faults": ("redis@-3",)}, "fault='redis@-3'"),
        ({"day": "2019-03-01"}, "day='2019-03-01' needs trips"),
        ({"at": "half past"}, "at='half past' is neither now nor a time"),
        ({"trips": Path("nowhere.csv")}, "trips='nowhere.csv' is not a file"),
    ],
)
def test_options_refuse_a_wrong_value_by_name(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=f"^{message}"):
        DemoOptions(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 1.5}, r"scale=1\.5"),
        ({"scale": float("inf")}, "scale=inf"),
        ({"speed": 0.0}, r"speed=0\.0"),
        ({"speed": 1_001.0}, r"speed=1001\.0"),
        ({"day": "1 March"}, "day='1 March' is not a date"),
    ],
)
def test_options_with_trips_refuse_a_wrong_value(
    tmp_path: Path, wrong: dict[str, Any], message: str
):
    trips = tmp_path / "trips.csv"
    trips.touch()
    with pytest.raises(ValueError, match=f"^{message}"):
        DemoOptions(trips=trips, **wrong)


def test_options_with_trips_allow_many_copies_and_high_speed(tmp_path: Path):
    trips = tmp_path / "trips.csv"
    trips.touch()
    options = DemoOptions(trips=trips, scale=400.0, speed=100.0, day="2019-03-02", at="18:30")
    assert options.first_day == date(2019, 3, 2)
    assert options.time_of_day == time(18, 30)


def test_options_at_now_mean_the_present_hour(tmp_path: Path):
    trips = tmp_path / "trips.csv"
    trips.touch()
    assert DemoOptions(at="now").time_of_day is None
    assert DemoOptions(trips=trips).time_of_day is None


def test_faults_are_in_order_of_time():
    options = DemoOptions(faults=("kafka@40", "redis@12.5", "database@20"))
    assert options.parsed_faults == (
        Fault("redis", 12.5),
        Fault("database", 20.0),
        Fault("kafka", 40.0),
    )
