"""What waits is counted once, however and in whatever order it is read."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fallback.spool.format.record import Entry
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import SteppedSpool, small_config

LANES = (b"a", b"b")
LOTS = {"quota_bytes": 1024 * 1024, "lookahead_bytes": 600, "lane_lookahead_bytes": 300}
BACKLOG = st.lists(st.sampled_from(LANES), min_size=1, max_size=20)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "take", "take", "ack", "ack some", "release", "append"]),
        st.sampled_from(LANES),
    ),
    min_size=20,
    max_size=60,
)


class Counted:
    """A spool with a backlog of a former process, and what of it nobody acknowledged."""

    def __init__(self, backlog: list[bytes]) -> None:
        files = FaultyFiles()
        former = SteppedSpool(files, small_config(**LOTS))
        self.waiting = Counter(backlog)
        for lane in backlog:
            former.append([Entry(lane, lane * 50)])
        former.close()
        self.spool = SteppedSpool(files, small_config(**LOTS))
        self.taken: dict[bytes, list[int]] = {lane: [] for lane in LANES}

    def do(self, step: str, name: bytes) -> None:
        lane, taken = self.spool.reader.lanes.get(name), self.taken[name]
        if step == "read":
            self.spool.read()
        elif step == "append":
            assert self.spool.append([Entry(name, name * 50)]) is not None
            self.waiting[name] += 1
        elif lane is not None and step == "take":
            taken += [record.seq for record in self.spool.take(lane, 3)]
        elif lane is not None and step == "release":
            lane.release()
            taken.clear()
        elif lane is not None and taken:
            done = taken[: 1 if step == "ack some" else len(taken)]
            lane.ack(done[-1])
            del taken[: len(done)]
            self.waiting[name] -= len(done)

    def check(self) -> None:
        reader = self.spool.reader
        counted = {name: lane.pending for name, lane in reader.lanes.items()}
        assert min(counted.values(), default=0) >= 0
        if not reader.unread():
            assert counted == {
                name: count for name, count in self.waiting.items() if name in counted
            }
            assert sum(counted.values()) == self.waiting.total()


@settings(max_examples=400)
@given(BACKLOG, STEPS)
def test_what_waits_is_counted_once(backlog, steps):
    counted = Counted(backlog)
    for step, name in steps:
        counted.do(step, name)
        counted.check()
    for lane in counted.spool.reader.lanes.values():
        lane.release()
    counted.spool.drain()
    assert sum(lane.pending for lane in counted.spool.reader.lanes.values()) == 0
