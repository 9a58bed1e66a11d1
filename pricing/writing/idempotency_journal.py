"""The answers by key on the disk, in one SQLite file, so that a restart keeps them.

A mirror of what the process remembers: loaded once, then only written to. Everything that waits
when the thread comes back from the disk goes into its next transaction. A disk that fails costs
the memory beyond a restart, and never a request.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from pricing.writing.idempotency import IdempotencyJournal, Remembered

_log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    first_ms INTEGER NOT NULL,
    answer BLOB
) WITHOUT ROWID
"""
_KEEP = "INSERT OR REPLACE INTO answers (key, fingerprint, first_ms, answer) VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM answers WHERE key = ?"
_LOAD = "SELECT key, fingerprint, first_ms, answer FROM answers ORDER BY first_ms"
_CLOSE_S = 2.0

Statement = tuple[str, tuple[Any, ...]]


class OpenedJournal(NamedTuple):
    """A journal and what it held when it was opened."""

    journal: IdempotencyJournal | None
    """None: the file cannot be used, and the answers are kept in memory alone."""
    known: Sequence[Remembered]


@asynccontextmanager
async def opened_journal(path: Path) -> AsyncIterator[OpenedJournal]:
    """The journal in a file, for one process at a time; leaving writes what waits."""
    thread = ThreadPoolExecutor(1, "answers")
    loop = asyncio.get_running_loop()
    try:
        connection, known = await loop.run_in_executor(thread, _open, path)
    except (sqlite3.Error, OSError) as error:
        _log.error("answers by key not opened, kept in memory only", error=str(error))
        yield OpenedJournal(None, ())
        return
    journal = SqliteJournal(connection, thread)
    try:
        yield OpenedJournal(journal, known)
    finally:
        await journal.close()


def _open(path: Path) -> tuple[sqlite3.Connection, list[Remembered]]:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        return _load(path)
    except sqlite3.DatabaseError as error:
        _log.error("answers by key not read, begun anew", error=str(error))
        path.replace(path.with_suffix(".broken"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _load(path)


def _load(path: Path) -> tuple[sqlite3.Connection, list[Remembered]]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(_SCHEMA)
        with closing(connection.execute(_LOAD)) as rows:
            return connection, [Remembered(*row) for row in rows]
    except BaseException:
        connection.close()
        raise


class SqliteJournal:
    """An `IdempotencyJournal` in a database that belongs to one thread."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Statement] = []
        self._must_sync = False
        """Something that waits has to survive a power cut."""
        self._written: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    async def begin(self, remembered: Remembered) -> None:
        self._must_sync = True
        self._add(_KEEP, _row(remembered))
        await asyncio.shield(self._written)

    async def finish(self, remembered: Remembered) -> None:
        self._add(_KEEP, _row(remembered))
        await asyncio.shield(self._written)

    def forget(self, key: str) -> None:
        self._add(_FORGET, (key,))

    async def close(self) -> None:
        """Write what waits, and close."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSE_S)
        await self._loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=False)

    def _add(self, sql: str, values: tuple[Any, ...]) -> None:
        self._waiting.append((sql, values))
        if self._task is None:
            self._task = self._loop.create_task(self._write_all(), name="answers")

    async def _write_all(self) -> None:
        while self._waiting:
            statements, self._waiting = self._waiting, []
            must_sync, self._must_sync = self._must_sync, False
            written, self._written = self._written, self._loop.create_future()
            try:
                await self._loop.run_in_executor(self._thread, self._commit, statements, must_sync)
            except sqlite3.Error as error:
                _log.error("answers by key not kept", answers=len(statements), error=str(error))
            finally:
                written.set_result(None)
        self._task = None

    def _commit(self, statements: Sequence[Statement], must_sync: bool) -> None:
        """One transaction. Runs on the thread."""
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if must_sync else 'NORMAL'}")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _row(remembered: Remembered) -> tuple[Any, ...]:
    return (
        remembered.key,
        remembered.fingerprint,
        remembered.first_ms,
        remembered.answer,
    )
