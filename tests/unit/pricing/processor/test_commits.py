"""Which tick of a partition is committed, and what an earlier owner's commits say."""

import pytest

from pricing.processor.commits import ComputedTick, UncommittedTicks, committed_tick_ms
from pricing.processor.config import ProcessorConfig
from pricing.surge.policy.windows import WindowConfig
from streaming.consuming.records import Committed

NOW_MS = 1_772_000_000_000


@pytest.fixture
def ticks():
    uncommitted = UncommittedTicks()
    for tick_ms in (5, 10, 15):
        uncommitted.add(ComputedTick(tick_ms, {"ride-requests": tick_ms}))
    return uncommitted


@pytest.mark.parametrize(("first_pending_ms", "expected"), [(None, 15), (15, 10), (11, 10)])
def test_newest_tick_that_all_outputs_have_is_taken(ticks, first_pending_ms, expected):
    assert ticks.take_written(first_pending_ms).tick_ms == expected


def test_no_tick_is_taken_while_oldest_pending(ticks):
    assert ticks.take_written(5) is None
    assert ticks.take_written(10).tick_ms == 5


def test_tick_put_back_is_taken_again(ticks):
    ticks.put_back(ticks.take_written(10))
    assert ticks.take_written(10).tick_ms == 5


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([], None),
        (["", "x", "-5"], None),
        ([str(NOW_MS - 5), str(NOW_MS - 10)], NOW_MS - 5),
        ([str(NOW_MS - 5), str(NOW_MS + 1)], NOW_MS - 5),
        ([str(NOW_MS + 1)], None),
    ],
)
def test_committed_tick_is_the_newest_believable_one(metadata, expected):
    committed = [Committed(offset=1, metadata=text) for text in metadata]
    assert committed_tick_ms(committed, NOW_MS) == expected


@pytest.mark.parametrize(
    ("written_ms", "expected"),
    [
        (None, NOW_MS - 60_000),
        (NOW_MS - 5_000, NOW_MS),
        (NOW_MS - 86_400_000, NOW_MS - 1_500_000 + 300_000),
    ],
)
def test_first_published_tick_follows_the_last_written(written_ms, expected):
    config = ProcessorConfig(window=WindowConfig())
    assert config.publish_from_ms(written_ms, NOW_MS) == expected
