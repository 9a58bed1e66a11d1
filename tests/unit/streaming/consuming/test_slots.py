"""Which slots a reader holds."""

from __future__ import annotations

import pytest

from streaming.consuming.slots import SlotTable


@pytest.fixture
def slots() -> SlotTable:
    return SlotTable(["a", "b"])


def test_slot_waits_once_every_topics_partition_is_assigned(slots):
    slots.assign([("a", 0), ("b", 0), ("a", 1), ("b", 2)])
    assert slots.waiting == [0]


def test_open_slot_is_told_once(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 5, "b": 7})
    assert slots.waiting == []
    assert slots.changes() == ({0}, frozenset())
    assert slots.changes() == (frozenset(), frozenset())


def test_revoked_slot_is_lost(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 0, "b": 0})
    slots.changes()
    slots.revoke()
    assert slots.changes() == (frozenset(), {0})
    assert slots.position(("a", 0)) is None


def test_slot_given_back_is_lost_and_opened(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 0, "b": 0})
    slots.changes()
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 3, "b": 4})
    assert slots.changes() == ({0}, {0})


def test_slot_opened_and_lost_between_two_looks_is_not_told(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 0, "b": 0})
    slots.revoke()
    assert slots.changes() == (frozenset(), frozenset())


def test_closed_slot_waits_again(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 0, "b": 0})
    slots.changes()
    slots.close(0)
    assert slots.waiting == [0]
    assert slots.changes() == (frozenset(), {0})


def test_position_moves_forward_only(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.open(0, {"a": 5, "b": 7})
    slots.advance(("a", 0), 9)
    slots.advance(("a", 0), 6)
    assert slots.position(("a", 0)) == 9
    assert slots.position(("b", 0)) == 7


def test_position_of_a_slot_that_is_not_open_cannot_be_moved(slots):
    slots.assign([("a", 0), ("b", 0)])
    slots.advance(("a", 0), 9)
    assert slots.position(("a", 0)) is None


def test_each_assignment_is_an_epoch_of_its_own(slots):
    epochs = [slots.epoch]
    for change in (lambda: slots.assign([("a", 0)]), slots.revoke, lambda: slots.assign([])):
        change()
        epochs.append(slots.epoch)
    assert len(set(epochs)) == 4


def test_pause_lasts_through_a_rebalance(slots):
    slots.paused.add(("a", 0))
    slots.assign([("a", 0), ("b", 0)])
    assert slots.paused == {("a", 0)}
