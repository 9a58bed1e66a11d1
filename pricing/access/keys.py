"""API keys in a file: only their hashes, who they are for, and until when.

A key is `eq_<id>_<secret>`; the secret has 256 random bits, so a plain SHA-256 of the whole
key cannot be turned back, and nothing slower is needed. The file is written whole or not at
all, by one writer at a time; a service that runs sees a change within about a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from fallback.atomic_file import replace_file
from fallback.background import in_background
from pricing.access.role import Role
from pricing.errors import PricingError

_log = structlog.get_logger(__name__)

_VERSION = 1
_KEY = re.compile(rb"eq_([a-z2-7]{10})_[A-Za-z0-9_-]{43}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
# The file is read whole at every change, and must not become a way to fill the memory.
_MOST_KEYS = 10_000
_LARGEST_FILE = 16_777_216


class KeysError(PricingError):
    """The file of keys cannot be used, or a key is not as asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, without its secret. Times are epoch seconds."""

    key_id: str
    name: str
    role: Role
    sha256: str
    """Of the whole key, in hex."""
    created_at_s: int
    expires_at_s: int | None = None
    revoked_at_s: int | None = None

    def is_expired(self, wall_s: float) -> bool:
        return self.expires_at_s is not None and wall_s >= self.expires_at_s


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of a file at one moment."""

    keys: Mapping[str, Key]
    """By id."""

    def find(self, presented: bytes) -> Key | None:
        """The key that was presented, revoked and expired ones too; None: it is none of ours.

        The time it takes says nothing of how much of a key was right.
        """
        match = _KEY.fullmatch(presented)
        if match is None:
            return None
        key = self.keys.get(match[1].decode())
        digest = hashlib.sha256(presented).hexdigest()
        if not hmac.compare_digest(digest, key.sha256 if key is not None else _NOBODY):
            return None
        return key


_NOBODY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
"""What an unknown id is compared with: it takes as long as a known one."""


class KeyFile:
    """The file. Everything here blocks. Raises `KeysError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> KeyRing:
        """The keys; none where there is no file."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            return KeyRing({})
        except OSError as error:
            raise KeysError(f"{self.path}: {error.strerror}") from error
        if len(content) > _LARGEST_FILE:
            raise KeysError(f"{self.path}: larger than {_LARGEST_FILE} bytes")
        return KeyRing({key.key_id: key for key in _parsed(self.path, content)})

    def stamp(self) -> tuple[int, ...]:
        """Differs after every change of the file; empty where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return (status.st_mtime_ns, status.st_size, status.st_ino)

    def create(
        self, *, name: str, role: Role, now_s: int, expires_at_s: int | None = None
    ) -> tuple[Key, str]:
        """Add a key.

        Args:
            name: Who it is for; 1 to 100 characters.
            role: What its owner may do.
            now_s: Epoch seconds.
            expires_at_s: Epoch seconds; None: never.

        Returns:
            The key, and the text that its owner presents, which is kept nowhere.
        """
        if not _NAME.fullmatch(name):
            raise KeysError("a name has 1 to 100 characters, and no control characters")
        key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(10))
        text = f"eq_{key_id}_{secrets.token_urlsafe(32)}"
        key = Key(
            key_id=key_id,
            name=name,
            role=role,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            created_at_s=now_s,
            expires_at_s=expires_at_s,
        )
        with self._locked() as ring:
            if len(ring.keys) >= _MOST_KEYS:
                raise KeysError(f"{self.path}: {_MOST_KEYS} keys are the most there can be")
            self._write({**ring.keys, key_id: key})
        return key, text

    def revoke(self, key_id: str, now_s: int) -> Key:
        """Make a key invalid, for good. A key that is revoked already stays as it is."""
        with self._locked() as ring:
            key = ring.keys.get(key_id)
            if key is None:
                raise KeysError(f"no key has the id {key_id!r}")
            if key.revoked_at_s is None:
                key = replace(key, revoked_at_s=now_s)
                self._write({**ring.keys, key_id: key})
            return key

    @contextmanager
    def _locked(self) -> Iterator[KeyRing]:
        """The keys, which nobody else changes inside the block."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeysError(f"{self.path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.load()
        finally:
            os.close(lock)

    def _write(self, keys: Mapping[str, Key]) -> None:
        content = {"version": _VERSION, "keys": [asdict(key) for key in keys.values()]}
        try:
            replace_file(self.path, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise KeysError(f"{self.path}: {error.strerror}") from error


class KeyWatch:
    """The keys of a file as they are now, give or take a second.

    A file that cannot be read changes nothing: the keys that were good stay good.
    """

    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._stamp = file.stamp()
        self.ring = file.load()

    @property
    def is_current(self) -> bool:
        """Whether the file is as it was when it was last looked at. Blocking."""
        return self._file.stamp() == self._stamp

    def refresh(self) -> None:
        """Read the file again if it has changed. Blocking.

        Raises:
            KeysError: The file cannot be read, or is no file of keys; `ring` stays as it was.
        """
        if self.is_current:
            return
        # Taken before the load: a change during it makes the next look read once more.
        known, self._stamp = self._stamp, self._file.stamp()
        try:
            self.ring = self._file.load()
        except KeysError as error:
            # The same file may be readable at the next look; one of wrong content stays wrong.
            if isinstance(error.__cause__, OSError):
                self._stamp = known
            raise

    @asynccontextmanager
    async def watching(self, every_s: float = 1.0) -> AsyncIterator[None]:
        """While open, follow the file."""
        async with in_background("keys", self._follow(every_s)):
            yield

    async def _follow(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self.refresh)
            except KeysError as error:
                _log.error("key file not read; the known keys stay", error=str(error))


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "key_id": str,
    "name": str,
    "role": str,
    "sha256": str,
    "created_at_s": int,
    "expires_at_s": (int, type(None)),
    "revoked_at_s": (int, type(None)),
}


def _parsed(path: Path, content: bytes) -> Iterator[Key]:
    try:
        document = json.loads(content)
        if document["version"] != _VERSION:
            raise KeysError(f"{path}: version {document['version']!r} is not known")
        yield from [_key(fields) for fields in document["keys"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise KeysError(f"{path}: this is no file of keys") from error


def _key(fields: dict[str, Any]) -> Key:
    """A key from its JSON. Raises the error of the first field that is wrong, whatever it is."""
    for name, kinds in _FIELDS.items():
        if not isinstance(fields.get(name), kinds):
            raise TypeError(name)
    if not _HASH.fullmatch(fields["sha256"]):
        raise ValueError("sha256")
    return Key(**{**fields, "role": Role(fields["role"])})
