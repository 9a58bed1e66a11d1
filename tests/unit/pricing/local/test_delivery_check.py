from __future__ import annotations

from pricing.local.delivery_check import DeliveryCheck


def test_ledger_event_acknowledged_and_not_read_is_missing():
    delivery_check = DeliveryCheck()
    delivery_check.acknowledge(["a", "b"])
    delivery_check.read("a")
    assert delivery_check.missing == 1
    assert delivery_check.acknowledged == 2


def test_ledger_event_read_before_its_acknowledgement_is_not_missing():
    delivery_check = DeliveryCheck()
    delivery_check.read("a")
    delivery_check.acknowledge(["a"])
    assert delivery_check.missing == 0


def test_ledger_event_read_twice_does_not_hide_another():
    delivery_check = DeliveryCheck()
    delivery_check.acknowledge(["a", "b"])
    delivery_check.read("a")
    delivery_check.read("a")
    assert delivery_check.missing == 1


def test_ledger_event_read_and_never_acknowledged_changes_nothing():
    delivery_check = DeliveryCheck()
    delivery_check.acknowledge(["a"])
    delivery_check.read("never")
    assert delivery_check.missing == 1


def test_ledger_beyond_its_memory_says_how_many_it_did_not_look_for():
    delivery_check = DeliveryCheck(most_remembered=2)
    delivery_check.acknowledge(["a", "b", "c"])
    assert (delivery_check.missing, delivery_check.unchecked) == (2, 1)


def test_ledger_remembers_a_bounded_number_of_early_events():
    delivery_check = DeliveryCheck(most_remembered=2)
    for event_id in ("a", "b", "c"):
        delivery_check.read(event_id)
    delivery_check.acknowledge(["b", "c"])
    assert delivery_check.missing == 0
    assert len(delivery_check._read_before_ack) == 0
