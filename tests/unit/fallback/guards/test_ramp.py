from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.guards.ramp import Ramp, RampConfig, advance, begin, done

CONFIG = RampConfig(jitter=0.0)


def walk(ramp: Ramp, *, good: int = 10, bad: int = 0, slow: int = 0) -> Ramp:
    for _ in range(good):
        ramp = ramp.count(failed=False)
    for _ in range(bad):
        ramp = ramp.count(failed=True)
    for _ in range(slow):
        ramp = ramp.count(failed=False, slow=True)
    return advance(CONFIG, ramp, ramp.until_s, 0.5)


def test_good_steps_lead_to_everything():
    ramp = begin(CONFIG, 0.0, 0.5)
    shares = []
    while not ramp.is_done(CONFIG):
        shares.append((ramp.share(CONFIG), ramp.until_s))
        ramp = walk(ramp)
    assert shares == [(5, 3.0), (10, 6.0), (20, 9.0), (40, 12.0), (70, 15.0)]
    assert ramp.share(CONFIG) == 100


def test_step_lasts_its_time():
    ramp = begin(CONFIG, 0.0, 0.5)
    assert advance(CONFIG, ramp, 2.99, 0.5) is ramp
    assert advance(CONFIG, done(CONFIG), 99.0, 0.5) == done(CONFIG)


def test_bad_step_falls_back_two():
    ramp = walk(walk(walk(begin(CONFIG, 0.0, 0.5))))
    assert ramp.share(CONFIG) == 40
    assert walk(ramp, good=98, bad=2).share(CONFIG) == 10
    assert walk(ramp, good=99, bad=1).share(CONFIG) == 70
    assert walk(ramp, good=300, bad=4).share(CONFIG) == 10
    assert walk(ramp, good=300, bad=3).share(CONFIG) == 70
    assert walk(ramp, good=38, slow=2).share(CONFIG) == 70
    assert walk(ramp, good=38, slow=3).share(CONFIG) == 10
    assert walk(begin(CONFIG, 0.0, 0.5), bad=1).share(CONFIG) == 5


def test_single_failure_among_a_few_calls_is_chance():
    ramp = begin(CONFIG, 0.0, 0.5)
    assert walk(ramp, good=19, bad=1).share(CONFIG) == 10
    assert walk(ramp, good=18, bad=1).share(CONFIG) == 5
    assert walk(ramp, good=18, bad=2).share(CONFIG) == 5


def test_quiet_step_is_good_unless_a_call_failed():
    assert walk(begin(CONFIG, 0.0, 0.5), good=0).share(CONFIG) == 10
    assert walk(begin(CONFIG, 0.0, 0.5), good=3, bad=1).share(CONFIG) == 5
    assert walk(begin(CONFIG, 0.0, 0.5), good=1, slow=1).share(CONFIG) == 10
    assert walk(begin(CONFIG, 0.0, 0.5), good=1, slow=2).share(CONFIG) == 5


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_its_share(random):
    config = RampConfig()
    assert 2.4 <= begin(config, 0.0, random).until_s <= 3.6


def test_admission_follows_the_share():
    ramp = begin(CONFIG, 0.0, 0.5)
    assert [ramp.admits(CONFIG, chance) for chance in (0.0, 0.049, 0.05)] == [True, True, False]
    assert done(CONFIG).admits(CONFIG, 0.999)


@pytest.mark.parametrize(
    "change",
    [
        {"shares": ()},
        {"shares": (5, 5)},
        {"shares": (0, 5)},
        {"shares": (5, 100)},
        {"step_s": 0.0},
        {"jitter": 1.0},
        {"success_threshold": 0.0},
        {"fall_back": 0},
        {"minimum_number_of_calls": 0},
    ],
)
def test_bad_configuration_is_refused_naming_the_field(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        RampConfig(**change)
