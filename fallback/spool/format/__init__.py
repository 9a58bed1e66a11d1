"""What lies on the disk: records, segments, cursor, and the port to the files.

Imports no other room of the spool.

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

INVARIANTS, each of which a line of code keeps:

- A segment's name is what counts; everything in the file can be checked against it.
- A frame is valid by its marker and CRC alone, so that reading goes on behind any damage.
- A segment is appended to by one process, once: after a crash a new one is begun.
- Nothing is unlinked before a synced cursor says that it is delivered.
- One slot of the cursor is whole and synced at every moment, from the end of the first start on.
"""
