"""The system mode of this process, as the rest of the application uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fallback.breaker import BreakerRegistry, State
from fallback.mode import ModeState, causes
from fallback.mode.orchestrator import Orchestrator, Saved
from fallback.mode.override import Override, OverrideRequest
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.modes import ModeMetrics
from pricing.mode.as_json import cause_body, inputs_body, override_body
from pricing.mode.fleet import Fleet
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.policy import ModePolicy
from pricing.mode.signals import SpoolFacts
from pricing.reading.policy import ReadPolicy
from streaming.events.event_types import rfc3339


class CurrentPolicy:
    """What holds now; an observer of the orchestrator."""

    __slots__ = ("_policies", "now")

    def __init__(self, policies: Sequence[ModePolicy]) -> None:
        self._policies = policies
        self.now = policies[0]

    def of_stores(self, ramps: Ramps) -> ReadPolicy:
        """What calls to the stores may do now."""
        return self.now.ramping if ramps.is_ramping else self.now.read

    def on_step(self, state: ModeState, seen_s: float) -> None:
        del seen_s
        self.now = self._policies[state.effective]

    def on_mode_event(self, event: object, override: Override | None) -> None: ...

    def on_override_ended(self, override: Override) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMode:
    """Everything around one orchestrator. Opened and closed by `open_system_mode`."""

    orchestrator: Orchestrator
    policy: CurrentPolicy
    journal: ModeJournal
    fleet: Fleet | None
    ramps: Ramps
    metrics: ModeMetrics
    minutes: MinuteTotals
    breakers: BreakerRegistry
    health: HealthSource
    spool: Callable[[], SpoolFacts | None]
    now_ms: Callable[[], int]

    @property
    def is_read_only(self) -> bool:
        """Whether operators' writes to Postgres are refused, for it would not take them."""
        database = self.breakers.get("database")
        return database is not None and database.state in (State.OPEN, State.FORCED_OPEN)

    async def set_override(self, request: OverrideRequest) -> Saved:
        """Let an operator's level hold at once. Raises `OverrideRefused`."""
        saved = await self.orchestrator.set_override(request)
        self.metrics.override(saved.override)
        return saved

    def override_body(self) -> dict[str, Any] | None:
        override = self.orchestrator.override
        if override is None:
            return None
        computed = self.orchestrator.state.computed
        return override_body(override, computed, self.orchestrator.remaining_s())

    def body(self) -> dict[str, Any]:
        """The mode as `GET /api/v1/system/mode` tells it."""
        state = self.orchestrator.state
        return {
            "mode": state.effective.mode.value,
            "level": state.effective.word,
            "computed_level": state.computed.word,
            "since": rfc3339(self.journal.since_ms),
            "causes": [cause_body(cause) for cause in causes(state)],
            "inputs": inputs_body(state),
            "override": self.override_body(),
            "backlog": self._backlog(),
            "dependencies": self._dependencies(),
            "recovering": state.is_recovering or self.ramps.is_ramping,
            "flapping": state.is_flapping,
            "read_only": self.is_read_only,
            "instance": self.journal.instance,
            "timestamp": rfc3339(self.now_ms()),
        }

    def fleet_body(self) -> dict[str, Any]:
        """What every instance said last; this one as it is now."""
        others = self.fleet.instances() if self.fleet is not None else []
        mine = self.body()
        own = {key: mine[key] for key in ("instance", "mode", "level", "since", "causes")}
        own |= {"override": mine["override"], "age_s": 0.0}
        listed = [one for one in others if one["instance"] != self.journal.instance]
        heard_ms = self.fleet.heard_at_ms if self.fleet is not None else None
        return {
            "instances": sorted([own, *listed], key=lambda one: str(one["instance"])),
            "heard_at": None if heard_ms is None else rfc3339(heard_ms),
        }

    def _backlog(self) -> dict[str, Any]:
        facts = self.spool()
        if facts is None:
            return {"events": 0, "bytes": 0, "oldest_age_s": None, "percent": None, "state": "none"}
        return {
            "events": facts.records,
            "bytes": facts.bytes,
            "oldest_age_s": round(facts.oldest_age_s, 3),
            "percent": round(facts.percent, 1),
            "state": facts.pump.value,
        }

    def _dependencies(self) -> dict[str, Any]:
        now_ms = self.now_ms()
        told = {}
        for name, service in self.health.services().items():
            last_ms = service.last_success_ms
            age_s = None if last_ms is None else round((now_ms - last_ms) / 1000, 3)
            told[name] = {
                "breaker": service.state,
                "status": service.status,
                "failure_rate": round(service.failure_rate, 4),
                "last_success_age_s": age_s,
                "ramp_percent": self.ramps.share(name),
            }
        return told
