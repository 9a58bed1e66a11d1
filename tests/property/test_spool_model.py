"""Random histories of a spool on a file system that forgets, tears and reorders.

The model keeps its own account of what was promised, and predicts what must be read and how
much must be counted as lost.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fallback.errors import SpoolFailed
from fallback.spool.format.cursor import SLOT_BYTES, Cursor
from fallback.spool.format.record import Entry, frame_bytes
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config

LANES = [b"a", b"b", b"c", b""]


@dataclass
class Kept:
    """What the model knows of one sequence number."""

    entry: Entry
    is_safe: bool = False
    """A power cut may not lose it."""
    may_miss: bool = False
    """Its frame was damaged, or a power cut came before it was safe."""
    is_passed: bool = False
    """It was delivered, and taken out of its segment."""


class SpoolMachine(RuleBasedStateMachine):
    """Append, read, acknowledge, roll, fail, crash, reopen, corrupt."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed):
        self.random = Random(seed)
        self.files = FaultyFiles()
        self.config = small_config()
        self.kept: dict[int, Kept] = {}
        self.places: dict[int, tuple[str, int, int]] = {}
        self.acked: dict[bytes, int] = {}
        self.synced = Cursor()
        self.bodies = 0
        self.open()

    def open(self):
        """Open what is there, and compare it with what was promised."""
        self.spool = SteppedSpool(self.files, self.config, seed=self.random.randrange(2**32))
        self.found = self.spool.opened.cursor_file.recovered or Cursor()
        self.check_cursor()
        self.written = 0
        self.handed: dict[bytes, int] = {}
        self.read_here: set[int] = set()
        self.acked = {
            lane: max(self.found.acked.get(lane, 0), self.found.low_water) for lane in LANES
        }
        self.acked_before = dict(self.acked)
        self.synced = self.spool.reader.cursor()
        for seq in [seq for seq in self.kept if seq >= self.spool.writer.next_seq]:
            gone = self.kept.pop(seq)
            self.places.pop(seq, None)
            assert gone.may_miss or not gone.is_safe, f"{seq} was promised"
        for kept in self.kept.values():
            kept.may_miss = kept.may_miss or not kept.is_safe
            kept.is_safe = True

    def check_cursor(self):
        """It never falls behind what was synced, and never runs ahead of what was acknowledged."""
        assert self.found.low_water >= self.synced.low_water
        for lane, seq in self.synced.acked.items():
            assert max(self.found.acked.get(lane, 0), self.found.low_water) >= seq
        for lane, seq in self.found.acked.items():
            assert seq <= self.acked[lane]
        for seq, kept in self.kept.items():
            if seq <= self.found.low_water:
                is_done = kept.may_miss or kept.is_passed
                assert is_done or seq <= self.acked[kept.entry.lane]

    @rule(
        sizes=st.lists(st.integers(0, 150), min_size=1, max_size=4),
        durable=st.booleans(),
        lane=st.sampled_from(LANES),
    )
    def append(self, sizes, durable, lane):
        entries = []
        for size in sizes:
            self.bodies += 1
            entries.append(Entry(lane, b"%d." % self.bodies + bytes(size)))
        expected = self.spool.writer.next_seq
        seqs = self.spool.append(entries, durable=durable)
        if seqs is None:
            is_full = not self.spool.opened.disk_usage.admits(self.config.segment_bytes)
            assert is_full or any(self.files.faults.values())
            return
        assert seqs == range(expected, expected + len(entries))
        self.kept.update((seq, Kept(entry)) for seq, entry in zip(seqs, entries, strict=True))
        self.note_written()

    @rule(
        appends=st.lists(
            st.tuples(st.integers(0, 150), st.booleans(), st.sampled_from(LANES)),
            min_size=4,
            max_size=12,
        )
    )
    def append_many(self, appends):
        for size, durable, lane in appends:
            self.append([size, size], durable, lane)

    @rule()
    def sync(self):
        self.spool.sync()
        self.note_written()

    @precondition(lambda self: self.spool.writer.room > 200)
    @rule(operation=st.sampled_from(["sync", "write", "write_synced"]), durable=st.booleans())
    def fail_once(self, operation, durable):
        """A write or sync of a record fails; everything goes on in a new segment."""
        if not self.spool.writer.preallocation.prepare():
            return
        self.files.fail(operation, errno.EIO)
        self.append([0], durable, b"a")
        self.sync()
        self.files.faults.clear()

    @rule(operation=st.sampled_from(["sync", "write", "write_synced", "rename", "sync_directory"]))
    def fail_for_good(self, operation):
        """The disk fails until the power does."""
        self.files.fail(operation, *[errno.EIO] * 50)
        try:
            self.append([100, 100], True, b"a")
            self.append([100, 100], False, b"b")
            self.sync()
        except SpoolFailed:
            self.spool.take_written()
        self.files.faults.clear()
        self.crash()

    @rule(count=st.integers(1, 5))
    def read(self, count):
        for _ in range(count):
            self.spool.read()

    @rule(lane=st.sampled_from(LANES), count=st.integers(1, 5))
    def take(self, lane, count):
        if lane in self.spool.reader.lanes:
            for record in self.spool.take(self.spool.reader.lanes[lane], count):
                self.check(record)

    def check(self, record):
        """Nothing invented, nothing skipped, nothing out of order."""
        assert (record.lane, record.body) == self.kept[record.seq].entry
        before = max(self.handed.get(record.lane, 0), self.acked[record.lane])
        assert record.seq > before
        for seq in range(before + 1, record.seq):
            kept = self.kept.get(seq)
            if kept is not None and kept.entry.lane == record.lane:
                assert kept.may_miss or kept.is_passed, seq
        self.handed[record.lane] = record.seq
        self.read_here.add(record.seq)

    @rule(lane=st.sampled_from(LANES))
    def ack(self, lane):
        if lane in self.handed:
            self.spool.reader.lanes[lane].ack(self.handed[lane])
            self.acked[lane] = max(self.acked[lane], self.handed[lane])

    @rule(synced=st.booleans())
    def deliver_all(self, synced):
        """What a healthy pump does: everything is handed out, acknowledged, deleted."""
        for record in self.spool.drain():
            self.check(record)
            self.acked[record.lane] = record.seq
        self.sweep()
        self.save_cursor(synced)

    @rule(lane=st.sampled_from(LANES))
    def release(self, lane):
        if lane in self.spool.reader.lanes:
            self.spool.reader.lanes[lane].release()
            self.handed.pop(lane, None)

    @rule(synced=st.booleans())
    def save_cursor(self, synced):
        self.spool.save(synced=synced)
        if synced:
            self.synced = self.spool.reader.cursor()

    @rule()
    def sweep(self):
        if self.spool.sweep():
            self.synced = self.spool.reader.cursor()

    @rule()
    def compact(self):
        """A segment is rewritten without what was delivered."""
        if self.spool.compact() is None:
            return
        compacted = self.spool.compacted
        name = compacted.name.file_name()
        kept = {record.seq for record in compacted.records}
        for seq in [seq for seq, place in self.places.items() if place[0] == name]:
            del self.places[seq]
            if seq not in kept and seq in self.kept:
                is_delivered = seq <= self.acked[self.kept[seq].entry.lane]
                assert is_delivered or self.kept[seq].may_miss
                self.kept[seq].is_passed = is_delivered
        for record, start in zip(compacted.records, compacted.offsets, strict=True):
            end = start + frame_bytes(Entry(record.lane, record.body))
            self.places[record.seq] = (name, start, end)

    @rule()
    def crash(self):
        """The power is cut."""
        self.files.crash(self.random)
        self.open()

    @rule()
    def kill(self):
        """The process ends; everything it wrote stays."""
        for kept in self.kept.values():
            kept.is_safe = True
        self.files.kill()
        self.open()

    @rule()
    def close(self):
        self.spool.close()
        self.synced = self.spool.reader.cursor()
        self.note_written()
        self.open()

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def corrupt(self, data):
        """Flip a bit anywhere in a segment."""
        self.sync()
        names = sorted({name for name, _, _ in self.places.values()})
        name = data.draw(st.sampled_from(names))
        path = DIRECTORY / name
        if path not in self.files.names_seen or not self.files.content(path):
            return
        content = self.files.content(path)
        at = data.draw(st.integers(0, len(content) - 1))
        self.files.damage(path, at, bytes([content[at] ^ 1 << at % 8]))
        for seq, (name_of, start, end) in self.places.items():
            if name_of == name and start <= at < end:
                self.kept[seq].may_miss = True

    @rule()
    def drain(self):
        """Everything that was promised comes out, and what does not is counted exactly."""
        for lane in self.spool.reader.lanes.values():
            lane.release()
        self.handed.clear()
        for record in self.spool.drain():
            self.check(record)
            self.acked[record.lane] = record.seq
        assert self.spool.is_drained
        self.check_losses()

    def check_losses(self):
        universe = range(self.found.low_water + 1, self.spool.writer.next_seq)
        missing = [seq for seq in universe if seq not in self.read_here]
        due = [
            seq
            for seq in missing
            if seq > self.acked_before[self.kept[seq].entry.lane] and not self.kept[seq].is_passed
        ]
        assert all(self.kept[seq].may_miss for seq in due)
        damaged = [seq for seq in universe if self.kept[seq].may_miss and seq not in due]
        assert len(due) <= self.spool.lost <= len(due) + len(damaged)

    def limit(self):
        return self.config.quota_bytes + 2 * SLOT_BYTES

    def note_written(self):
        for seq, kept in self.kept.items():
            kept.is_safe = kept.is_safe or seq <= self.spool.writer.synced_seq
        self.note_places()

    def note_places(self):
        for written in self.spool.written[self.written :]:
            ends = [*written.offsets[1:], written.end]
            for record, start, end in zip(written.records, written.offsets, ends, strict=True):
                self.places[record.seq] = (written.segment.file_name(), start, end)
        self.written = len(self.spool.written)

    @invariant()
    def holds_its_quota(self):
        assert self.files.used() <= self.limit()


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=int(os.environ.get("SPOOL_MODEL_EXAMPLES", "200")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
