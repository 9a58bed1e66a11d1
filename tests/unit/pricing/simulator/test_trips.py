from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pricing.errors import TripsError
from pricing.simulator.build import replayed_city
from pricing.simulator.city import LivingCity
from pricing.simulator.city_events import RideRequest
from pricing.simulator.streets import Streets
from pricing.simulator.trip_file import COLUMNS, Trip, read_trips
from pricing.simulator.trips import TripReplay, trips_per_s, utc_ms
from pricing.zones import load_catalogue
from tests.support.grid_city import grid_zones

TRIPS = Path(__file__).parents[5] / "shared" / "data" / "nyc_trips_2019-03.csv"
HEADER = ",".join(COLUMNS)
ROW = "2019-03-04 12:00:00,2019-03-04 12:10:00,z0-0,z1-1,1,1.2,7.0,9.3,yellow"
START_MS = 1_795_000_000_000
NOON = time(12)


def _read(*rows: str, header: str = HEADER) -> list[Trip]:
    return read_trips([f"{line}\n" for line in (header, *rows)], "trips.csv")


def _day_of_trips(count: int = 200, zone_id: str = "z0-0") -> list[Trip]:
    """Trips of one zone, spread over the hour from noon on."""
    start = datetime(2019, 3, 4, 12, 0)  # noqa: DTZ001 - local time, as in a file
    end = start + timedelta(hours=2)
    gap = timedelta(hours=1) / count
    return [Trip(n + 1, start + n * gap, end, zone_id, "z1-1") for n in range(count)]


def _city(
    trips: list[Trip], *, copies: int = 1, speed: float = 1.0, seed: int = 1
) -> tuple[LivingCity, TripReplay]:
    return replayed_city(
        grid_zones(),
        trips,
        start_ms=START_MS,
        time_of_day=NOON,
        copies=copies,
        speed=speed,
        seed=seed,
    )


def _requests(city: LivingCity, minutes: int) -> list[RideRequest]:
    sent = [*city.opening(), *city.step(START_MS + minutes * 60_000, {})]
    return [one for one in sent if isinstance(one, RideRequest)]


def test_read_trips_gives_times_and_zones():
    assert _read(ROW) == [
        Trip(
            1,
            datetime(2019, 3, 4, 12, 0),  # noqa: DTZ001 - local time, as in a file
            datetime(2019, 3, 4, 12, 10),  # noqa: DTZ001 - the same
            "z0-0",
            "z1-1",
        )
    ]


def test_read_trips_tolerates_bom_and_blank_lines():
    assert len(_read("", ROW, header=f"\ufeff{HEADER}")) == 1


def test_read_trips_orders_by_pickup():
    early = ROW.replace("12:00:00", "11:00:00")
    assert [trip.row for trip in _read(ROW, early)] == [2, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("2019-03-04 12:00", "4 March 12h"), "line 3, column pickup: '4 March 12h:00'"),
        (ROW.replace("12:10:00", "25:10:00"), "line 3, column dropoff: '2019-03-04 25:10:00'"),
        (ROW.replace("12:10:00", "12:10:00+01:00"), "line 3, column dropoff: .* has an offset"),
        (ROW.replace("z0-0", ""), "line 3, column pickup_zone_id: the zone is missing"),
        (ROW.replace("z1-1", "z" * 65), "line 3, column dropoff_zone_id: .* is longer than 64"),
        ("2019-03-04 12:00:00,z0-0", "line 3: 2 fields, too few for the header"),
        (f'{ROW},"', "line 3: "),
    ],
)
def test_read_trips_fault_names_line_and_column(row: str, message: str):
    with pytest.raises(TripsError, match=f"^trips.csv, {message}") as caught:
        _read(ROW, row)
    assert caught.value.line == 3


def test_read_trips_names_the_missing_column():
    with pytest.raises(TripsError, match=r"^trips\.csv, line 1, column pickup: .* missing$"):
        _read("1,Newark Airport", header="zone_id,name")


def test_read_trips_of_an_empty_file_is_refused():
    with pytest.raises(TripsError, match=r"line 1, column pickup"):
        read_trips([], "trips.csv")


def test_read_trips_without_rows_is_refused():
    with pytest.raises(TripsError, match=r"^trips\.csv: no trips$"):
        _read()


def test_read_trips_of_a_binary_file_is_refused(tmp_path: Path):
    path = tmp_path / "trips.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with path.open(encoding="utf-8", newline="") as lines, pytest.raises(TripsError, match="UTF-8"):
        read_trips(lines, path.name)


