"""The one place that calls hooks. A hook that fails is logged and cannot break the call.

Hooks run after the state is committed, on the event loop, and must not block. `BaseException`
passes: a cancellation or an exit is not the hook's fault.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)


def notify(hook: Callable[..., None], *facts: object) -> None:
    """Call a hook with what happened."""
    try:
        hook(*facts)
    except Exception:  # noqa: BLE001 - whatever a hook does wrong, the call that it watches goes on
        _log.exception("a hook failed", hook=getattr(hook, "__qualname__", repr(hook)))
