"""Stands between a client and a broker, and answers batches with error codes of one's choice.

It reads Produce requests of versions 3 to 7 and passes everything else on. A batch is either
refused (the broker never sees it) or appended (the broker has it, and its answer is rewritten).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from pricing.embedded.ports import LOOPBACK

_PRODUCE = 0
_REQUEST = struct.Struct(">hhi")  # API, version, correlation id
_LENGTH = struct.Struct(">i")
_LOG_START_FROM = 5
_RECORD_ERRORS_FROM = 8
_NO_THROTTLE = bytes(4)


@dataclass
class Answer:
    """Answers batches with an error code."""

    code: int
    appended: bool
    times: int = 1
    """How many requests it concerns; used up."""
    concerns: Callable[[str, int, bytes], bool] = lambda _topic, _partition, _records: True
    """Which batches of those requests, by topic, partition and bytes."""
    is_last: bool = False
    """The connection says nothing more after such an answer."""
    given: int = 0
    """Batches that were answered so."""


class KafkaWireProxy:
    """Forwards a loopback port to a broker's; `async with` opens and closes it."""

    def __init__(self, target_port: int, *, port: int) -> None:
        self.port = port
        self.answer: Answer | None = None
        self.produced: list[tuple[str, int, int]] = []
        """Topic, partition and bytes of each batch that came by."""
        self.requests: list[int] = []
        """Bytes of each request that carried batches."""
        self.silent_to: int | None = None
        """Requests of this API are never answered."""
        self.unanswered = 0
        self.passing = asyncio.Event()
        """While it is not set, batches wait here."""
        self.waiting = 0
        self._ends_now = False
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.passing.set()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request at a time, so that the answers stay in order."""
        up_reader, up = await asyncio.open_connection(LOOPBACK, self._target_port)
        try:
            while True:
                request = await _read(reader)
                answer = await self._answered(request, up_reader, up)
                writer.write(_LENGTH.pack(len(answer)) + answer)
                if self._ends_now:
                    self._ends_now = False
                    await asyncio.Event().wait()
                await writer.drain()
        finally:
            up.close()
            with contextlib.suppress(OSError):
                await up.wait_closed()

    async def _answered(
        self, request: bytes, up_reader: asyncio.StreamReader, up: asyncio.StreamWriter
    ) -> bytes:
        api, version, correlation = _REQUEST.unpack_from(request)
        if api == self.silent_to:
            self.unanswered += 1
            await asyncio.Event().wait()
        batches = _batches(request) if api == _PRODUCE else []
        self.produced += [(topic, part, len(records)) for topic, part, records in batches]
        if batches:
            self.requests.append(len(request))
            self.waiting += 1
            await self.passing.wait()
            self.waiting -= 1
        chosen, wanted = self._chosen(batches)
        if chosen is None:
            return await _ask(request, up_reader, up)
        if chosen.appended:
            answer = await _ask(request, up_reader, up)
            return _rewritten(answer, version, wanted, chosen.code)
        refused = _refusals(version, wanted, chosen.code)
        others = [batch for batch in batches if batch[:2] not in wanted]
        self._ends_now = chosen.is_last
        if not others:
            return struct.pack(">ii", correlation, len(refused)) + b"".join(refused) + _NO_THROTTLE
        answer = await _ask(_with_batches(request, others), up_reader, up)
        (count,) = _LENGTH.unpack_from(answer, 4)
        more = _LENGTH.pack(count + len(refused))
        return answer[:4] + more + answer[8:-4] + b"".join(refused) + answer[-4:]

    def _chosen(
        self, batches: list[tuple[str, int, bytes]]
    ) -> tuple[Answer | None, set[tuple[str, int]]]:
        answer = self.answer
        if answer is None or answer.times <= 0 or not batches:
            return None, set()
        wanted = {
            (topic, part) for topic, part, data in batches if answer.concerns(topic, part, data)
        }
        if not wanted:
            return None, set()
        answer.times -= 1
        answer.given += len(wanted)
        return answer, wanted


async def _ask(request: bytes, up_reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> bytes:
    up.write(_LENGTH.pack(len(request)) + request)
    await up.drain()
    return await _read(up_reader)


async def _read(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return await reader.readexactly(length)


class _Cursor:
    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f">{form}", self.data, self.at)
        self.at += struct.calcsize(f">{form}")
        return int(value)

    def text(self) -> str:
        length = self.number("h")
        if length < 0:
            return ""
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def bytes(self) -> bytes:
        length = self.number("i")
        self.at += length
        return self.data[self.at - length : self.at]


def _batches(request: bytes) -> list[tuple[str, int, bytes]]:
    """Topic, partition and records of a Produce request."""
    cursor = _topics_of(request)
    found = []
    for _ in range(cursor.number("i")):
        topic = cursor.text()
        for _ in range(cursor.number("i")):
            partition = cursor.number("i")
            found.append((topic, partition, cursor.bytes()))
    return found


def _topics_of(request: bytes) -> _Cursor:
    """Where the topics of a Produce request begin."""
    cursor = _Cursor(request, _REQUEST.size)
    cursor.text()  # client id
    cursor.text()  # transactional id
    cursor.number("h")  # acks
    cursor.number("i")  # timeout
    return cursor


def _with_batches(request: bytes, batches: list[tuple[str, int, bytes]]) -> bytes:
    """The request with only these batches."""
    parts = [request[: _topics_of(request).at], struct.pack(">i", len(batches))]
    for topic, partition, records in batches:
        parts.append(struct.pack(">h", len(topic)) + topic.encode())
        parts.append(struct.pack(">iii", 1, partition, len(records)) + records)
    return b"".join(parts)


def _refusals(version: int, wanted: set[tuple[str, int]], code: int) -> list[bytes]:
    """What a broker would say of each batch, had it taken none of these."""
    parts = []
    for topic, partition in sorted(wanted):
        part = struct.pack(">h", len(topic)) + topic.encode()
        part += struct.pack(">iihqq", 1, partition, code, -1, -1)
        if version >= _LOG_START_FROM:
            part += struct.pack(">q", -1)
        parts.append(part)
    return parts


def _rewritten(answer: bytes, version: int, wanted: set[tuple[str, int]], code: int) -> bytes:
    """The broker's answer with another error code."""
    changed = bytearray(answer)
    cursor = _Cursor(answer, 4)
    for _ in range(cursor.number("i")):
        topic = cursor.text()
        for _ in range(cursor.number("i")):
            partition = cursor.number("i")
            if (topic, partition) in wanted:
                struct.pack_into(">h", changed, cursor.at, code)
            cursor.at += 2 + 8 + 8 + (8 if version >= _LOG_START_FROM else 0)
            assert version < _RECORD_ERRORS_FROM
    return bytes(changed)
