"""The spool: a durable log on the local disk, appended to on one side, drained on the other.

    async with Spool.open(directory, SpoolConfig()) as spool:
        await spool.append([Entry(lane, body)], durability=Durability.DURABLE, timeout_s=1.0)

    async for lane in spool.lanes():        # every lane once, old ones and new ones
        start_task(drain(lane))             # one consumer for each

    async def drain(lane):
        while True:
            records = await lane.take(max_records=500, max_bytes=512 * 1024)
            await deliver(records)          # as often as it needs; or lane.release() and later
            lane.ack(records[-1].seq)

INVARIANTS

1.  A `durable` append that returned is not lost: not by a killed process, not by a power cut. A
    `relaxed` one is not lost by a killed process; a power cut loses at most `relaxed_sync_ms` of
    them. When a `durable` append returned, so is everything that was appended before it.
2.  Sequence numbers are dense, start at 1, and grow in the order of commits. One that the disk or
    the cursor knows is never given out again. A number without a record is a lost record: losses
    are counted, never guessed. Only a tail that nobody was promised can vanish uncounted.
3.  The entries of one append are neighbours in one segment. A crash before the answer may keep
    some of them.
4.  Within a lane, records are handed out in the order of their numbers, each at least once. It
    is handed out again after `Lane.release` and after a restart unless it was acknowledged, and
    after a crash even so if the acknowledgement was not yet written (`cursor_interval_ms` for a
    kill, `cursor_sync_ms` for a power cut).
5.  Lanes do not wait for each other. One that nobody drains holds its own records on the disk
    (from `warn_percent` on, segments are rewritten without what the others have delivered) and,
    at most, its share of the look-ahead in memory; after `Lane.release` none.
6.  Nothing that was not appended is ever handed out: each record passes its checksum.
7.  The files never exceed the quota, and no new segment is begun below the free-space floor. A
    full spool still hands out, acknowledges, and makes room by it, without a restart.
8.  One process has a spool open (flock). Work at the start is bounded by one segment.

FORMAT, version 1; little-endian; CRC is zlib's crc32

    <directory>/
      lock                                    flock'ed while open
      cursor                                  two slots of 64 KiB
      <number>-<base>-<marker>.seg            segments; 10 and 20 decimal digits, 8 hex digits
      spare.tmp                               the next segment, zeros; means nothing after a crash
      thin.tmp                                a segment being rewritten; the same
      corrupt/<segment>-<offset>.bin          copies of damaged bytes

    segment   header (64 bytes), then frames, then zeros. Made full of zeros, then named.
    header    "SPOOLSEG", version u16, 0 u16, marker u32, number u64, base u64, created_ms u64,
              zeros, CRC u32 over the 60 bytes before. Repeats the name, which is what counts: a
              damaged header costs no record.
    frame     marker u32, CRC u32, length u32, seq u64, kind u8, lane length u8, appended_ms u64,
              lane, body. `length` counts what follows the sequence number; the CRC covers
              everything behind itself and starts from the marker. Kind 1 is a record. Kind 2
              stands for delivered records that were taken out: no lane, the body is the
              sequence number behind the last of them, u64.
    slot      CRC u32, length u32, then `length` bytes under the CRC: generation u64,
              low_water u64, synced_seq u64, count u32, then for each lane: length u8, name,
              acknowledged seq u64. The whole slot with the highest generation counts.

    number    grows with each segment made. base: sequence number of the segment's first record.
    marker    random for each segment, no zero byte. It starts each frame, so that reading can go
              on behind damage, and old or foreign bytes cannot pass for a frame.

A segment's records are those from its base to just below the next segment's base. So a segment
whose last writes failed needs no repair: what it shares with its successor counts there.

A segment that is mostly delivered may be rewritten: a smaller file takes its place under the same
name, in one rename. Runs of delivered records are one frame of kind 2, so that the sequence numbers
stay dense, and a loss stays a loss.

Deleting: cursor written → cursor synced → segment unlinked → directory synced. A crash anywhere
in between leaves a segment that the cursor says is done; the next start deletes it.

The cursor slot that was synced last is never written to; all writes without sync go to the other
one. So one whole slot survives every crash, and what a torn one loses is repetitions.

What reading does with damage: a frame that fails its checks is skipped up to the next valid one
of this segment, its bytes are copied to `corrupt/`, the sequence numbers that are not there are
counted. Behind the last valid frame of the last segment, bytes are a torn tail and cut off; they
count as lost only where the cursor knows that they were synced. A missing segment is a hole.

The files: `record.py` (frame), `segment.py`, `scan.py` (reading, damage), `cursor.py`, `io.py`
(port to the disk), `quota.py`, `spare.py`, `writer.py` (everything that writes), `committer.py`
(its thread), `pending.py` and `intake.py` (its callers), `recovery.py` and `opening.py` (start),
`index.py`, `lane.py`, `reader.py` (what is read for whom), `thinning.py`, `feeder.py` (its task),
`spool.py` (the face), `inspection.py` (a look from outside).
"""

from fallback.spool.config import SpoolConfig
from fallback.spool.format.record import Durability, Entry, Record
from fallback.spool.reading.lane import Lane
from fallback.spool.spool import Spool
from fallback.spool.status import SilentObserver, SpoolObserver, SpoolState, SpoolStats

__all__ = [
    "Durability",
    "Entry",
    "Lane",
    "Record",
    "SilentObserver",
    "Spool",
    "SpoolConfig",
    "SpoolObserver",
    "SpoolState",
    "SpoolStats",
]
