from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from pricing.model import MICRO
from pricing.simulator.build import living_city
from pricing.simulator.city import HISTORY_MS, LivingCity
from pricing.simulator.city_events import CityEvent, DriverStatus, RideRequest
from pricing.simulator.disturbances import Disturbance, Duplicates, LetOut, Outage, Skew, Storm
from tests.support.grid_city import grid_zones

START_MS = 1_795_000_000_000
MINUTE_MS = 60_000


def _city(seed: int = 1, *, disturbances: Sequence[Disturbance] = (), name: str = "") -> LivingCity:
    return living_city(
        grid_zones(), start_ms=START_MS, seed=seed, scale=0.5, name=name, disturbances=disturbances
    )


def _lived(city: LivingCity, minutes: int = 5) -> list[CityEvent]:
    return [*city.opening(), *city.step(START_MS + minutes * MINUTE_MS, {})]


def _requests(events: list[CityEvent]) -> list[RideRequest]:
    return [one for one in events if isinstance(one, RideRequest)]


def test_city_with_the_same_seed_sends_the_same():
    assert _lived(_city(7)) == _lived(_city(7))


def test_city_with_another_seed_sends_something_else():
    assert _lived(_city(7)) != _lived(_city(8))


def test_city_name_changes_request_ids_alone():
    one, other = _requests(_lived(_city())), _requests(_lived(_city(name="b")))
    assert [request.at_ms for request in one] == [request.at_ms for request in other]
    assert not {request.request_id for request in one} & {request.request_id for request in other}


def test_city_does_not_depend_on_step_size():
    city = _city()
    parts = city.opening()
    for second in range(300):
        parts += city.step(START_MS + second * 1_000 + 999, {})
    parts += city.step(START_MS + 5 * MINUTE_MS, {})
    assert parts == _lived(_city())


def test_step_leaves_part_seconds_for_later():
    city = _city()
    city.opening()
    assert city.step(START_MS + 999, {}) == []
    assert city.now_ms == START_MS


def test_step_sends_in_order_without_the_future():
    city = _city()
    city.opening()
    sent = city.step(START_MS + 90_500, {})
    moments = [one.at_ms for one in sent]
    assert moments == sorted(moments)
    assert moments[0] >= START_MS
    assert moments[-1] < START_MS + 90_000


def test_opening_has_all_drivers_and_recent_requests():
    city = _city()
    opening = city.opening()
    statuses = [one for one in opening if isinstance(one, DriverStatus)]
    requests = _requests(opening)
    assert len(statuses) == len({one.driver_id for one in statuses}) == city.fleet.size
    assert opening[: len(statuses)] == statuses
    assert requests
    assert all(START_MS - HISTORY_MS < one.at_ms < START_MS for one in requests)


def test_opening_is_told_once():
    city = _city()
    assert city.opening()
    assert city.opening() == []


def test_price_of_an_unknown_zone_is_left_aside():
    city = _city()
    city.opening()
    assert city.step(START_MS + 2_000, {"nowhere": 2 * MICRO}) is not None


def test_city_after_a_pause_says_nothing_about_it():
    city = _city()
    city.skip_to(START_MS + 10 * MINUTE_MS)
    sent = city.step(START_MS + 11 * MINUTE_MS, {})
    assert sent[0].at_ms >= START_MS + 10 * MINUTE_MS


def test_let_out_adds_requests_in_its_zone():
    plan = LetOut(
        zone_id="z1-1", start_ms=START_MS, end_ms=START_MS + 5 * MINUTE_MS, requests_per_s=1.0
    )
    usual, crowded = Counter[str](), Counter[str]()
    usual.update(one.zone_id for one in _requests(_city().step(START_MS + 5 * MINUTE_MS, {})))
    city = _city(disturbances=[plan])
    crowded.update(one.zone_id for one in _requests(city.step(START_MS + 5 * MINUTE_MS, {})))
    assert crowded["z1-1"] - usual["z1-1"] == pytest.approx(300, rel=0.2)
    del usual["z1-1"], crowded["z1-1"]
    assert usual == crowded


def test_storm_brings_more_requests_and_fewer_drivers():
    storm = Storm(start_ms=START_MS, end_ms=START_MS + 20 * MINUTE_MS)
    dry, wet = _city(), _city(disturbances=[storm])
    dry.step(START_MS + 20 * MINUTE_MS, {})
    wet.step(START_MS + 20 * MINUTE_MS, {})
    assert wet.counts.requests > 1.2 * dry.counts.requests
    assert wet.fleet.size < 0.9 * dry.fleet.size


def test_outage_silences_drivers_but_not_riders():
    outage = Outage(start_ms=START_MS + 60_000, end_ms=START_MS + 120_000)
    sent = _city(disturbances=[outage]).step(START_MS + 180_000, {})
    within = [one for one in sent if outage.start_ms <= one.at_ms < outage.end_ms]
    assert within
    assert within == _requests(within)
    assert isinstance(sent[-1], DriverStatus)


def test_skew_moves_the_stamps_of_some_drivers():
    true = _lived(_city(), 1)
    skewed = _lived(_city(disturbances=[Skew(share=0.5, offset_ms=-3_000)]), 1)
    assert {b.at_ms - a.at_ms for a, b in zip(true, skewed, strict=True)} == {0, -3_000}


def test_duplicates_repeat_requests_under_their_id():
    requests = _requests(_lived(_city(disturbances=[Duplicates(share=1.0)])))
    counts = Counter(one.request_id for one in requests)
    assert set(counts.values()) == {2}


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": 101.0}, {"speed": 0.5}])
def test_living_city_refuses_what_is_out_of_range(wrong: dict[str, float]):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name}="):
        living_city(grid_zones(), start_ms=START_MS, **wrong)  # type: ignore[arg-type] # on purpose
