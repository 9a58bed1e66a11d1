from __future__ import annotations

from pricing.local.delivery_check import DeliveryCheck


def test_ledger_event_acknowledged_and_not_read_is_missing():
    ledger = DeliveryCheck()
    ledger.acknowledge(["a", "b"])
    ledger.read("a")
    assert ledger.missing == 1
    assert ledger.acknowledged == 2


def test_ledger_event_read_before_its_acknowledgement_is_not_missing():
    ledger = DeliveryCheck()
    ledger.read("a")
    ledger.acknowledge(["a"])
    assert ledger.missing == 0


def test_ledger_event_read_twice_does_not_hide_another():
    ledger = DeliveryCheck()
    ledger.acknowledge(["a", "b"])
    ledger.read("a")
    ledger.read("a")
    assert ledger.missing == 1


def test_ledger_event_read_and_never_acknowledged_changes_nothing():
    ledger = DeliveryCheck()
    ledger.acknowledge(["a"])
    ledger.read("never")
    assert ledger.missing == 1


def test_ledger_beyond_its_memory_says_how_many_it_did_not_look_for():
    ledger = DeliveryCheck(most_remembered=2)
    ledger.acknowledge(["a", "b", "c"])
    assert (ledger.missing, ledger.unchecked) == (2, 1)


def test_ledger_remembers_a_bounded_number_of_early_events():
    ledger = DeliveryCheck(most_remembered=2)
    for event_id in ("a", "b", "c"):
        ledger.read(event_id)
    ledger.acknowledge(["b", "c"])
    assert ledger.missing == 0
    assert len(ledger._read_before_ack) == 0
