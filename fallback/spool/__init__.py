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

The rooms, in the order of their imports: `format` (what lies on the disk; FORMAT stands there),
`writing` (the way in), `startup` (opening, recovery, a look from outside), `reading` (the way out);
`spool.py` puts them together, and `config.py`, `status.py`, `wakeup.py` are shared. Imports of
`fallback` its errors, clock, observer and atomic file; no other room.
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
