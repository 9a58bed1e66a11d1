from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.mode import BoundsKind, Level
from fallback.mode.override import (
    ForceNeeded,
    Override,
    OverrideFile,
    OverrideRefused,
    OverrideRequest,
    decode,
    encode,
    make_override,
    revive,
)

DAY_S = 86_400.0
WALL_S = 1_800_000_000.0


def request(**change: object) -> OverrideRequest:
    fields = {
        "kind": BoundsKind.FLOOR,
        "level": Level.MODERATE,
        "reason": "maintenance of the cache",
        "actor": "ops",
    }
    return OverrideRequest(**{**fields, **change})


def made(computed: Level = Level.NORMAL, **change: object) -> Override:
    return make_override(
        request(**change), computed=computed, now_s=100.0, wall_s=WALL_S, boot_id="boot"
    )


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("reason", {"reason": "too short"}),
        ("reason", {"reason": "   short      "}),
        ("expires_in_s", {"expires_in_s": 0}),
        ("expires_in_s", {"expires_in_s": 14_401}),
    ],
)
def test_override_without_reason_or_end_is_refused(field, change):
    with pytest.raises(OverrideRefused) as refused:
        made(**change)
    assert refused.value.field == field


@pytest.mark.parametrize("kind", [BoundsKind.PIN, BoundsKind.CEILING])
def test_level_below_the_computed_one_takes_force_and_fifteen_minutes(kind):
    with pytest.raises(ForceNeeded):
        made(Level.SEVERE, kind=kind)
    with pytest.raises(OverrideRefused, match="900"):
        made(Level.SEVERE, kind=kind, force=True)
    assert made(Level.SEVERE, kind=kind, force=True, expires_in_s=900).forced
    assert not made(Level.MODERATE, kind=kind).forced


def test_floor_never_takes_force():
    assert not made(Level.CRITICAL).forced


def test_file_brings_back_what_was_saved(tmp_path):
    file = OverrideFile(tmp_path / "state")
    assert file.load() is None
    file.save(made())
    assert OverrideFile(tmp_path / "state").load() == made()
    file.clear()
    file.clear()
    assert file.load() is None


@given(st.binary(max_size=200))
def test_foreign_file_is_no_override(content):
    assert decode(content) is None


@given(st.data())
def test_torn_or_damaged_file_is_no_override(data):
    whole = encode(made())
    cut = data.draw(st.integers(0, len(whole) - 2))
    assert decode(whole[:cut]) is None
    at = data.draw(st.integers(0, len(whole) - 2))
    flipped = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    damaged = decode(whole[:at] + flipped + whole[at + 1 :])
    assert damaged is None or damaged == made()  # the checksum's digits may be in capitals


def test_unreadable_place_is_no_override(tmp_path):
    (tmp_path / "mode-override.json").mkdir()
    assert OverrideFile(tmp_path).load() is None


@given(
    st.floats(0, 14_400),
    st.sampled_from([-DAY_S, -3_600.0, 0.0, 3_600.0, DAY_S]),
    st.sampled_from(["boot", "other", ""]),
)
def test_restart_never_lengthens_an_override(passed_s, stepped_s, boot_id):
    """However the wall clock was stepped, and whether the machine was restarted."""
    override = made(expires_in_s=1_800)
    wall_s = WALL_S + passed_s + stepped_s
    now_s = 100.0 + passed_s if boot_id == "boot" else 5.0
    revived = revive(override, now_s=now_s, wall_s=wall_s, boot_id=boot_id)
    if revived is None:
        assert passed_s + max(0.0, stepped_s) >= 1_800
        return
    remaining_s = revived.remaining_s(now_s, wall_s)
    assert 0 < remaining_s <= 1_800
    if boot_id == "boot":
        assert remaining_s <= 1_800 - passed_s + 1e-3


@given(st.floats(0, 4_000), st.sampled_from([-DAY_S, 0.0, DAY_S]))
def test_override_ends_by_the_earlier_clock(passed_s, stepped_s):
    override = made(expires_in_s=1_800)
    remaining_s = override.remaining_s(100.0 + passed_s, WALL_S + passed_s + stepped_s)
    if passed_s >= 1_800 or stepped_s > 0:
        assert remaining_s <= 0
    else:
        assert remaining_s == pytest.approx(1_800 - passed_s, abs=1e-3)
