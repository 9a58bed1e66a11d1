"""An operator's hand on the mode: a floor, a pin or a ceiling, with a reason and an end.

It lives in memory, and on disk beside the process, so that it survives kill -9 and works with
every dependency dead. It ends by the monotonic or by the wall clock, whichever comes first: a
step of the wall clock may end it early, and never keeps it.

On disk: one JSON object, a space, and the CRC-32 of what precedes it. A file that is torn, or
not ours, is no override.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from fallback.atomic_file import replace_file, sync_directory
from fallback.mode import Bounds, BoundsKind, Level

_log = structlog.get_logger(__name__)

FILE_NAME = "mode-override.json"
LEAST_REASON = 10
LONGEST_S = 14_400.0
LONGEST_FORCED_S = 900.0
DEFAULT_S = 1_800.0
_VERSION = 1
_LARGEST_FILE = 65_536


class OverrideRefused(Exception):
    """The override breaks a rule. `field` is the one at fault; the message is for the operator."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class ForceNeeded(OverrideRefused):
    """The level lies below what the inputs say, which takes `force`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRequest:
    """What an operator asks for."""

    kind: BoundsKind
    level: Level
    reason: str
    actor: str
    expires_in_s: float = DEFAULT_S
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One that holds, or held."""

    kind: BoundsKind
    level: Level
    reason: str
    actor: str
    forced: bool
    set_at_s: float
    """Wall clock."""
    duration_s: float
    expires_at_s: float
    """Wall clock."""
    ends_s: float
    """Monotonic clock of the machine since `boot_id`."""
    boot_id: str

    @property
    def bounds(self) -> Bounds:
        return Bounds(self.kind, self.level)

    @property
    def version(self) -> str:
        """Tells it from every other one; a restart changes nothing about it."""
        told = (self.kind, self.level, self.reason, self.actor, self.set_at_s, self.duration_s)
        return f"{zlib.crc32(repr(told).encode()):08x}"

    def remaining_s(self, now_s: float, wall_s: float) -> float:
        """How long it still holds; 0 or less: it is over."""
        return min(self.ends_s - now_s, self.expires_at_s - wall_s)


def make_override(
    request: OverrideRequest, *, computed: Level, now_s: float, wall_s: float, boot_id: str
) -> Override:
    """The override asked for.

    Raises `OverrideRefused`; `ForceNeeded` where the level lies below the computed one.
    """
    reason = request.reason.strip()
    if len(reason) < LEAST_REASON:
        raise OverrideRefused("reason", f"needs at least {LEAST_REASON} characters")
    if not 0 < request.expires_in_s <= LONGEST_S:
        raise OverrideRefused("expires_in_s", f"must be more than 0 and at most {LONGEST_S:g}")
    is_below = Bounds(request.kind, request.level).apply(computed) < computed
    if is_below and not request.force:
        raise ForceNeeded(
            "force", f"{request.level.word} lies below the computed level, {computed.word}"
        )
    if is_below and request.expires_in_s > LONGEST_FORCED_S:
        raise OverrideRefused(
            "expires_in_s", f"may be at most {LONGEST_FORCED_S:g} below the computed level"
        )
    return Override(
        kind=request.kind,
        level=request.level,
        reason=reason,
        actor=request.actor,
        forced=is_below,
        set_at_s=wall_s,
        duration_s=request.expires_in_s,
        expires_at_s=wall_s + request.expires_in_s,
        ends_s=now_s + request.expires_in_s,
        boot_id=boot_id,
    )


def current_boot_id() -> str:
    """Names the present run of the machine, within which its monotonic clock is one clock.

    Empty where the system does not tell; then only what an override may last at most counts.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def encode(override: Override) -> bytes:
    """The file's content."""
    fields = {"version": _VERSION, **asdict(override)}
    fields["kind"], fields["level"] = override.kind.value, override.level.word
    text = json.dumps(fields, sort_keys=True).encode()
    return b"%s %08x\n" % (text, zlib.crc32(text))


def decode(content: bytes) -> Override | None:
    """The override in a file; None if it is torn, damaged or not one."""
    text, _, checksum = content.rstrip(b"\n").rpartition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        fields = json.loads(text)
        if fields.pop("version") != _VERSION:
            return None
        kind, level = BoundsKind(fields.pop("kind")), Level.parse(fields.pop("level"))
        return Override(kind=kind, level=level, **fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def revive(override: Override, *, now_s: float, wall_s: float, boot_id: str) -> Override | None:
    """An override as it holds in this process; None if it is over.

    After a restart of the machine its monotonic end means nothing: it then lasts by the wall
    clock, but from now on never longer than it was set for.
    """
    is_same_clock = bool(boot_id) and boot_id == override.boot_id
    ends_s = override.ends_s if is_same_clock else now_s + override.duration_s
    longest_s = now_s + override.duration_s
    fields = asdict(override)
    fields |= {"ends_s": min(ends_s, longest_s), "boot_id": boot_id}
    revived = Override(**fields)
    return revived if revived.remaining_s(now_s, wall_s) > 0 else None


class OverrideFile:
    """Keeps one override in a directory. Blocking; raises `OSError` when the disk fails."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def load(self) -> Override | None:
        """What was saved last; None if there is nothing, or (logged) nothing that can be used."""
        try:
            with self._path.open("rb") as file:
                override = decode(file.read(_LARGEST_FILE))
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("the override on the disk cannot be read", why=error.strerror)
            return None
        if override is None:
            _log.warning("the override on the disk is damaged and does not hold")
        return override

    def save(self, override: Override) -> None:
        """Put it on the disk: whole or not at all, and there after a power cut."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, encode(override), mode=0o644)

    def clear(self) -> None:
        """Take it off the disk."""
        self._path.unlink(missing_ok=True)
        # Else a power cut would bring back an override that an operator has ended.
        sync_directory(self._path.parent)
