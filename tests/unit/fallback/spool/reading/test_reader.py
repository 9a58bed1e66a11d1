"""What is read for whom: look-ahead, falling behind, catching up, parked lanes."""

from __future__ import annotations

import pytest

from fallback.errors import SpoolClosed
from fallback.spool.format.record import Entry
from fallback.spool.format.segment import SegmentName
from fallback.spool.reading.index import LiveSegment, Ranges
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config

LOTS = {"quota_bytes": 1024 * 1024, "lookahead_bytes": 600, "lane_lookahead_bytes": 300}


def _spool(files=None, **changes) -> SteppedSpool:
    return SteppedSpool(files or FaultyFiles(), small_config(**(LOTS | changes)))


def _append(spool, *lanes: bytes, size: int = 50) -> None:
    for lane in lanes:
        assert spool.append([Entry(lane, lane * size)]) is not None


def _take_all(spool, lane) -> list[int]:
    seqs: list[int] = []
    while records := spool.take(lane):
        seqs += [record.seq for record in records]
        lane.ack(seqs[-1])
        spool.read_all()
    return seqs


def test_lane_that_keeps_up_is_fed_without_a_read():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"a")
    lane = spool.reader.lanes[b"a"]
    reads = files.calls["read"]
    for number in range(2, 50):
        assert spool.take(lane)[-1].seq == number - 1
        lane.ack(number - 1)
        _append(spool, b"a")
    assert files.calls["read"] == reads
    assert not spool.read()


def test_lane_that_fell_behind_reads_on_in_order():
    spool = _spool()
    _append(spool, *[b"a", b"b"] * 40)
    lane = spool.reader.lanes[b"a"]
    assert lane.is_behind
    assert _take_all(spool, lane) == list(range(1, 81, 2))
    assert not lane.is_behind
    _append(spool, b"a")
    assert _take_all(spool, lane) == [81]


def test_look_ahead_is_bounded_for_every_lane():
    spool = _spool()
    lanes = [b"%d" % number for number in range(6)]
    _append(spool, *lanes * 30)
    for lane in spool.reader.lanes.values():
        spool.take(lane, 1)
    spool.read_all()
    assert all(lane.ready_bytes <= 300 for lane in spool.reader.lanes.values())


def test_record_larger_than_the_room_is_read_when_the_lane_is_empty():
    """Once asked for over and over: half of the room was empty, and it never fitted."""
    spool = _spool()
    _append(spool, b"a")
    _append(spool, b"a", size=500)
    _append(spool, b"a")
    lane = spool.reader.lanes[b"a"]
    assert [spool.take(lane)[0].seq] == [1]
    spool.read_all()
    assert _take_all(spool, lane) == [2, 3]


def test_released_lane_holds_nothing_and_begins_again():
    spool = _spool()
    _append(spool, *[b"a"] * 30)
    lane = spool.reader.lanes[b"a"]
    assert [record.seq for record in spool.take(lane, 3)] == [1, 2, 3]
    lane.ack(2)
    lane.release()
    assert (lane.ready_bytes, lane.oldest_ms(), lane.first_outstanding()) == (0, 1_000, 3)
    assert not spool.read()
    spool.take(lane)
    spool.read_all()
    assert _take_all(spool, lane) == list(range(3, 31))


def test_release_of_a_lane_without_backlog_changes_nothing():
    spool = _spool()
    _append(spool, b"a")
    lane = spool.reader.lanes[b"a"]
    spool.take(lane)
    lane.ack(1)
    lane.release()
    assert not lane.is_behind
    _append(spool, b"a")
    assert _take_all(spool, lane) == [2]


def test_lane_with_rare_records_reads_only_their_blocks():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"rare")
    rare = spool.reader.lanes[b"rare"]
    for _ in range(5):
        _append(spool, *[b"full"] * 100)
        _append(spool, b"rare")
    spool.take(rare)
    rare.release()
    spool.take(rare)
    opens = files.calls["open"]
    spool.read_all()
    assert len(_take_all(spool, rare)) == 6
    assert files.calls["open"] - opens == 6


