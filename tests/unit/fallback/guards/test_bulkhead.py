import pytest

from fallback.errors import BulkheadFullError
from fallback.guards.bulkhead import Bulkhead


def test_calls_beyond_the_limit_are_rejected_at_once():
    bulkhead = Bulkhead("database", 2)
    with bulkhead, bulkhead:
        with pytest.raises(BulkheadFullError, match="2 calls"), bulkhead:
            pytest.fail("a third call was admitted")
        assert bulkhead.in_flight == 2
    assert bulkhead.in_flight == 0
    assert bulkhead.rejected_total == 1


def test_a_failed_call_gives_its_place_back():
    bulkhead = Bulkhead("database", 1)
    with pytest.raises(OSError, match="refused"), bulkhead:
        raise OSError("refused")
    with bulkhead:
        assert bulkhead.in_flight == 1


def test_a_lower_limit_holds_for_the_next_call():
    bulkhead = Bulkhead("database", 2)
    with bulkhead:
        bulkhead.limit = 1
        with pytest.raises(BulkheadFullError), bulkhead:
            pytest.fail("admitted over the new limit")


def test_a_limit_of_zero_admits_nothing_and_less_is_refused():
    with pytest.raises(BulkheadFullError), Bulkhead("database", 0):
        pytest.fail("admitted")
    with pytest.raises(ValueError, match="-1"):
        Bulkhead("database", -1)
