from __future__ import annotations

import pytest

from pricing.writing.spool_lanes import lane_of, place_of, topic_of


@pytest.mark.parametrize("topic", ["a", "equilibrium.ride-requests", "with/slash"])
def test_lane_names_come_back(topic):
    assert place_of(lane_of(topic, 12)) == (topic, 12)
    assert topic_of(lane_of(topic, 12)) == topic


@pytest.mark.parametrize("name", [b"", b"a", b"a/b", b"a/\xff"])
def test_name_that_is_no_lane_of_ours_is_refused(name):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever int() and decode() say
        place_of(name)


def test_topic_of_any_bytes_is_told():
    assert topic_of(b"\xff/0") == "\ufffd"
