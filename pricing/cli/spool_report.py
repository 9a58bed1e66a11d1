"""What `equilibrium spool …` does: reads, checks, sends and mends the spools of this machine."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from fallback.clock import wall_s
from fallback.errors import SpoolFailed, SpoolLocked
from fallback.pump import Pump
from fallback.pump.adoption import spool_directories
from fallback.spool import Spool
from fallback.spool.startup.inspection import (
    DamagedSpan,
    InspectedRecord,
    is_held,
    read_spool,
    segments,
)
from pricing.cli.settings import state_directory
from pricing.errors import StateUnreadable
from pricing.wiring.configs import kafka_config
from pricing.wiring.settings import Settings
from pricing.wiring.writing import SPOOLS, replaying
from pricing.writing.spool_lanes import place_of
from streaming.events.event_types import rfc3339
from streaming.events.packing import UnreadableRecord, unpack

_LOOK_S = 0.02


def directories(settings: Settings, name: str | None) -> list[Path]:
    """The spools of this machine, or the one of that name.

    Raises `StateUnreadable`, and `typer.BadParameter` for a name that none has.
    """
    home = state_directory(settings) / SPOOLS
    if home.exists() and not home.is_dir():
        raise StateUnreadable(f"{home}: Not a directory")
    found = spool_directories(home)
    chosen = [path for path in found if name is None or path.name == name]
    if name is not None and not chosen:
        raise typer.BadParameter(f"--spool {name}: there is no such spool")
    return chosen


@dataclass(slots=True)
class Contents:
    """What a scan of one spool found."""

    directory: Path
    records: int = 0
    pending: Counter[str] = field(default_factory=Counter)
    oldest_ms: int | None = None
    damage: list[DamagedSpan] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The figures, as JSON has them."""
        names = segments(self.directory)
        hurts = [hurt for hurt in self.damage if not hurt.is_tail]
        return {
            "spool": self.directory.name,
            "held": is_held(self.directory),
            "segments": len(names),
            "bytes": sum(_size(self.directory / name.file_name()) for name in names),
            "records": self.records,
            "pending": self.pending.total(),
            "lanes": dict(sorted(self.pending.items())),
            "oldest": None if self.oldest_ms is None else rfc3339(self.oldest_ms),
            "damaged": len(hurts),
            "lost": sum(hurt.damage.lost for hurt in hurts),
        }


def contents(directory: Path) -> Contents:
    """Read a whole spool."""
    found = Contents(directory)
    for one in read_spool(directory):
        if isinstance(one, DamagedSpan):
            found.damage.append(one)
            continue
        found.records += 1
        if one.is_pending:
            found.pending[one.record.lane.decode(errors="replace")] += 1
            if found.oldest_ms is None:
                found.oldest_ms = one.record.appended_ms
    return found


def damage(directories: Iterable[Path]) -> list[dict[str, Any]]:
    """Every stretch of damage."""
    return [
        {
            "spool": directory.name,
            "segment": hurt.segment,
            "at": hurt.damage.at,
            "bytes": hurt.damage.size,
            "first_seq": hurt.damage.first_seq,
            "lost": hurt.damage.lost,
            "torn_tail": hurt.is_tail,
        }
        for directory in directories
        for hurt in contents(directory).damage
    ]


def records(directory: Path, *, everything: bool) -> Iterator[dict[str, Any]]:
    """The records that wait, or all that are still there, as JSON has them."""
    for one in read_spool(directory):
        if isinstance(one, InspectedRecord) and (everything or one.is_pending):
            yield {
                "spool": directory.name,
                "seq": one.record.seq,
                "pending": one.is_pending,
                "appended_at": rfc3339(one.record.appended_ms),
                **describe(one.record.lane, one.record.body),
            }


async def replay(
    settings: Settings, directories: Iterable[Path], timeout_s: float
) -> list[dict[str, Any]]:
    """Send what waits in the spools that nobody holds; says how far it came."""
    rows = []
    async with replaying(settings, kafka_config(settings), wall_s=wall_s) as pump_for:
        for directory in directories:
            row: dict[str, Any] = {"spool": directory.name}
            rows.append(row)
            try:
                async with Spool.open(directory, with_intake=False) as spool:
                    row |= await _replay(spool, pump_for(spool), timeout_s)
            except (SpoolLocked, SpoolFailed) as error:
                row |= {"done": False, "problem": str(error)}
    return rows


async def _replay(spool: Spool, pump: Pump, timeout_s: float) -> dict[str, Any]:
    async with pump:
        done = await pump.drain(timeout_s, through_outage=True)
        stats, reasons = pump.stats(), pump.gate.reasons()
    left = spool.stats().records
    row = {"done": done, "sent": stats.sent, "buried": stats.dead_lettered, "left": left}
    return row if done else {**row, "problem": ", ".join(reasons) or "no answer in time"}


async def repair(directories: Iterable[Path]) -> list[dict[str, Any]]:
    """Open each spool once, which cuts and sets aside; says what that was."""
    rows = []
    for directory in directories:
        row: dict[str, Any] = {"spool": directory.name}
        rows.append(row)
        try:
            async with Spool.open(directory, with_intake=False) as spool, _reading(spool):
                while not spool.is_indexed:  # noqa: ASYNC110 - it ends soon, and tells nobody
                    await asyncio.sleep(_LOOK_S)
                stats = spool.stats()
        except (SpoolLocked, SpoolFailed) as error:
            row |= {"done": False, "problem": str(error)}
            continue
        row |= {"done": True, "pending": stats.records, "cut_bytes": stats.torn_bytes}
        row |= {"damaged_bytes": stats.corrupt_bytes, "lost": stats.corrupt_records}
    return rows


@asynccontextmanager
async def _reading(spool: Spool) -> AsyncIterator[None]:
    """Somebody who wants to know every lane, so that the spool reads everything."""
    finding = asyncio.ensure_future(_find_all(spool))
    try:
        yield
    finally:
        finding.cancel()
        await asyncio.gather(finding, return_exceptions=True)


async def _find_all(spool: Spool) -> None:
    async for _ in spool.lanes():
        pass


def describe(lane: bytes, body: bytes) -> dict[str, Any]:
    """A record for people: topic, partition, key, headers and value; or its bytes."""
    text = lane.decode(errors="replace")
    try:
        topic, partition = place_of(lane)
        record = unpack(body)
    except (ValueError, UnreadableRecord):
        return {"lane": text, "bytes": base64.b64encode(body).decode()}
    return {
        "lane": text,
        "topic": topic,
        "partition": partition,
        "key": _text(record.key),
        "headers": {name: _text(value) for name, value in record.headers},
        "value": _value(record.value),
    }


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _value(data: bytes | None) -> Any:
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return _text(data)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # delivered since
        return 0
