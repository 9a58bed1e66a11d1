"""The two clocks. Nothing else in this package asks the time; everything takes it as an argument.

Monotonic seconds for durations, waits and windows: a step of the wall clock cannot fool them.
Wall seconds only for what people or other machines read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Monotonic = Callable[[], float]
Wall = Callable[[], float]

monotonic_s: Monotonic = time.monotonic
wall_s: Wall = time.time