def test_replay_twice_gives_the_same_requests():
    trips = _day_of_trips()
    one, other = (_requests(_city(trips, copies=3)[0], 30) for _ in range(2))
    assert one == other


def test_replay_with_another_seed_keeps_the_ids():
    trips = _day_of_trips()
    one, other = (
        {request.request_id for request in _requests(_city(trips, seed=seed)[0], 90)}
        for seed in (1, 2)
    )
    assert len(one & other) > 0.8 * len(one)


def test_replay_gives_each_copy_its_own_id():
    city, _ = _city(_day_of_trips(), copies=2)
    requests = _requests(city, 90)
    counts = Counter(request.request_id for request in requests)
    assert set(counts.values()) == {1}
    assert 0.85 * 400 < len(counts) <= 400


def test_replay_keeps_most_copies_in_their_zone():
    by_zone = Counter(request.zone_id for request in _requests(_city(_day_of_trips())[0], 90))
    assert by_zone["z0-0"] / by_zone.total() == pytest.approx(0.8, abs=0.1)
    near = {grid_zones()[zone].zone_id for zone in Streets(grid_zones()).neighbours(0)}
    assert set(by_zone) == {"z0-0"} | near


def test_replay_at_tenfold_speed_takes_a_tenth():
    slow = _requests(_city(_day_of_trips())[0], 60)
    fast = _requests(_city(_day_of_trips(), speed=10.0)[0], 6)
    assert {one.request_id for one in slow} <= {one.request_id for one in fast}


def test_replay_counts_trips_from_unknown_zones():
    trips = [*_day_of_trips(10), *_day_of_trips(3, zone_id="elsewhere")]
    assert _city(trips)[1].skipped == 3


def test_replay_of_unknown_zones_alone_is_over():
    city, replay = _city(_day_of_trips(3, zone_id="elsewhere"))
    assert _requests(city, 5) == []
    assert replay.is_over(START_MS)


def test_replay_is_over_after_the_last_copy():
    _, replay = _city(_day_of_trips())
    assert not replay.is_over(START_MS + 60 * 60_000)
    assert replay.is_over(START_MS + 76 * 60_000)


def test_replay_expects_about_what_then_comes():
    city, replay = _city(_day_of_trips(), copies=20)
    city.opening()
    city.step(START_MS + 30 * 60_000, {})
    expected = sum(replay.expected(city.now_ms, []))
    assert expected == pytest.approx(city.counts.requests / 1_800, rel=0.25)


def test_replay_without_a_dropoff_draws_one():
    rows = [ROW.replace("z1-1", ""), ROW.replace("12:10:00", "12:00:30")]
    city, replay = _city(_read(*rows), copies=20)
    rides = [replay._copy(row, copy)[1] for row in replay._rows for copy in range(20)]
    assert len({ride.dropoff for ride in rides}) > 3
    assert {ride.trip_s for ride in rides} == {None}
    assert city.fleet.size >= 0


def test_replay_day_outside_the_file_is_refused():
    with pytest.raises(ValueError, match=r"^day=2019-04-01 is outside the trips, 2019-03-04"):
        replayed_city(grid_zones(), _read(ROW), start_ms=START_MS, day=date(2019, 4, 1))


@pytest.mark.parametrize("wrong", [{"copies": 0}, {"speed": 0.0}, {"speed": 1_001.0}])
def test_replay_refuses_what_is_out_of_range(wrong: dict[str, float]):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name}="):
        replayed_city(grid_zones(), _read(ROW), start_ms=START_MS, **wrong)  # type: ignore[arg-type] # on purpose


def test_rate_of_a_file_is_over_whole_days():
    assert trips_per_s(_day_of_trips(200)) == pytest.approx(200 / 86_400)


def test_skipped_local_time_is_the_hour_after():
    skipped = datetime(2019, 3, 10, 2, 30)  # noqa: DTZ001 - local time without an offset
    moment = datetime(2019, 3, 10, 7, 30, tzinfo=UTC)
    assert utc_ms(skipped, ZoneInfo("America/New_York")) == int(moment.timestamp() * 1000)


def test_recorded_trips_make_one_request_a_second():
    if not TRIPS.exists():
        pytest.skip("the recorded trips are not on this machine")
    with TRIPS.open(encoding="utf-8", newline="") as lines:
        trips = read_trips(lines, TRIPS.name)
    city, replay = replayed_city(
        load_catalogue(None).zones, trips, start_ms=START_MS, copies=20, speed=20
    )
    requests = _requests(city, 10)
    assert len(trips) == 4_226
    assert replay.skipped == 0
    assert 0.2 < len(requests) / 900 < 3.0
