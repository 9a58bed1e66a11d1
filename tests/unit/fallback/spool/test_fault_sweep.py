"""Every call to the disk fails once, one after the other: nothing that was promised is lost."""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import pytest

from fallback.errors import SpoolFailed
from fallback.spool.format.record import Entry
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import SteppedSpool, small_config

OPERATIONS = (
    "close",
    "lock",
    "names",
    "open",
    "read",
    "rename",
    "sync",
    "sync_directory",
    "truncate",
    "unlink",
    "write",
    "write_synced",
)
LANES = (b"a", b"b")
REFUSED = (SpoolFailed, OSError)
"""What whoever works on the spool has to bear. The service's threads try again."""


@dataclass
class Account:
    """What one life of a spool promised."""

    promised: dict[int, Entry] = field(default_factory=dict)
    acked: dict[bytes, int] = field(default_factory=dict)


def live(files: FaultyFiles) -> Account:
    """Append, deliver a part, give room back, append again, end in good order."""
    account = Account()
    with suppress(*REFUSED):
        spool = SteppedSpool(files, small_config())
        append(spool, account, range(24))
        with suppress(*REFUSED):
            spool.drain()
        append(spool, account, range(24, 36))
        account.acked = {name: lane.acked for name, lane in spool.reader.lanes.items()}
        for step in (lambda: spool.save(synced=False), spool.sweep, spool.close):
            with suppress(*REFUSED):
                step()
    return account


def append(spool: SteppedSpool, account: Account, numbers: range) -> None:
    for number in numbers:
        entry = Entry(LANES[number % 2], b"%d:" % number + bytes(100))
        is_durable = number % 3 != 0
        with suppress(*REFUSED):
            seqs = spool.append([entry], durable=is_durable)
            if seqs is not None and is_durable:
                account.promised[seqs[0]] = entry


def test_life_without_a_fault_does_all_that_can_fail():
    files = FaultyFiles()
    seed_tail(files)
    account = live(files)
    assert len(account.promised) == 24
    assert {name for name in OPERATIONS if files.calls[name]} == set(OPERATIONS)


def seed_tail(files: FaultyFiles) -> None:
    """What an earlier process left: a tail to cut at the next start."""
    spool = SteppedSpool(files, small_config())
    spool.append([Entry(b"old", bytes(100))], durable=True)
    torn = spool.written[-1]
    path = spool.directory / torn.segment.file_name()
    files.damage(path, torn.end + 5, b"torn")
    files.kill()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["io-error", "no-space"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_call_that_fails_costs_nothing_promised(operation, code):
    whole = FaultyFiles()
    seed_tail(whole)
    first = whole.calls[operation]
    live(whole)
    for nth in range(whole.calls[operation] - first):
        files = FaultyFiles()
        seed_tail(files)
        files.fail(operation, *[0] * nth, code)
        account = live(files)
        files.crash(Random(nth))
        files.faults.clear()
        found = {record.seq: record for record in SteppedSpool(files, small_config()).drain()}
        for seq, entry in account.promised.items():
            record = found.get(seq)
            assert record is not None or seq <= account.acked.get(entry.lane, 0), (nth, seq)
            assert record is None or (record.lane, record.body) == entry
