"""The pump over a real spool, into a sink in memory that fails as told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from fallback.pump import Pump, PumpConfig, PumpState, SilentPumpObserver
from fallback.pump.sink import NeedsOperator, Poison, RetryLater, SinkFailure, SinkReset
from fallback.spool import Durability, Entry, Record, Spool, SpoolConfig
from tests.support.memory_sink import MemorySink, poisoned_by
from tests.support.waiting import until

A, B = b"a/0", b"b/0"
MIB = 1 << 20
SMALL = SpoolConfig(segment_bytes=MIB, quota_bytes=256 * MIB, free_floor_bytes=0)
QUICK = PumpConfig(
    retry_s=0.01,
    retry_most_s=0.05,
    parked_retry_s=0.05,
    parked_retry_most_s=0.1,
    stall_s=0.2,
    alarm_s=0.5,
    diagnose_every_s=0.1,
    renew_s=1.0,
    slow_start_s=0,
)


@dataclass
class World:
    spool: Spool
    sink: MemorySink
    pump: Pump
    dead_lettered: list[tuple[bytes, str, int]] = field(default_factory=list)
    refusal: NeedsOperator | None = None

    async def keep_dead_letter(self, record: Record, failure: Poison, attempts: int) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.dead_lettered.append((record.body, failure.code, attempts))

    async def append(self, lane: bytes, bodies: Sequence[bytes]) -> range:
        entries = [Entry(lane, body) for body in bodies]
        return await self.spool.append(entries, durability=Durability.DURABLE, timeout_s=5)

    async def drained(self, within_s: float = 60) -> None:
        await until(lambda: not self.spool.stats().records, "drained", within_s)

    @property
    def alarms(self) -> set[tuple[str, str]]:
        return {(alarm.kind, alarm.group) for alarm in self.pump.stats().alarms}


@asynccontextmanager
async def opened(directory, config: PumpConfig = QUICK) -> AsyncIterator[World]:
    sink = MemorySink()
    async with Spool.open(directory, SMALL) as spool:
        world = World(spool, sink, pump=None)  # type: ignore[arg-type] # the next line has it
        world.pump = Pump(spool, sink, dead_letter=world.keep_dead_letter, config=config)
        async with world.pump:
            yield world


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world


def bodies(count: int, first: int = 0) -> list[bytes]:
    return [str(number).encode() for number in range(first, first + count)]


def only(kind: type[SinkFailure], lane: bytes, times: int, **options: object):
    """Fails the first batches of a lane."""
    left = [times]

    def rule(name: bytes, _bodies: Sequence[bytes]) -> SinkFailure | None:
        if name != lane or left[0] <= 0:
            return None
        left[0] -= 1
        return kind("as told", **options)  # type: ignore[arg-type] # each kind has its own

    return rule


async def test_everything_arrives_in_order_and_is_acknowledged(world):
    for start in range(0, 2_000, 100):
        await world.append(A, bodies(100, start))
        await world.append(B, bodies(100, start))
    await world.drained()
    assert world.sink.kept[A] == world.sink.kept[B] == bodies(2_000)
    assert world.pump.stats().sent == 4_000


async def test_waiters_hear_of_deliveries_and_of_dead_letters(world):
    world.sink.rule = poisoned_by(b"1")
    seqs = await world.append(A, bodies(3))
    found = await world.pump.delivery_waiters.wait({A: seqs[2]}, 5)
    assert found == {A: seqs[2]}
    (last,) = await world.append(A, [b"1"])
    assert await world.pump.delivery_waiters.wait({A: last}, 5) == {}


async def test_waiting_callers_leave_nothing_behind(world):
    world.sink.gate.clear()
    await world.append(A, bodies(1))
    before = futures()
    waits = [world.pump.delivery_waiters.wait({A: 1}, 0.05) for _ in range(200)]
    assert await asyncio.gather(*waits) == [{}] * 200
    assert futures() < before + 20
    world.sink.gate.set()
    await world.drained()


def futures() -> int:
    gc.collect()
    return sum(type(kept) is asyncio.Future for kept in gc.get_objects())


@pytest.mark.parametrize("bad", [0, 1, 249, 250, 498, 499])
async def test_poison_is_found_wherever_it_stands(world, bad):
    world.sink.rule = poisoned_by(str(bad).encode())
    await world.append(A, bodies(500))
    await world.drained()
    assert [body for body, _, _ in world.dead_lettered] == [str(bad).encode()]
    assert world.sink.kept[A] == [body for body in bodies(500) if body != str(bad).encode()]


async def test_several_poisons_in_one_batch_are_each_put_aside(world):
    bad = [b"3", b"4", b"77", b"78", b"79"]
    world.sink.rule = poisoned_by(*bad, certain_after=3)
    await world.append(A, bodies(100))
    await world.drained()
    assert [body for body, _, _ in world.dead_lettered] == bad
    assert world.sink.kept[A] == [body for body in bodies(100) if body not in bad]


async def test_other_lanes_go_on_while_one_is_taken_apart(world):
    world.sink.rule = poisoned_by(b"7", certain_after=3)
    await world.append(A, bodies(500))
    await world.append(B, bodies(100, 1_000))
    await until(lambda: len(world.sink.kept[B]) == 100, "the other lane")
    await world.drained()


async def test_refusal_that_goes_away_dead_letters_nothing(world):
    world.sink.rule = only(Poison, A, 2, certain_after=3)
    await world.append(A, bodies(50))
    await world.drained()
    assert (world.dead_lettered, world.sink.kept[A]) == ([], bodies(50))


@pytest.mark.parametrize("kind", [RetryLater, SinkReset])
async def test_failed_batch_goes_again_and_nothing_overtakes_it(world, kind):
    world.sink.rule = only(kind, A, 5, may_be_delivered=True)
    for number in range(20):
        await world.append(A, bodies(10, number * 10))
    await world.drained()
    assert world.sink.kept[A] == bodies(200)
    assert world.pump.stats().resent >= 5


async def test_refused_permission_parks_its_group_and_flows_by_itself_later(world):
    denied = NeedsOperator("denied", group="a", code="29")
    world.sink.rule = lambda lane, _: denied if lane.startswith(b"a/") else None
    await world.append(A, bodies(10))
    await world.append(b"a/1", bodies(10))
    await world.append(B, bodies(10))
    await until(lambda: ("parked", "a") in world.alarms, "the alarm")
    assert (world.pump.state, world.sink.kept[B]) == (PumpState.SPOOLING, bodies(10))
    world.sink.rule = lambda _lane, _bodies: None
    await world.drained()
    await until(lambda: not world.alarms, "the alarm's end")
    await until(lambda: world.pump.state is PumpState.HEALTHY, "healthy")
    assert world.dead_lettered == []


async def test_letters_that_cannot_be_kept_stop_the_lane_and_lose_nothing(world):
    world.sink.rule = poisoned_by(b"5")
    world.refusal = NeedsOperator("the dead letters are full", group="a")
    await world.append(A, bodies(10))
    await until(lambda: ("parked", "a") in world.alarms, "the alarm")
    assert world.sink.kept[A] == bodies(5)
    world.refusal = None
    await world.drained()
    assert world.sink.kept[A] == bodies(5) + bodies(4, 6)


async def test_flood_of_dead_letters_parks_the_lane(tmp_path):
    config = PumpConfig(dead_letters_per_minute=3, parked_retry_s=0.05, parked_retry_most_s=0.1)
    async with opened(tmp_path, config) as world:
        world.sink.rule = poisoned_by(*bodies(100))
        await world.append(A, bodies(100))
        await until(lambda: ("parked", "a") in world.alarms, "the alarm")
        assert len(world.dead_lettered) == 3


async def test_stuck_batch_is_asked_about_told_and_at_last_renewed(world):
    world.sink.gate.clear()
    await world.append(A, bodies(1))
    await until(lambda: world.pump.state is PumpState.SPOOLING, "spooling")
    await until(lambda: ("stalled", "a") in world.alarms, "the alarm")
    await until(lambda: world.sink.renewals, "a new start")
    world.sink.gate.set()
    await until(lambda: not world.alarms, "the alarm's end")


async def test_stuck_batch_is_not_renewed_while_the_reason_is_known(world):
    asked: list[bytes] = []

    async def diagnose(lane: bytes) -> NeedsOperator:
        asked.append(lane)
        return NeedsOperator("wrong password", group=None)

    world.sink.gate.clear()
    world.sink.diagnose = diagnose
    await world.append(A, bodies(1))
    await until(lambda: ("stalled", "") in world.alarms, "the alarm")
    times = 1.3 * QUICK.renew_s / QUICK.diagnose_every_s
    await until(lambda: len(asked) > times, "asked for longer than a renewal would wait")
    assert not world.sink.renewals
    world.sink.gate.set()


async def test_what_is_under_way_is_bounded_by_one_batch_a_lane(world):
    world.sink.gate.clear()
    for lane in range(20):
        await world.append(b"a/%d" % lane, [b"x" * 1_000] * 700)
    await until(lambda: world.sink.most_at_once == 20, "all lanes wait")
    assert max(records for _, records in world.sink.batches) <= QUICK.batch_records
    world.sink.gate.set()
    await world.drained(20)
    assert world.sink.most_at_once == 20


async def test_pace_is_kept_for_all_lanes_together(tmp_path):
    async with opened(tmp_path, PumpConfig(records_per_s=2_000)) as world:
        for lane in range(4):
            await world.append(b"a/%d" % lane, bodies(1_000))
        began_s = asyncio.get_running_loop().time()
        await world.drained(20)
        took_s = asyncio.get_running_loop().time() - began_s
        assert took_s > 4_000 / 2_000 * 0.7


async def test_alarms_go_on_after_a_diagnosis_that_breaks(world):
    """Once it did: whatever stood still from then on raised no alarm."""
    asked = []

    async def break_once(lane: bytes) -> None:
        asked.append(lane)
        if len(asked) == 1:
            raise RuntimeError("the sink's question broke")

    world.sink.diagnose = break_once
    world.sink.gate.clear()
    await world.append(A, bodies(1))
    await until(lambda: ("stalled", "a") in world.alarms, "the alarm")
    world.sink.gate.set()


async def test_failed_observer_breaks_nothing(tmp_path):
    sink = MemorySink()
    async with Spool.open(tmp_path, SMALL) as spool:

        async def keep_dead_letter(*_: object) -> None:
            raise AssertionError

        loud = type("Loud", (SilentPumpObserver,), {"on_sent": fail, "on_state_change": fail})()
        pump = Pump(spool, sink, dead_letter=keep_dead_letter, config=QUICK, observers=(loud,))
        async with pump:
            entries = [Entry(A, b"1")]
            await spool.append(entries, durability=Durability.DURABLE, timeout_s=5)
            await until(lambda: not spool.stats().records, "drained")


def fail(*_: object) -> None:
    raise RuntimeError("an observer failed")


async def test_restart_goes_on_where_it_ended(tmp_path):
    async with opened(tmp_path) as world:
        world.sink.gate.clear()
        await world.append(A, bodies(1_200))
    async with opened(tmp_path) as world:
        await world.drained()
        assert world.sink.kept[A] == bodies(1_200)
    async with opened(tmp_path) as world:
        await world.append(A, [b"last"])
        await world.drained()
        assert world.sink.kept[A] == [b"last"]
