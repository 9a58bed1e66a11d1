"""Counts at a tick depend on the set of visible events, and on nothing else.

The windows are shrunk and the names few, so that copies, ties, moves and late arrivals meet.
Lengths are in ms, but stand for any unit.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import event, given, settings
from hypothesis import strategies as st

from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.windows import WindowConfig
from pricing.surge.window import CityWindow
from tests.support.surge_model import Beat, Counts, Record, Request, Windows, counts_at

unhurried = settings(deadline=None)
"""A busy machine is slow now and then; no single example has a deadline."""

TICK = 10
CONFIGS = [
    WindowConfig(
        tick_ms=TICK,
        grace_ms=grace_ms,
        demand_window_ms=demand_ms,
        supply_window_ms=supply_ms,
        supply_hold_after_ms=hold_ms,
        supply_unknown_after_ms=unknown_ms,
    )
    for grace_ms, demand_ms, supply_ms, hold_ms, unknown_ms in [
        (3, 60, 20, 10, 40),  # in the proportions of the real ones
        (0, 35, 20, 10, 60),  # supply reaches back beyond demand
        (12, 60, 15, 25, 40),  # a grace beyond a tick; held after supply would be gone
    ]
]
configs = st.sampled_from(CONFIGS)


def windows_of(config: WindowConfig) -> Windows:
    return Windows(
        grace_ms=config.grace_ms,
        demand_ms=config.demand_window_ms,
        supply_ms=config.supply_window_ms,
        hold_after_ms=config.supply_hold_after_ms,
        unknown_after_ms=config.supply_unknown_after_ms,
    )


def expected(records: list[Record], tick_ms: int, config: WindowConfig) -> Counts:
    return counts_at(records, tick_ms, windows_of(config))


def add(window: CityWindow, record: Record) -> Disposition:
    fields = {name: getattr(record, name) for name in record.__slots__}
    kind = DemandEvent if isinstance(record, Request) else SupplyEvent
    return window.add(kind(**fields))


def counted(window: CityWindow, tick_ms: int) -> Counts:
    counts = window.count(tick_ms)
    zones = {*counts.demand, *counts.supply}
    assert all(counts.demand.values())
    assert all(counts.supply.values())
    return Counts(
        {zone: (counts.demand.get(zone, 0), counts.supply.get(zone, 0)) for zone in zones},
        counts.signal.value,
    )


@dataclass(frozen=True)
class Step:
    """Go on by some ticks and count, or be pickled."""

    act: Literal["count", "pickle"]
    ticks: int = 0


def record_at(
    arrived_ms: st.SearchStrategy[int], *, names: str = "pqr"
) -> st.SearchStrategy[Record]:
    """Records that arrive around an instant; some happened long before, some "after".

    `names` are those of requests and drivers.
    """
    times = st.tuples(arrived_ms, st.integers(-90, 15)).map(
        lambda pair: {"arrived_ms": pair[0], "occurred_ms": sum(pair)}
    )
    common = {"event_id": st.sampled_from("abc"), "zone_id": st.sampled_from("XYZ")}
    requests = st.fixed_dictionaries({"request_id": st.sampled_from(names), **common})
    beats = st.fixed_dictionaries(
        {"driver_id": st.sampled_from(names), "available": st.booleans(), **common}
    )
    return st.one_of(
        st.builds(lambda one, two: Request(**one, **two), requests, times),
        st.builds(lambda one, two: Beat(**one, **two), beats, times),
    )


records_of_a_log = st.lists(record_at(st.integers(0, 250)), max_size=14)
ticks = st.integers(0, 30).map(lambda number: number * TICK)


def traces() -> st.SearchStrategy[list[Record | Step]]:
    """Records beside the tick that was counted last, and what happens between them."""
    count = st.builds(Step, st.just("count"), st.sampled_from([1, 1, 1, 2, 5]))
    record = record_at(st.integers(-70, 40))
    return st.lists(st.one_of(record, count, st.just(Step("pickle"))), max_size=40)


def dense_traces() -> st.SearchStrategy[list[Record | Step]]:
    """Some copies of one request, and heartbeats of one driver, between any two ticks."""
    between = st.lists(record_at(st.integers(-10, 10), names="p"), max_size=2)
    return st.lists(between, min_size=5, max_size=20).map(
        lambda rounds: [step for records in rounds for step in (*records, Step("count", 1))]
    )


@settings(unhurried, max_examples=1_000)
@given(config=configs, trace=traces() | dense_traces())
def test_every_tick_counts_what_the_definition_says(config, trace):
    """In whatever order records come, early, late or overdue, and through any pickling."""
    window, records, tick_ms = CityWindow(config), [], 200
    for step in [*trace, *[Step("count", 1)] * 8]:
        if isinstance(step, Step) and step.act == "count":
            tick_ms += step.ticks * TICK
            assert counted(window, tick_ms) == expected(records, tick_ms, config)
        elif isinstance(step, Step):
            window = pickle.loads(pickle.dumps(window))  # noqa: S301 - bytes of our own
        else:
            record = replace(
                step,
                arrived_ms=step.arrived_ms + tick_ms,
                occurred_ms=step.occurred_ms + tick_ms,
            )
            admission = add(window, record)
            event(str(admission))
            records.append(record)


@unhurried
@given(config=configs, records=records_of_a_log, data=st.data())
def test_order_repeats_and_gaps_change_no_tick(config, records, data):
    """P1: one reader takes all records first, the other each as it may arrive, and twice."""
    asked = sorted(data.draw(st.sets(ticks, min_size=1, max_size=8)))
    at_once, as_they_come = CityWindow(config), CityWindow(config)
    for record in data.draw(st.permutations(records)):
        add(at_once, record)
    rest = data.draw(st.permutations(records + records))
    seen = {}
    for tick_ms in range(0, 310, TICK):
        for record in [one for one in rest if one.arrived_ms <= tick_ms + config.grace_ms]:
            add(as_they_come, record)
            rest.remove(record)
        seen[tick_ms] = counted(as_they_come, tick_ms)
    assert {tick_ms: counted(at_once, tick_ms) for tick_ms in asked} == {
        tick_ms: seen[tick_ms] for tick_ms in asked
    }


@unhurried
@given(config=configs, records=records_of_a_log, tick_ms=ticks, data=st.data())
def test_arrival_matters_only_where_it_crosses_the_cut(config, records, tick_ms, data):
    """P2."""
    cut_ms = tick_ms + config.grace_ms
    moved = []
    for record in records:
        least = max(record.occurred_ms, cut_ms + 1 if record.arrived_ms > cut_ms else 0)
        greatest = 400 if record.arrived_ms > cut_ms else cut_ms
        movable = record.occurred_ms <= record.arrived_ms and least <= greatest
        arrived = st.integers(least, greatest) if movable else st.just(record.arrived_ms)
        moved.append(replace(record, arrived_ms=data.draw(arrived)))
    assert of_one_tick(moved, tick_ms, config) == of_one_tick(records, tick_ms, config)


@unhurried
@given(config=configs, records=records_of_a_log, tick_ms=ticks)
def test_records_older_than_the_memory_never_matter(config, records, tick_ms):
    """P3: so a process that reads the log again may start there."""
    recent = [one for one in records if one.arrived_ms > tick_ms - config.memory_ms]
    assert of_one_tick(recent, tick_ms, config) == of_one_tick(records, tick_ms, config)


def test_memory_of_the_specified_windows_is_five_minutes():
    assert WindowConfig().memory_ms == 300_000


@unhurried
@given(config=configs, records=records_of_a_log)
def test_supply_stands_still_while_it_is_held(config, records):
    """P4: unless an old heartbeat arrives only then."""
    window = CityWindow(config)
    for record in records:
        add(window, record)
    before, before_ms = counted(window, 0), 0
    for tick_ms in range(TICK, 310, TICK):
        now = counted(window, tick_ms)
        cut_ms = before_ms + config.grace_ms
        if now.signal == before.signal == "held" and not any(
            isinstance(one, Beat) and cut_ms < one.arrived_ms <= cut_ms + TICK for one in records
        ):
            assert supply_of(now) == supply_of(before)
        before, before_ms = now, tick_ms


@unhurried
@given(
    config=configs, records=records_of_a_log, extra=record_at(st.integers(0, 250)), tick_ms=ticks
)
def test_new_request_or_driver_only_adds(config, records, extra, tick_ms):
    """P5: a new driver only while the signal is live before and after."""
    is_request = isinstance(extra, Request)
    extra = replace(extra, **{"request_id" if is_request else "driver_id": "new"})
    before = of_one_tick(records, tick_ms, config)
    after = of_one_tick([*records, extra], tick_ms, config)
    if not is_request and {before.signal, after.signal} != {"live"}:
        return
    grown = {zone: after.of(zone) for zone in after.zones if after.of(zone) != before.of(zone)}
    demand, supply = before.of(extra.zone_id)
    one_more = (demand + 1, supply) if is_request else (demand, supply + 1)
    assert grown in ({}, {extra.zone_id: one_more})
    assert before.zones.keys() <= after.zones.keys()


@settings(unhurried, max_examples=300)
@given(config=configs, trace=traces())
def test_late_record_changes_no_tick_to_come(config, trace):
    """A record may be called late only if every later tick is the same without it."""
    window, kept, tick_ms = CityWindow(config), [], 200
    for step in [*trace, *[Step("count", 1)] * 8]:
        if isinstance(step, Step):
            tick_ms += step.ticks * TICK
            if step.act == "count":
                assert counted(window, tick_ms) == expected(kept, tick_ms, config)
        else:
            record = replace(
                step,
                arrived_ms=step.arrived_ms + tick_ms,
                occurred_ms=step.occurred_ms + tick_ms,
            )
            if Disposition.LATE not in add(window, record):
                kept.append(record)


@unhurried
@given(config=configs, records=records_of_a_log)
def test_window_is_empty_again_after_its_memory(config, records):
    window = CityWindow(config)
    for record in records:
        add(window, record)
    for tick_ms in range(0, 400, TICK):
        window.count(tick_ms)
    assert not window._demand._runs
    assert not window._demand._demand
    assert not window._supply._newest
    for schedule in (window._demand._schedule, window._supply._schedule):
        assert not schedule._entries
        assert not schedule._ticks


def of_one_tick(records: list[Record], tick_ms: int, config: WindowConfig) -> Counts:
    window = CityWindow(config)
    for record in records:
        add(window, record)
    return counted(window, tick_ms)


def supply_of(counts: Counts) -> dict[str, int]:
    return {zone: supply for zone, (_, supply) in counts.zones.items() if supply}


@unhurried
@given(config=configs, record=record_at(st.integers(130, 240)))
def test_lone_request_is_late_only_if_unseen(config, record):
    """What is called late is no more than what cannot count."""
    window = CityWindow(config)
    window.count(200)
    if isinstance(record, Request):
        is_late = Disposition.LATE in add(window, record)
        to_come = range(210, 400, TICK)
        assert is_late == (not any(expected([record], t, config).zones for t in to_come))
