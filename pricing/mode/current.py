"""The system mode of this process, as the rest of the application uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fallback.breaker import BreakerRegistry, State
from fallback.mode import Level, ModeState, causes
from fallback.mode.orchestrator import ModeObserver, Orchestrator, Saved
from fallback.mode.override import Override, OverrideRequest
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.modes import ModeMetrics
from pricing.mode.as_json import (
    backlog_json,
    cause_json,
    dependencies_json,
    inputs_json,
    override_json,
)
from pricing.mode.fleet import Fleet
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.policy import ModePolicy
from pricing.mode.report import reliability_json
from pricing.mode.signals import Backlog
from pricing.reading.policy import ReadPolicy
from streaming.events.event_types import rfc3339


class CurrentPolicy:
    """The policy of the level in effect; an observer of the orchestrator."""

    __slots__ = ("_policies", "now")

    def __init__(self, policies: Sequence[ModePolicy]) -> None:
        self._policies = policies
        self.now = policies[0]

    def of_stores(self, ramps: Ramps) -> ReadPolicy:
        """What calls to the stores may do now; why a ramp differs is said at `ramping`."""
        return self.now.ramping if ramps.is_ramping else self.now.read

    def on_step(self, state: ModeState, seen_s: float) -> None:
        del seen_s
        self.now = self._policies[state.effective]

    def on_mode_event(self, event: object, override: Override | None) -> None: ...

    def on_override_ended(self, override: Override) -> None: ...


class SystemMode:
    """The mode of this process: what it is, what it was, and an operator's hand on it.

    Opened and closed by `pricing.wiring.modes`. Everything is answered from memory.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        *,
        journal: ModeJournal,
        fleet: Fleet,
        totals: MinuteTotals,
        metrics: ModeMetrics,
        breakers: BreakerRegistry,
        health: HealthSource,
        ramps: Ramps,
        read_backlog: Callable[[], Backlog | None],
        now_ms: Callable[[], int],
    ) -> None:
        self._orchestrator = orchestrator
        self._journal = journal
        self._fleet = fleet
        self._totals = totals
        self._metrics = metrics
        self._health = health
        self._ramps = ramps
        self._read_backlog = read_backlog
        self._now_ms = now_ms
        self.breakers = breakers
        """Those whose states the mode is made of; an operator forces and resets them."""

    @property
    def state(self) -> ModeState:
        """Where the mode is, since its last step."""
        return self._orchestrator.state

    @property
    def level(self) -> Level:
        """The level in effect."""
        return self._orchestrator.level

    @property
    def override(self) -> Override | None:
        """The override that holds; None: none."""
        return self._orchestrator.override

    @property
    def is_read_only(self) -> bool:
        """Whether operators' writes to Postgres are refused, for it would not take them."""
        database = self.breakers.get("database")
        return database is not None and database.state in (State.OPEN, State.FORCED_OPEN)

    def observe(self, observer: ModeObserver) -> None:
        """Tell an observer of every step and change from now on."""
        self._orchestrator.observe(observer)

    async def set_override(self, request: OverrideRequest) -> Saved:
        """Let an operator's level hold at once. Raises `OverrideRefused`."""
        saved = await self._orchestrator.set_override(request)
        # One that leaves the level as it is makes no event, so the metrics hear of it here.
        self._metrics.override(saved.override)
        return saved

    async def end_override(self) -> bool:
        """Let the computed level hold again at once.

        Returns False where the disk fails: after a restart the override would hold again.
        """
        return await self._orchestrator.end_override()

    def history(self) -> Iterable[dict[str, Any]]:
        """The last changes of this instance, the newest first."""
        return self._journal.entries

    def report(self, window_s: int) -> dict[str, Any]:
        """How reliable this instance was within the window, or what of it was seen."""
        return reliability_json(
            self._totals,
            self.breakers,
            self._journal.entries,
            self.state,
            window_s=window_s,
            now_ms=self._now_ms(),
        )

    def as_json(self) -> dict[str, Any]:
        """The mode as `GET /api/v1/system/mode` tells it."""
        state, now_ms = self.state, self._now_ms()
        services = self._health.services()
        return {
            "mode": state.effective.mode.value,
            "level": state.effective.word,
            "computed_level": state.computed.word,
            "since": rfc3339(self._journal.since_ms),
            "causes": [cause_json(cause) for cause in causes(state)],
            "inputs": inputs_json(state),
            "override": self.override_json(),
            "backlog": backlog_json(self._read_backlog()),
            "dependencies": dependencies_json(services, self._ramps, now_ms),
            "recovering": state.is_recovering or self._ramps.is_ramping,
            "flapping": state.is_flapping,
            "read_only": self.is_read_only,
            "instance": self._journal.instance,
            "timestamp": rfc3339(now_ms),
        }

    def override_json(self) -> dict[str, Any] | None:
        """The override that holds, with how long it still does; None: none."""
        override = self.override
        if override is None:
            return None
        return override_json(override, self.state.computed, self._orchestrator.remaining_s())

    def fleet_json(self) -> dict[str, Any]:
        """The last known mode of every instance; this one's as it is now."""
        mine, read_ms = self.as_json(), self._fleet.read_at_ms
        own = {key: mine[key] for key in ("instance", "mode", "level", "since", "causes")}
        own |= {"override": mine["override"], "age_s": 0.0}
        # This instance is in the topic too, only older; on its own it shows without Kafka.
        others = [
            instance
            for instance in self._fleet.instances()
            if instance["instance"] != own["instance"]
        ]
        return {
            "instances": sorted([own, *others], key=lambda instance: str(instance["instance"])),
            "heard_at": None if read_ms is None else rfc3339(read_ms),
        }
