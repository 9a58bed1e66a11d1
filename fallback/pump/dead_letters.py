"""Dead letters on the local disk: what the sink will not take, kept for a person.

One file a letter, so that a person's command line and the service can work on them at the same
time, and also without the service. Nothing is thrown away by itself: a full box refuses.

    <directory>/
      <id>.json            a letter
      retry/<id>.json      a letter that is to be put back; the service does it, now or at its start
      retried/<id>.json    a letter that was put back; kept a while, to count how often

A letter's id comes from its lane and body, so that one event is one letter, however often a crash
has it refused again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fallback.atomic_file import replace_file, sync_directory
from fallback.errors import DeadLettersFull

_SUFFIX = ".json"
_RETRY = "retry"
_RETRIED = "retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter."""

    id: str
    lane: str
    seq: int
    """Its place in the spool."""
    body: bytes
    error_class: str
    """From a small set: what decides what to do with it."""
    reason: str
    attempts: int
    """How often it was sent, by itself, before it was given up."""
    retries: int
    """How often it was put back."""
    appended_ms: int
    buried_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterLimits:
    """How much the box holds. Raises `ValueError` naming the field and the bad value."""

    letters: int = 10_000
    size_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 1")


@dataclass(frozen=True, slots=True)
class Strategy:
    """What happens to letters of an error class without a person."""

    max_retries: int = 0
    """0: they wait for a person."""
    retry_after_s: float = 300.0
    """From when it was kept; doubles with each retry."""

    def is_due(self, letter: Letter, now_ms: int) -> bool:
        """Whether the letter is to be put back now."""
        wait_ms = self.retry_after_s * 1000 * 2**letter.retries
        return letter.retries < self.max_retries and now_ms - letter.buried_ms >= wait_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterStats:
    """What the box holds."""

    letters: int
    size_bytes: int
    waiting_for_retry: int
    oldest_ms: int | None
    by_class: Mapping[str, int]


def letter_id(lane: str, body: bytes) -> str:
    """16 hex digits."""
    return hashlib.sha256(lane.encode() + b"\0" + body).hexdigest()[:16]


