"""Streams of random numbers: one a purpose and a zone or driver, all from one seed."""

from __future__ import annotations

from random import Random


def random_stream(seed: int, purpose: str, owner: str = "") -> Random:
    """The stream of a purpose; what other streams draw does not change it."""
    return Random(f"{seed}:{purpose}:{owner}")  # noqa: S311 - to be repeated, nothing is secret
