"""The pump: drains the spool into a sink, in order, paced, and by itself.

    async with Pump(spool, sink, dead_letter=keep_dead_letter) as pump:
        ...
        await pump.delivery_waiters.wait({lane: seq}, timeout_s=0.05)
        await pump.drain(1.5)

Each lane has one batch under way. A batch that pends is waited for; one that failed goes again,
the same one, until the sink has it. Lanes do not wait for each other, except in an outage of
everything, when one of them tries for all. What is under way is bounded, whatever the backlog.

The files: `gate.py` (who may send), `pace.py`, `backoff.py`, `batching_window.py` (when),
`lane_pump.py` (one lane), `alarms.py`, `delivery_waiters.py`, `dead_letters.py`, `adoption.py`
(spools of dead processes), `pump.py` (the face). Imports `fallback.spool` and shared words.
"""

from fallback.pump.config import PumpConfig
from fallback.pump.pump import KeepDeadLetter, Pump
from fallback.pump.status import Alarm, PumpObserver, PumpState, PumpStats, SilentPumpObserver

__all__ = [
    "Alarm",
    "KeepDeadLetter",
    "Pump",
    "PumpConfig",
    "PumpObserver",
    "PumpState",
    "PumpStats",
    "SilentPumpObserver",
]
