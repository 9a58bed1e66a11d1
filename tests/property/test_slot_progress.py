"""A tick is computed only when every record that it needs was taken, and then soon."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pricing.model import Signal
from pricing.processor.progress import Barrier, SlotProgress
from pricing.surge.city import CityStates

TICK_MS = 5_000
GRACE_MS = 250
TOPICS = ("ride-requests", "driver-status")


@dataclass
class City:
    """Stands for a `CitySurge`: remembers what was taken when each tick was computed."""

    city_id: str = "nyc"
    taken: list[int] = field(default_factory=list)
    at_tick: dict[int, list[int]] = field(default_factory=dict)

    def states_at(self, tick_ms):
        self.at_tick[tick_ms] = list(self.taken)
        return CityStates(city_id="nyc", tick_ms=tick_ms, signal=Signal.LIVE, states=(), changed=())


def progress_of(city, next_tick_ms=0, publish_from_ms=0):
    return SlotProgress(
        slot=0,
        cities={"nyc": city},
        topics=TOPICS,
        tick_ms=TICK_MS,
        grace_ms=GRACE_MS,
        next_tick_ms=next_tick_ms,
        publish_from_ms=publish_from_ms,
    )


arrivals = st.lists(st.integers(0, 40_000), max_size=12).map(sorted)


@given(logs=st.tuples(arrivals, arrivals), data=st.data())
def test_tick_sees_every_record_of_its_grace(logs, data):
    city = City()
    progress = progress_of(city)
    positions = dict.fromkeys(TOPICS, 0)
    remaining = {topic: list(log) for topic, log in zip(TOPICS, logs, strict=True)}
    while any(remaining.values()):
        topic = data.draw(st.sampled_from([topic for topic in TOPICS if remaining[topic]]))
        arrived_ms = remaining[topic].pop(0)
        progress.saw(topic, arrived_ms)
        city.taken.append(arrived_ms)
        positions[topic] += 1
        list(progress.ticks(positions))
    progress.barrier = Barrier(50_000, dict(positions))
    computed = list(progress.ticks(positions))
    everything = sorted(logs[0] + logs[1])
    assert list(city.at_tick) == list(range(0, 50_001, TICK_MS))
    assert computed
    for tick_ms, taken in city.at_tick.items():
        needed = [arrived for arrived in everything if arrived <= tick_ms + GRACE_MS]
        assert sorted(arrived for arrived in taken if arrived <= tick_ms + GRACE_MS) == needed


def test_tick_waits_for_the_lagging_topic():
    progress = progress_of(City())
    progress.saw("ride-requests", 30_000)
    assert list(progress.ticks({"ride-requests": 1})) == []
    progress.saw("driver-status", 5_251)
    ticks = [tick_ms for tick_ms, _ in progress.ticks({"ride-requests": 1, "driver-status": 1})]
    assert ticks == [0, 5_000]


def test_barrier_stands_in_for_an_idle_topic():
    progress = progress_of(City(), next_tick_ms=10_000)
    positions = {"ride-requests": 7, "driver-status": 3}
    assert progress.wants_barrier(10_000, positions)
    progress.barrier = Barrier(10_000, {"ride-requests": 8, "driver-status": 3})
    assert list(progress.ticks(positions)) == []
    assert not progress.wants_barrier(15_000, positions)
    positions["ride-requests"] = 8
    assert [tick_ms for tick_ms, _ in progress.ticks(positions)] == [10_000]
    assert not progress.wants_barrier(10_000, positions)
    assert progress.wants_barrier(15_000, positions)


def test_ticks_before_the_first_published_are_computed():
    city = City()
    progress = progress_of(city, next_tick_ms=0, publish_from_ms=5_000)
    progress.barrier = Barrier(10_000, {})
    assert [tick_ms for tick_ms, _ in progress.ticks({})] == [5_000, 10_000]
    assert list(city.at_tick) == [0, 5_000, 10_000]


def test_topic_read_ahead_shows_its_lead():
    progress = progress_of(City())
    progress.saw("ride-requests", 90_000)
    progress.saw("driver-status", 20_001)
    progress.barrier = Barrier(100_000, {"ride-requests": 9, "driver-status": 9})
    behind = {"ride-requests": 5, "driver-status": 1}
    assert progress.lead_ms("ride-requests", behind) == 70_000
    assert progress.lead_ms("driver-status", behind) == 1


def test_empty_topic_holds_nothing_up():
    progress = progress_of(City())
    progress.saw("ride-requests", 90_000)
    progress.barrier = Barrier(100_000, {"ride-requests": 9, "driver-status": 0})
    assert progress.lead_ms("ride-requests", {"ride-requests": 5, "driver-status": 0}) == 1


def test_partition_without_a_city_still_ticks():
    progress = progress_of(City())
    progress.cities = {}
    progress.barrier = Barrier(0, {})
    assert list(progress.ticks({})) == [(0, [])]


def test_records_below_the_committed_offset_are_repeats():
    progress = progress_of(City())
    progress.handled = {"ride-requests": 5}
    assert progress.is_repeat("ride-requests", 4)
    assert not progress.is_repeat("ride-requests", 5)
    assert not progress.is_repeat("driver-status", 0)
