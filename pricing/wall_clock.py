"""The wall clock of the application. Only wiring hands it on; everything else takes it."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall clock, epoch ms."""
    return time.time_ns() // 1_000_000
