"""Runs the mode of one process: reads the signals, applies the step, tells the observers.

    async with Orchestrator(config, signals, ...) as orchestrator:
        orchestrator.state.effective

A step comes every tick, and at once after `step_now` (a hard cause: a breaker that opens, a spool
that is full, an operator). A signal that fails is a missing reading, an observer or a
sample that fails is logged; none of them stops the loop. Nothing here calls a dependency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import structlog

from fallback.clock import Monotonic, Wall, monotonic_s, wall_s
from fallback.mode import Inputs, Level, ModeConfig, ModeEvent, ModeState, Reading, initial, step
from fallback.mode.override import (
    Override,
    OverrideFile,
    OverrideRequest,
    current_boot_id,
    make_override,
    revive,
)
from fallback.observer import notify

_log = structlog.get_logger(__name__)

InputReader = Callable[[float], Reading | None]
"""Gives an input's reading at a monotonic time, and changes nothing; None: there is none."""


class ModeObserver(Protocol):
    """Hears what the mode does. Must not wait; what it raises is logged."""

    def on_step(self, state: ModeState, seen_s: float) -> None:
        """After every step, before its events; `seen_s` since the last one."""
        ...

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None: ...

    def on_override_ended(self, override: Override) -> None:
        """It expired; one that an operator ends is told to nobody but the operator."""
        ...


@dataclass(frozen=True, slots=True)
class Saved:
    """An override that holds. `is_durable`: it is also on the disk."""

    override: Override
    is_durable: bool