class DeadLetterBox:
    """The letters in a directory. Every method blocks, and may raise `OSError`."""

    def __init__(
        self,
        directory: Path,
        *,
        now_ms: Callable[[], int],
        limits: DeadLetterLimits | None = None,
    ) -> None:
        self._directory = directory
        self._now_ms = now_ms
        self._limits = limits or DeadLetterLimits()

    def add(
        self, *, lane: str, seq: int, body: bytes, error_class: str, reason: str, **facts: int
    ) -> Letter:
        """Keep a letter; durable on return. `facts` are `attempts` and `appended_ms`.

        Raises `DeadLettersFull`.
        """
        identity = letter_id(lane, body)
        before = self._read(self._directory / _RETRIED / f"{identity}{_SUFFIX}")
        letter = Letter(
            id=identity,
            lane=lane,
            seq=seq,
            body=body,
            error_class=error_class,
            reason=reason,
            attempts=facts["attempts"],
            retries=0 if before is None else before.retries,
            appended_ms=facts["appended_ms"],
            buried_ms=self._now_ms(),
        )
        data = _encode(letter)
        path = self._path(identity)
        if not path.exists():
            self._check_room(len(data))
        _write(path, data)
        return letter

    def letters(self) -> list[Letter]:
        """Every letter, the oldest first; those that cannot be read are left out."""
        return sorted(self._all(self._directory), key=lambda letter: (letter.buried_ms, letter.id))

    def get(self, identity: str) -> Letter | None:
        """One letter; None: there is none."""
        return self._read(self._path(identity))

    def unreadable(self) -> list[str]:
        """Ids of files that hold no letter of this release; they can be discarded."""
        paths = sorted(path for path, _ in _files(self._directory))
        return [path.stem for path in paths if path.exists() and self._read(path) is None]

    def discard(self, identity: str) -> bool:
        """Throw a letter away. False: there is none."""
        try:
            self._path(identity).unlink()
        except FileNotFoundError:
            return False
        sync_directory(self._directory)
        return True

    def ask_retry(self, identity: str) -> bool:
        """Mark a letter to be put back. False: there is none that can be read."""
        path = self._path(identity)
        if self._read(path) is None:
            return False
        target = self._directory / _RETRY
        target.mkdir(mode=0o750, exist_ok=True)
        try:
            path.rename(target / path.name)
        except FileNotFoundError:  # another process was quicker
            return False
        sync_directory(target)
        sync_directory(self._directory)
        return True

    def ask_due(self, strategies: Mapping[str, Strategy], most: int) -> int:
        """Mark letters whose strategy says so, at most so many; returns how many."""
        due = [
            letter
            for letter in self.letters()
            if strategies.get(letter.error_class, Strategy()).is_due(letter, self._now_ms())
        ]
        return sum(self.ask_retry(letter.id) for letter in due[:most])

    def to_put_back(self) -> list[Letter]:
        """Letters that are marked."""
        return list(self._all(self._directory / _RETRY))

    def was_put_back(self, letter: Letter) -> None:
        """The letter is in the spool again."""
        target = self._directory / _RETRIED
        target.mkdir(mode=0o750, exist_ok=True)
        _write(
            target / f"{letter.id}{_SUFFIX}", _encode(replace(letter, retries=letter.retries + 1))
        )
        (self._directory / _RETRY / f"{letter.id}{_SUFFIX}").unlink(missing_ok=True)

    def forget_retried(self, older_than_ms: int) -> int:
        """Delete notes of letters that were put back so long ago; returns how many."""
        horizon_ms = self._now_ms() - older_than_ms
        old = [
            letter
            for letter in self._all(self._directory / _RETRIED)
            if letter.buried_ms < horizon_ms
        ]
        for letter in old:
            (self._directory / _RETRIED / f"{letter.id}{_SUFFIX}").unlink(missing_ok=True)
        return len(old)

    def stats(self) -> DeadLetterStats:
        """The figures now."""
        letters = self.letters()
        return DeadLetterStats(
            letters=len(letters),
            size_bytes=sum(size for _, size in _files(self._directory)),
            waiting_for_retry=sum(1 for _ in _files(self._directory / _RETRY)),
            oldest_ms=letters[0].buried_ms if letters else None,
            by_class=Counter(letter.error_class for letter in letters),
        )

    def _check_room(self, size: int) -> None:
        sizes = [size for _, size in _files(self._directory)]
        limits = self._limits
        if len(sizes) >= limits.letters or sum(sizes) + size > limits.size_bytes:
            raise DeadLettersFull(len(sizes), sum(sizes))

    def _path(self, identity: str) -> Path:
        return self._directory / f"{_checked(identity)}{_SUFFIX}"

    def _all(self, directory: Path) -> Iterator[Letter]:
        for path, _ in _files(directory):
            letter = self._read(path)
            if letter is not None:
                yield letter

    def _read(self, path: Path) -> Letter | None:
        try:
            fields = json.loads(path.read_bytes())
            return Letter(**{**fields, "body": base64.b64decode(fields["body"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return None


def _checked(identity: str) -> str:
    """An id from outside must not become a path."""
    if not identity or not identity.isalnum() or not identity.isascii():
        raise ValueError(f"{identity!r} is no id of a dead letter")
    return identity


def _encode(letter: Letter) -> bytes:
    fields = asdict(letter)
    fields["body"] = base64.b64encode(letter.body).decode()
    return json.dumps(fields).encode()


def _files(directory: Path) -> Iterator[tuple[Path, int]]:
    """The letters' files and their sizes; a missing directory has none."""
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
    except FileNotFoundError:
        return
    for entry in found:
        try:
            yield Path(entry.path), entry.stat().st_size
        except FileNotFoundError:  # another process was quicker
            continue


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    replace_file(path, data, mode=0o640)