def test_backlog_of_lanes_in_step_is_read_about_once():
    """Once each read began at the block's start: half of what was read had been read before."""
    files = FaultyFiles()
    spool = _spool(files, lookahead_bytes=1_400, lane_lookahead_bytes=700)
    _append(spool, *[b"a", b"b"] * 60)
    written = sum(segment.extent for segment in spool.reader.segments)
    for lane in spool.reader.lanes.values():
        lane.release()
    reads = files.calls["read"]
    while spool.reader.unread() or any(lane.pending for lane in spool.reader.lanes.values()):
        for lane in spool.reader.lanes.values():
            if records := spool.take(lane):
                lane.ack(records[-1].seq)
        spool.read_all()
    assert files.calls["read"] - reads <= 1.45 * written / 256


def test_parked_lane_costs_the_others_no_read():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, *[b"parked", b"live"] * 20)
    spool.reader.lanes[b"parked"].release()
    live = spool.reader.lanes[b"live"]
    _take_all(spool, live)
    spool.read_all()
    _take_all(spool, live)
    reads = files.calls["read"]
    for _ in range(30):
        _append(spool, b"parked", b"live")
        _take_all(spool, live)
    assert not spool.read()
    assert live.pending == 0
    assert files.calls["read"] == reads


def test_lanes_that_starve_are_read_for_first():
    spool = _spool()
    _append(spool, *[b"a", b"b"] * 40)
    a, b = (spool.reader.lanes[name] for name in (b"a", b"b"))
    seen = set()
    for _ in range(40):
        for lane in (a, b):
            if records := spool.take(lane, 2):
                lane.ack(records[-1].seq)
        job = spool.reader.next_job()
        if job is None:
            break
        seen.add(job.until_seq % 2)
        spool.read()
    assert seen == {0, 1}


def test_backlog_of_former_process_is_found_lane_by_lane():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, *[b"a"] * 40, b"late", *[b"b"] * 40)
    spool.close()
    spool = _spool(files)
    spool.reader.wants_index = False
    assert not spool.read()
    assert (spool.reader.unread(), len(spool.reader.lanes)) == (81, 0)
    spool.reader.wants_index = True
    spool.read_all()
    assert list(spool.reader.lanes) == [b"a", b"late", b"b"]
    assert spool.reader.unread() == 0
    assert [lane.pending for lane in spool.reader.lanes.values()] == [40, 1, 40]


def test_record_that_is_read_again_before_the_index_came_so_far_is_counted_once():
    """Once it was counted when it was indexed, though it had been handed out: nothing was left,
    and something waited for ever.
    """
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, *[b"a"] * 4)
    spool.close()
    spool = _spool(files)
    spool.read()
    lane = spool.reader.lanes[b"a"]
    assert (lane.pending, spool.reader.unread()) == (3, 1)
    spool.take(lane)
    spool.read()
    lane.ack(spool.take(lane, 1)[-1].seq)
    lane.release()
    assert _take_all(spool, lane) == []
    spool.read_all()
    assert _take_all(spool, lane) == [2, 3, 4]
    assert (lane.pending, spool.reader.unread()) == (0, 0)


def test_new_record_waits_for_the_backlog_of_its_lane():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, *[b"a"] * 20)
    spool.close()
    spool = _spool(files)
    _append(spool, b"a")
    lane = spool.reader.lanes[b"a"]
    assert spool.take(lane) == ()
    spool.read_all()
    assert _take_all(spool, lane) == list(range(1, 22))


def test_lane_acknowledged_beyond_unread_segments_skips_none_of_the_others():
    """Once a segment indexed out of turn took the place of the first one."""
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"b", *[b"a"] * 30, size=100)
    lane = spool.reader.lanes[b"a"]
    for _ in range(3):
        spool.read_all()
        records = spool.take(lane)
        lane.ack(records[-1].seq)
    spool.save(synced=True)
    acked = lane.acked
    files.kill()
    spool = _spool(files)
    _append(spool, b"a")
    assert _take_all(spool, spool.reader.lanes[b"a"]) == []
    spool.reader.wants_index = False
    spool.read_all()
    assert _take_all(spool, spool.reader.lanes[b"a"])[0] == acked + 1
    assert b"b" not in spool.reader.lanes
    spool.reader.wants_index = True
    assert [record.lane for record in spool.drain()] == [b"b"]


