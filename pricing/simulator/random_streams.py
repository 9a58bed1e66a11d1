"""Streams of chance: one for each purpose and each zone or driver, all from one seed."""

from __future__ import annotations

from random import Random


def stream(seed: int, purpose: str, whose: str = "") -> Random:
    """The stream of a purpose; what other streams draw does not change it."""
    return Random(f"{seed}:{purpose}:{whose}")  # noqa: S311 - to be repeated, nothing is secret
