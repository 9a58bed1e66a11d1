import pytest

from fallback.errors import DeadlineExceeded
from fallback.guards.deadline import hop_s, remaining_s, request_deadline


class Clock:
    now_s = 50.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_without_a_deadline_a_hop_has_its_cap(clock):
    assert remaining_s(clock) is None
    assert hop_s("redis", 0.1, now_s=clock) == 0.1


def test_a_hop_gets_what_remains_less_the_reserve(clock):
    with request_deadline(1.0, clock):
        assert hop_s("redis", 0.1, now_s=clock) == 0.1
        clock.now_s += 0.7
        assert hop_s("database", 0.5, reserve_s=0.1, now_s=clock) == pytest.approx(0.2)


def test_a_hop_without_time_is_not_begun(clock):
    with request_deadline(1.0, clock):
        clock.now_s += 0.95
        with pytest.raises(DeadlineExceeded, match="database"):
            hop_s("database", 0.5, reserve_s=0.05, now_s=clock)


def test_an_inner_deadline_cannot_outlive_the_outer_one(clock):
    with request_deadline(1.0, clock):
        with request_deadline(5.0, clock):
            assert remaining_s(clock) == pytest.approx(1.0)
        with request_deadline(0.5, clock):
            assert remaining_s(clock) == pytest.approx(0.5)
        assert remaining_s(clock) == pytest.approx(1.0)
    assert remaining_s(clock) is None