def test_suspect_segment_does_not_hold_up_its_lane():
    """Once the old place of a rewritten record was read for ever."""
    files = FaultyFiles()
    spool = _spool(files)
    spool.writer.preallocation.prepare()
    spool.append([Entry(b"a", b"1")], durable=False)
    files.fail("sync", 5)
    spool.sync()
    lane = spool.reader.lanes[b"a"]
    lane.release()
    spool.take(lane)
    spool.read_all()
    assert _take_all(spool, lane) == [1]


def test_ack_beyond_what_was_handed_out_is_refused():
    spool = _spool()
    _append(spool, b"a", b"a")
    lane = spool.reader.lanes[b"a"]
    spool.take(lane, 1)
    with pytest.raises(ValueError, match="seq=2"):
        lane.ack(2)
    lane.ack(1)
    lane.ack(1)
    assert (lane.acked, lane.pending) == (1, 1)


def test_take_keeps_both_limits_but_hands_out_one_at_least():
    spool = _spool()
    _append(spool, *[b"a"] * 4)
    lane = spool.reader.lanes[b"a"]
    assert len(lane.take_ready(max_records=10, max_bytes=1)) == 1
    assert len(lane.take_ready(max_records=10, max_bytes=100)) == 2
    assert len(lane.take_ready(max_records=1, max_bytes=100)) == 1
    assert lane.take_ready(max_records=1, max_bytes=100) == ()


def test_job_for_a_segment_that_is_gone_is_dropped():
    spool = _spool()
    _append(spool, *[b"a"] * 40)
    lane = spool.reader.lanes[b"a"]
    spool.take(lane)
    job = spool.reader.next_job()
    assert job is not None
    job = job.__class__(SegmentName(99, 1, 1), job.stretch, job.until_seq, is_urgent=True)
    assert spool.reader.absorb(job, []) == []


async def test_second_consumer_of_a_lane_is_refused():
    spool = _spool()
    _append(spool, b"a")
    lane = spool.reader.lanes[b"a"]
    spool.take(lane)
    first = lane.take(max_records=1, max_bytes=1)
    first.send(None)
    with pytest.raises(RuntimeError, match="one consumer"):
        await lane.take(max_records=1, max_bytes=1)
    spool.reader.close()
    first.close()
    with pytest.raises(SpoolClosed):
        await lane.take(max_records=1, max_bytes=1)


def test_drained_spool_gives_up_all_sealed_segments():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, *[b"a", b"b"] * 30)
    assert spool.sweep() == []
    assert not spool.is_drained
    spool.drain()
    assert spool.is_drained
    assert len(spool.sweep()) > 3
    assert sum(name.endswith(".seg") for name in files.names(DIRECTORY)) == 1


def test_busy_segment_is_not_given_up():
    spool = _spool()
    _append(spool, *[b"a"] * 30)
    spool.drain()
    front = next(iter(spool.reader.segments))
    front.is_busy = True
    assert spool.reader.give_up_delivered() == []
    front.is_busy = False
    assert spool.reader.give_up_delivered()


@pytest.mark.parametrize(
    ("ranges", "new"),
    [
        ([(1, 5), (1, 5)], [4, 0]),
        ([(1, 3), (5, 7), (2, 6)], [2, 2, 2]),
        ([(1, 3), (3, 5), (0, 9)], [2, 2, 5]),
        ([(4, 4)], [0]),
        ([(1, 9), (2, 3)], [8, 0]),
    ],
)
def test_ranges_count_each_number_once(ranges, new):
    found = Ranges()
    assert [found.add(start, end) for start, end in ranges] == new


def test_index_of_unknown_lane_knows_no_place():
    assert LiveSegment(SegmentName(1, 1, 1), 64, None, 128).find(b"a", 1) is None
