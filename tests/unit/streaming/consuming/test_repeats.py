from __future__ import annotations

import pytest

from streaming.consuming.repeats import Repeats


def test_repeat_is_told_once_the_id_was_seen():
    repeats = Repeats()
    assert [repeats.is_repeat(identity) for identity in "abab"] == [False, False, True, True]
    assert (repeats.dropped, len(repeats)) == (2, 2)


def test_memory_is_bounded_and_the_oldest_goes_first():
    repeats = Repeats(capacity=3)
    for identity in "abcd":
        repeats.is_repeat(identity)
    assert len(repeats) == 3
    assert not repeats.is_repeat("a")
    assert repeats.is_repeat("d")


def test_capacity_of_nothing_is_refused():
    with pytest.raises(ValueError, match="capacity=0"):
        Repeats(capacity=0)