class Orchestrator:
    """The mode of one process. Belongs to one event loop; an async context manager.

    `before_step` is called once a step with its monotonic time, before any input is read: what
    the readers need is sampled there, so that reading them changes nothing.
    """

    def __init__(
        self,
        config: ModeConfig,
        signals: Mapping[str, InputReader],
        *,
        before_step: Callable[[float], None] = lambda _now_s: None,
        directory: Path | None = None,
        is_ramping: Callable[[], bool] = lambda: False,
        observers: Sequence[ModeObserver] = (),
        now_s: Monotonic = monotonic_s,
        wall_s: Wall = wall_s,
        boot_id: str | None = None,
        disk_timeout_s: float = 2.0,
    ) -> None:
        unknown = signals.keys() - {spec.name for spec in config.inputs}
        if unknown:
            raise ValueError(f"signals={sorted(unknown)!r}: no such inputs")
        self.config = config
        self._signals = dict(signals)
        self._before_step = before_step
        self._file = OverrideFile(directory) if directory is not None else None
        self._is_ramping = is_ramping
        self._observers = list(observers)
        self._now_s = now_s
        self._wall_s = wall_s
        self._boot_id = current_boot_id() if boot_id is None else boot_id
        self._disk_timeout_s = disk_timeout_s
        self._disk = asyncio.Lock()
        self._writing: set[asyncio.Task[bool]] = set()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._override: Override | None = None
        self._broken: set[str] = set()
        self._is_sample_broken = False
        self.state = initial(config, now_s())

    @property
    def level(self) -> Level:
        """The level in effect."""
        return self.state.effective

    @property
    def override(self) -> Override | None:
        """The override that holds; None: none."""
        return self._override

    def observe(self, observer: ModeObserver) -> None:
        """Add an observer; it hears what comes from now on."""
        self._observers.append(observer)

    def remaining_s(self) -> float | None:
        """How long the override still holds; None without one."""
        if self._override is None:
            return None
        return max(0.0, self._override.remaining_s(self._now_s(), self._wall_s()))

    def step_now(self) -> None:
        """Have a step at once: something hard may have happened."""
        self._woken.set()

    async def __aenter__(self) -> Self:
        if self._file is not None:
            found = await asyncio.to_thread(self._file.load)
            if found is not None:
                self._override = revive(
                    found, now_s=self._now_s(), wall_s=self._wall_s(), boot_id=self._boot_id
                )
                event = "override holds again" if self._override else "override ended meanwhile"
                _log.info(event, kind=found.kind.value, level=found.level.word, actor=found.actor)
        self.step()
        self._task = asyncio.create_task(self._run(), name="mode")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def step(self, *, is_released: bool = False) -> None:
        """Judge what is known now; what changed is told before this returns."""
        now_s = self._now_s()
        self._sample(now_s)
        ended = self._end_override(now_s)
        before = self.state
        inputs = Inputs(
            readings=self._readings(now_s),
            is_ramping=self._is_ramping(),
            bounds=self._override.bounds if self._override else None,
            is_released=is_released,
        )
        self.state, events = step(self.config, before, inputs, now_s)
        for observer in tuple(self._observers):
            if ended is not None:
                notify(observer.on_override_ended, ended)
            notify(observer.on_step, self.state, self.state.last_s - before.last_s)
            for event in events:
                notify(observer.on_mode_event, event, self._override)

    async def set_override(self, request: OverrideRequest) -> Saved:
        """Let an operator's level hold at once. Raises `OverrideRefused`.

        It holds although the disk fails; then it does not survive a restart.
        """
        override = make_override(
            request,
            computed=self.state.computed,
            now_s=self._now_s(),
            wall_s=self._wall_s(),
            boot_id=self._boot_id,
        )
        self._override = override
        self.step()
        return Saved(override, await self._on_disk(override))

    async def end_override(self) -> bool:
        """Let the computed level hold again at once.

        Returns False where the disk fails: after a restart the override would hold again.
        """
        ended, self._override = self._override, None
        if ended is not None:
            self.step(is_released=True)
        return await self._on_disk(None)

    async def _run(self) -> None:
        next_s = self._now_s() + self.config.tick_s
        while True:
            try:
                await asyncio.wait_for(self._woken.wait(), max(0.0, next_s - self._now_s()))
            except TimeoutError:
                # A tick that was missed is not made up for: nothing was seen then.
                next_s = max(next_s, self._now_s()) + self.config.tick_s
            self._woken.clear()
            had = self._override
            try:
                self.step()
            except Exception:  # noqa: BLE001 - a fault in one step must not end the mode
                _log.exception("a step of the mode failed")
            if had is not None and self._override is None:
                await self._on_disk(None)

    def _sample(self, now_s: float) -> None:
        try:
            self._before_step(now_s)
        except Exception:  # noqa: BLE001 - inputs that need no sample, as breakers, still count
            if not self._is_sample_broken:
                _log.exception("sampling for the mode failed")
            self._is_sample_broken = True
        else:
            self._is_sample_broken = False

    def _readings(self, now_s: float) -> dict[str, Reading]:
        found = {}
        for name, signal in self._signals.items():
            try:
                reading = signal(now_s)
            except Exception:  # noqa: BLE001 - a signal that breaks is a missing reading
                if name not in self._broken:
                    _log.exception("a signal of the mode broke", input=name)
                self._broken.add(name)
                continue
            self._broken.discard(name)
            if reading is not None:
                found[name] = reading
        return found

    def _end_override(self, now_s: float) -> Override | None:
        override = self._override
        if override is None or override.remaining_s(now_s, self._wall_s()) > 0:
            return None
        self._override = None
        return override

    async def _on_disk(self, override: Override | None) -> bool:
        """Save or clear the file; False when the disk did not do it in time."""
        if self._file is None:
            return override is None
        # What is too late still ends before the next one begins, so that the last word wins.
        task = asyncio.create_task(self._write(self._file, override), name="override on disk")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        done, _ = await asyncio.wait({task}, timeout=self._disk_timeout_s)
        return bool(done) and task.result()

    async def _write(self, file: OverrideFile, override: Override | None) -> bool:
        try:
            async with self._disk:
                if override is None:
                    await asyncio.to_thread(file.clear)
                else:
                    await asyncio.to_thread(file.save, override)
        except OSError:
            _log.warning("the override is not on the disk as it is in memory", exc_info=True)
            return False
        return True
