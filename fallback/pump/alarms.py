"""Looks after what is stuck: asks why, tells people, and in the end begins anew."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from fallback.pump.config import PumpConfig
from fallback.pump.gate import Gate
from fallback.pump.sink import NeedsOperator, Sink, SinkFailure
from fallback.pump.status import Alarm

_log = structlog.get_logger(__name__)

_HELD_S = 3_600.0
"""How long an alarm stands that nothing takes back."""


class AlarmWatch:
    """The alarms of a pump. `on_alarm` gets each one when it is raised and when it ends."""

    def __init__(
        self,
        gate: Gate,
        sink: Sink,
        config: PumpConfig,
        on_alarm: Callable[[Alarm, bool], None],
    ) -> None:
        self._gate = gate
        self._sink = sink
        self._config = config
        self._on_alarm = on_alarm
        self._held: dict[Alarm, float] = {}
        self._why: dict[str, SinkFailure | None] = {}
        """What asking said about the lanes of a group that are stuck."""
        self._asked_s = float("-inf")
        self.alarms: list[Alarm] = []

    def note(self, failure: SinkFailure, group: str, now_s: float) -> None:
        """Hear of a failure; some are alarms in themselves."""
        if failure.alarm is not None:
            alarm = Alarm(failure.alarm, group, failure.reason, failure.code)
            self._held[alarm] = now_s + _HELD_S

    async def look(self, now_s: float) -> None:
        """Ask about what is stuck, when it is time, and tell what is new."""
        stuck = self._gate.stuck_lanes(now_s, self._config.stall_s)
        groups = {self._sink.group_of(lane) for lane in stuck}
        self._why = {group: why for group, why in self._why.items() if group in groups}
        if stuck and now_s - self._asked_s >= self._config.diagnose_every_s:
            # From the start of the questions, which take time of their own.
            self._asked_s = now_s
            for lane in _one_of_each(stuck, self._sink.group_of):
                self._why[self._sink.group_of(lane)] = await self._sink.diagnose(lane)
            self._renew(now_s)
        self._update(now_s)

    def _renew(self, now_s: float) -> None:
        """Begin anew for a batch that does not come back although everything looks well."""
        for lane in self._gate.stuck_lanes(now_s, self._config.renew_s):
            if lane in self._gate.in_flight and self._why.get(self._sink.group_of(lane)) is None:
                _log.error("a batch does not come back", lane=lane.decode(errors="replace"))
                self._sink.renew("a batch did not come back")
                return

    def _update(self, now_s: float) -> None:
        self._held = {alarm: end_s for alarm, end_s in self._held.items() if now_s < end_s}
        alarms = list(dict.fromkeys([*self._parked(), *self._stalled(now_s), *self._held]))
        raised = [alarm for alarm in alarms if alarm not in self.alarms]
        ended = [alarm for alarm in self.alarms if alarm not in alarms]
        self.alarms = alarms
        for alarm in raised:
            _log.error("alarm", **alarm._asdict())
            self._on_alarm(alarm, True)
        for alarm in ended:
            _log.info("alarm ended", **alarm._asdict())
            self._on_alarm(alarm, False)

    def _parked(self) -> list[Alarm]:
        return [
            Alarm("parked", group, parked.failure.reason, parked.failure.code)
            for group, parked in self._gate.parked.items()
        ]

    def _stalled(self, now_s: float) -> list[Alarm]:
        """Lanes that wait too long; at once where asking said that time will not mend it."""
        groups: dict[str, SinkFailure | None] = {
            group: why for group, why in self._why.items() if isinstance(why, NeedsOperator)
        }
        for lane in self._gate.stuck_lanes(now_s, self._config.alarm_s):
            group = self._sink.group_of(lane)
            groups.setdefault(group, self._why.get(group) or self._gate.why_failing(lane))
        return [
            Alarm(
                "stalled",
                "" if isinstance(why, NeedsOperator) and why.group is None else group,
                "no acknowledgement" if why is None else why.reason,
                "" if why is None else why.code,
            )
            for group, why in groups.items()
        ]


def _one_of_each(lanes: list[bytes], group_of: Callable[[bytes], str]) -> list[bytes]:
    return list({group_of(lane): lane for lane in lanes}.values())
