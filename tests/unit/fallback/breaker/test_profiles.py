from dataclasses import fields

import pytest

from fallback.breaker import BreakerConfig
from fallback.breaker.profiles import PROFILES, parse_breaker


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_found_by_its_name(name):
    assert parse_breaker(name) is not None
    assert parse_breaker(f" {name} ") == PROFILES[name]


@pytest.mark.parametrize(
    ("name", "ceiling_s"),
    [("redis", 10), ("database", 15), ("kafka", 15), ("auth", 20), ("alert", 30)],
)
def test_waits_of_our_own_profiles_grow_to_the_known_ceilings(name, ceiling_s):
    profile = PROFILES[name]
    assert profile.max_wait_duration_in_open_s == ceiling_s
    assert profile.wait_duration_in_open_s < ceiling_s
    assert profile.wait_growth > 1


def test_fields_change_a_profile():
    changed = parse_breaker("redis, window_s=2.5, buckets = 5")
    assert (changed.window_s, changed.buckets) == (2.5, 5)
    assert changed.wait_growth == PROFILES["redis"].wait_growth


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no breaker profile ''"),
        ("nobody", "no breaker profile 'nobody'"),
        ("redis,windows=3", "no breaker field 'windows'"),
        ("redis,window_s=long", "window_s='long' is not a number"),
        ("redis,buckets=2.5", "buckets='2.5' is not a whole number"),
        ("redis,buckets", "buckets='' is not a whole number"),
        ("redis,window_s=0", "window_s=0.0 is out of range"),
        ("redis,window_s=nan", "window_s=nan is out of range"),
        ("redis,window_s=inf", "window_s=inf is out of range"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(text, fault):
    with pytest.raises(ValueError, match=fault):
        parse_breaker(text)


def test_every_field_can_be_changed_by_its_name():
    for field in fields(BreakerConfig):
        value = getattr(PROFILES["redis"], field.name)
        assert parse_breaker(f"redis,{field.name}={value}") == PROFILES["redis"]
