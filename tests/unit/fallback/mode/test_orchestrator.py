from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fallback.mode import BoundsKind, Level, ModeEvent, ModeState, Reading
from fallback.mode.orchestrator import Orchestrator
from fallback.mode.override import Override, OverrideFile, OverrideRefused, OverrideRequest
from tests.support.fake_clock import FakeClocks
from tests.support.mode_inputs import CONFIG
from tests.support.waiting import until


@dataclass
class Signals:
    """Readings that a test sets; None: missing, an exception: raised."""

    now: dict[str, Reading | Exception | None] = field(
        default_factory=lambda: {
            "load": Reading(value=0.0),
            "latency": Reading(value=0.0),
            "store": Reading(value="closed"),
        }
    )

    def all(self):
        return {name: lambda _now_s, name=name: self._read(name) for name in self.now}

    def _read(self, name: str) -> Reading | None:
        reading = self.now[name]
        if isinstance(reading, Exception):
            raise reading
        return reading


@dataclass
class Told:
    events: list[ModeEvent] = field(default_factory=list)
    ended: list[Override] = field(default_factory=list)
    steps: int = 0

    def on_step(self, state: ModeState, seen_s: float) -> None:
        self.steps += 1

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None:
        self.events.append(event)

    def on_override_ended(self, override: Override) -> None:
        self.ended.append(override)


class Broken(Told):
    def on_step(self, state: ModeState, seen_s: float) -> None:
        raise RuntimeError("an observer broke")

    on_mode_event = on_step


def floor(level: Level = Level.SEVERE, **more: object) -> OverrideRequest:
    fields = {"kind": BoundsKind.FLOOR, "reason": "maintenance of the cache", "actor": "ops"}
    return OverrideRequest(level=level, **{**fields, **more})


def make(
    clocks: FakeClocks,
    signals: Signals,
    *observers: Told,
    directory: Path | None = None,
    disk_timeout_s: float = 2.0,
) -> Orchestrator:
    return Orchestrator(
        CONFIG,
        signals.all(),
        directory=directory,
        observers=observers,
        now_s=clocks.now_s,
        wall_s=clocks.wall_s,
        boot_id="boot",
        disk_timeout_s=disk_timeout_s,
    )


def tick(orchestrator: Orchestrator, clocks: FakeClocks, times: int = 1) -> None:
    for _ in range(times):
        clocks.advance(1.0)
        orchestrator.step()


async def test_steps_follow_the_signals_and_are_told():
    clocks, signals, told = FakeClocks(), Signals(), Told()
    orchestrator = make(clocks, signals, told)
    signals.now["load"] = Reading(value=20.0)
    tick(orchestrator, clocks, 3)
    assert (orchestrator.level, [event.new for event in told.events]) == (2, [2])
    assert told.steps == 3


async def test_step_samples_once_before_it_reads():
    clocks, signals, order = FakeClocks(), Signals(), []

    def reader(name: str):
        return lambda now_s: order.append(f"{name} {now_s}") or signals.now[name]

    orchestrator = Orchestrator(
        CONFIG,
        {name: reader(name) for name in signals.now},
        before_step=lambda now_s: order.append(f"sample {now_s}"),
        now_s=clocks.now_s,
        boot_id="boot",
    )
    tick(orchestrator, clocks)
    at = clocks.now_s()
    assert order == [f"{name} {at}" for name in ("sample", "load", "latency", "store")]


async def test_sample_that_breaks_leaves_the_readings():
    clocks, signals, calls = FakeClocks(), Signals(), []

    def fail(now_s: float) -> None:
        calls.append(now_s)
        raise RuntimeError("a sample broke")

    orchestrator = Orchestrator(
        CONFIG, signals.all(), before_step=fail, now_s=clocks.now_s, boot_id="boot"
    )
    signals.now["store"] = Reading(value="x", entered=Level(3), kept=Level(3), is_hard=True)
    tick(orchestrator, clocks, 2)
    assert (orchestrator.level, len(calls)) == (Level.SEVERE, 2)


async def test_observer_that_breaks_stops_nothing():
    clocks, signals, told = FakeClocks(), Signals(), Told()
    orchestrator = make(clocks, signals, Broken(), told)
    signals.now["store"] = Reading(value="x", entered=Level(3), kept=Level(3), is_hard=True)
    tick(orchestrator, clocks)
    assert [event.new for event in told.events] == [Level.SEVERE]


@pytest.mark.parametrize("fault", [None, RuntimeError("a signal broke")])
async def test_signal_without_a_reading_becomes_blind(fault):
    clocks, signals, told = FakeClocks(), Signals(), Told()
    orchestrator = make(clocks, signals, told)
    signals.now["load"] = fault
    tick(orchestrator, clocks, 35)
    assert orchestrator.state.inputs["load"].is_blind
    assert orchestrator.level is Level.MINOR
    signals.now["load"] = Reading(value=0.0)
    tick(orchestrator, clocks)
    assert not orchestrator.state.inputs["load"].is_blind


async def test_poke_brings_a_step_between_ticks():
    signals, told = Signals(), Told()
    async with Orchestrator(CONFIG, signals.all(), observers=[told]) as orchestrator:
        signals.now["store"] = Reading(value="x", entered=Level(4), kept=Level(4), is_hard=True)
        orchestrator.step_now()
        await until(lambda: orchestrator.level is Level.CRITICAL, "critical")


