"""Puts what an operator does at the command line into the audit, whether or not a service runs.

The entry goes into a spool that this process claims for a moment, so it is on the disk before the
command ends. The service delivers it: as its own at its next start, or by adopting the spool.
"""

from __future__ import annotations

import asyncio
import getpass
from typing import Any

import structlog

from fallback.errors import SpoolError
from fallback.pump.adoption import claimed_spool
from fallback.pump.delivery_waiters import DeliveryWaiters
from pricing.access.audit import Audit
from pricing.access.auth import Principal
from pricing.access.role import Role
from pricing.clocks import now_ms
from pricing.logs import configure_logs
from pricing.wiring.configs import kafka_config
from pricing.wiring.settings import Settings
from pricing.wiring.writing import SPOOLS, spool_config
from pricing.writing.publisher import SpoolPublisher

_log = structlog.get_logger(__name__)


def audit_command(
    settings: Settings, action: str, target: str, *, before: Any = None, after: Any = None
) -> None:
    """Audit what whoever runs this command did. Never fails: it has been done already.

    Of the logs only errors are shown, for what the command prints is its answer.
    """
    configure_logs("ERROR", "console")
    asyncio.run(_record(settings, action, target, before, after))


async def _record(settings: Settings, action: str, target: str, before: Any, after: Any) -> None:
    try:
        home, config = settings.state_dir / SPOOLS, spool_config(settings)
        async with claimed_spool(home, config) as spool:
            publisher = SpoolPublisher(spool, DeliveryWaiters(), kafka_config(settings), wait_s=0.0)
            audit = Audit(settings.instance_name, publisher, now_ms=now_ms)
            await audit.record(_whoever_runs_this(), action, target, before=before, after=after)
    except (SpoolError, OSError) as error:
        _log.error("audit write failed", action=action, target=target, error=str(error))


def _whoever_runs_this() -> Principal:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        user = "somebody"
    return Principal(f"{user} at the command line", Role.ADMIN)
