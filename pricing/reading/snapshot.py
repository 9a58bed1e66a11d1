r"""The zones' last known states on disk, for a start with everything dead.

One file, replaced as a whole, so that a reader finds the old one or the new one and never half of
either. A file that is torn, foreign or of another version is ignored: the next write replaces it.
Nothing here is fatal.

Format, integers big-endian: the eight bytes `EQZONES\n`, a version (u16), the CRC-32 of the
payload (u32), the payload's length (u64), the payload: a JSON object of `saved_at_ms` and
`states`, each an array in the order of `_FIELDS`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from fallback.atomic_file import replace_file
from pricing.model import Signal, ZoneState

_log = structlog.get_logger(__name__)

FILE_NAME = "zones.snapshot"
VERSION = 1
_MAGIC = b"EQZONES\n"
_HEAD = struct.Struct(">8sHIQ")
_MAX_BYTES = 256 * 1024 * 1024
_TEXTS = ("zone_id", "city_id", "currency", "policy_version")
_NUMBERS = (
    "base_fare_minor",
    "multiplier_micro",
    "raw_multiplier_micro",
    "demand_count",
    "supply_count",
    "confidence_percent",
    "window_start_ms",
    "window_end_ms",
)
_FIELDS = (*_TEXTS, *_NUMBERS, "signal", "reasons")

SnapshotOutcome = Literal["written", "failed", "loaded", "missing", "ignored"]


class SnapshotFault(Exception):
    """The bytes are no snapshot that this release can read."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the file holds."""

    saved_at_ms: int
    """Epoch ms, by the clock of the process that wrote it."""
    states: Sequence[ZoneState]


def encode(snapshot: Snapshot) -> bytes:
    """The whole file."""
    rows = [[getattr(state, name) for name in _FIELDS] for state in snapshot.states]
    payload = orjson.dumps({"saved_at_ms": snapshot.saved_at_ms, "states": rows})
    return _HEAD.pack(_MAGIC, VERSION, zlib.crc32(payload), len(payload)) + payload


def decode(data: bytes) -> Snapshot:
    """Read a whole file. Raises `SnapshotFault`, and nothing else, whatever the bytes are."""
    if len(data) < _HEAD.size:
        raise SnapshotFault("too short")
    magic, version, checksum, length = _HEAD.unpack_from(data)
    payload = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC:
        raise SnapshotFault("not a snapshot")
    if version != VERSION:
        raise SnapshotFault(f"version {version}, this release reads {VERSION}")
    if len(payload) != length or zlib.crc32(payload) != checksum:
        raise SnapshotFault("torn or damaged")
    try:
        content = orjson.loads(payload)
        return Snapshot(_number(content["saved_at_ms"]), [_state(row) for row in content["states"]])
    except (ValueError, TypeError, LookupError) as error:
        raise SnapshotFault("the payload is not one of ours") from error


class SnapshotFile:
    """The snapshot in a directory. Every method blocks: call it in a thread.

    `on_outcome` hears what became of every read and write, in that thread.
    """

    def __init__(
        self, directory: Path, *, on_outcome: Callable[[SnapshotOutcome], None] = lambda _: None
    ) -> None:
        self._path = directory / FILE_NAME
        self._is_writable = True
        self._on_outcome = on_outcome

    def write(self, snapshot: Snapshot) -> bool:
        """Replace the file; False where the disk would not, with a warning the first time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, encode(snapshot), mode=0o644)
        except OSError as error:
            if self._is_writable:
                _log.warning("zone snapshot not written", error=error.strerror)
            self._is_writable = False
            self._on_outcome("failed")
            return False
        self._is_writable = True
        self._on_outcome("written")
        return True

    def load(self) -> Snapshot | None:
        """What the file holds; None where there is none that can be read."""
        try:
            with self._path.open("rb") as file:
                snapshot = decode(file.read(_MAX_BYTES + 1))
        except FileNotFoundError:
            self._on_outcome("missing")
            return None
        except (OSError, SnapshotFault) as error:
            _log.warning("zone snapshot ignored", error=str(error))
            self._on_outcome("ignored")
            return None
        self._on_outcome("loaded")
        return snapshot


def _state(row: Any) -> ZoneState:
    given: dict[str, Any] = dict(zip(_FIELDS, row, strict=True))
    for name in _TEXTS:
        _text(given[name])
    for name in _NUMBERS:
        _number(given[name])
    given["signal"] = Signal(given["signal"])
    given["reasons"] = tuple(_text(reason) for reason in given["reasons"])
    return ZoneState(**given)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("not a number")
    return value
