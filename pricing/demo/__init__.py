"""The whole service on this machine, with a city that lives on it and a table to watch."""

from __future__ import annotations

from pricing.demo.command import run_demo
from pricing.local.options import DemoOptions

__all__ = ["DemoOptions", "run_demo"]