async def test_loop_goes_on_after_a_step_that_fails(monkeypatch):
    signals = Signals()
    orchestrator = Orchestrator(CONFIG, signals.all())
    original, failures = orchestrator.step, []

    def failing(**options: bool) -> None:
        if failures:
            original(**options)
        else:
            failures.append(1)
            raise RuntimeError("once")

    async with orchestrator:
        monkeypatch.setattr(orchestrator, "step", failing)
        orchestrator.step_now()
        await until(lambda: failures, "a step that failed")
        signals.now["store"] = Reading(value="x", entered=Level(4), kept=Level(4), is_hard=True)
        orchestrator.step_now()
        await until(lambda: orchestrator.level is Level.CRITICAL, "critical")


async def test_override_survives_the_process(tmp_path):
    clocks, signals = FakeClocks(), Signals()
    saved = await make(clocks, signals, directory=tmp_path).set_override(floor())
    assert saved.is_durable
    async with make(clocks, signals, directory=tmp_path) as second:
        assert (second.level, second.override) == (Level.SEVERE, saved.override)


async def test_override_that_ended_meanwhile_does_not_come_back(tmp_path):
    clocks, signals = FakeClocks(), Signals()
    await make(clocks, signals, directory=tmp_path).set_override(floor(expires_in_s=60))
    clocks.advance(61)
    async with make(clocks, signals, directory=tmp_path) as second:
        assert (second.level, second.override) == (Level.NORMAL, None)


async def test_released_override_is_gone_from_the_disk(tmp_path):
    clocks, signals = FakeClocks(), Signals()
    orchestrator = make(clocks, signals, directory=tmp_path)
    await orchestrator.set_override(floor())
    assert await orchestrator.end_override()
    assert (orchestrator.level, OverrideFile(tmp_path).load()) == (Level.NORMAL, None)
    assert await orchestrator.end_override()


async def test_override_that_the_disk_does_not_let_go_is_said_to_come_back(tmp_path, monkeypatch):
    clocks, signals = FakeClocks(), Signals()
    orchestrator = make(clocks, signals, directory=tmp_path)
    await orchestrator.set_override(floor())

    def failing(_file: OverrideFile) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(OverrideFile, "clear", failing)
    assert not await orchestrator.end_override()
    assert (orchestrator.level, orchestrator.override) == (Level.NORMAL, None)


async def test_last_word_wins_on_a_disk_that_hangs(tmp_path, monkeypatch):
    clocks, signals, go, done = FakeClocks(), Signals(), threading.Event(), []
    save, clear = OverrideFile.save, OverrideFile.clear

    def slow_save(file: OverrideFile, override: Override) -> None:
        go.wait(5)
        save(file, override)
        done.append("save")

    def noted_clear(file: OverrideFile) -> None:
        clear(file)
        done.append("clear")

    monkeypatch.setattr(OverrideFile, "save", slow_save)
    monkeypatch.setattr(OverrideFile, "clear", noted_clear)
    orchestrator = make(clocks, signals, directory=tmp_path, disk_timeout_s=0.01)
    assert not (await orchestrator.set_override(floor())).is_durable
    assert not await orchestrator.end_override()
    go.set()
    await until(lambda: len(done) == 2, "both")
    assert (done, OverrideFile(tmp_path).load()) == (["save", "clear"], None)


@pytest.mark.parametrize("step_s", [-86_400.0, 86_400.0])
async def test_step_of_the_wall_clock_never_keeps_an_override(step_s):
    clocks, signals, told = FakeClocks(), Signals(), Told()
    orchestrator = make(clocks, signals, told)
    await orchestrator.set_override(floor(expires_in_s=100))
    clocks.wall += step_s
    tick(orchestrator, clocks, 99)
    assert (orchestrator.override is None) is (step_s > 0)
    tick(orchestrator, clocks, 2)
    assert (orchestrator.override, len(told.ended)) == (None, 1)


async def test_expired_override_leaves_the_mode_one_level_a_dwell():
    clocks, signals, told = FakeClocks(), Signals(), Told()
    orchestrator = make(clocks, signals, told)
    await orchestrator.set_override(floor(Level.MODERATE, expires_in_s=10))
    tick(orchestrator, clocks, 9 + 60)
    assert orchestrator.level is Level.MINOR
    assert orchestrator.remaining_s() is None


async def test_refused_override_changes_nothing():
    clocks, signals = FakeClocks(), Signals()
    orchestrator = make(clocks, signals)
    with pytest.raises(OverrideRefused):
        await orchestrator.set_override(floor(reason="short"))
    assert (orchestrator.level, orchestrator.override) == (Level.NORMAL, None)


async def test_override_holds_although_the_disk_fails(tmp_path):
    clocks, signals = FakeClocks(), Signals()
    (tmp_path / "file").write_text("in the way")
    orchestrator = make(clocks, signals, directory=tmp_path / "file")
    saved = await orchestrator.set_override(floor())
    assert (saved.is_durable, orchestrator.level) == (False, Level.SEVERE)


async def test_signal_without_an_input_is_refused():
    with pytest.raises(ValueError, match="extra"):
        Orchestrator(CONFIG, {"extra": lambda _now_s: None})


async def test_override_tells_how_long_it_lasts():
    clocks, signals = FakeClocks(), Signals()
    orchestrator = make(clocks, signals)
    await orchestrator.set_override(floor(expires_in_s=100))
    clocks.advance(40)
    assert orchestrator.remaining_s() == pytest.approx(60)
    await asyncio.sleep(0)
