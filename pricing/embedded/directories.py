"""Where the embedded servers keep things, and who may touch them.

Postgres refuses to run as root, so root's servers run as the user 65534 ("nobody"). That user
must be able to *reach* the data: every directory above it has to be searchable. Root's own home
usually is not, and opening it is not ours to do; root's defaults lie in /var instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from pathlib import Path

from pricing.errors import StartupError, os_reason

NOBODY = 65_534
_SEARCH = 0o001
_READ_AND_RUN = 0o005


def unprivileged_user() -> int | None:
    """The user that servers become: 65534 when we are root, None (stay) otherwise."""
    return NOBODY if os.geteuid() == 0 else None


def default_data_dir() -> Path:
    """`$XDG_STATE_HOME/equilibrium`, or `~/.local/state/equilibrium`.

    Root gets `/var/lib/equilibrium` where its servers cannot reach that.
    """
    return _default("XDG_STATE_HOME", ".local/state", Path("/var/lib"))


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/equilibrium`, or `~/.cache/equilibrium`.

    Root gets `/var/cache/equilibrium` where its servers cannot reach that.
    """
    return _default("XDG_CACHE_HOME", ".cache", Path("/var/cache"))


def _default(variable: str, below_home: str, for_root: Path) -> Path:
    base = Path(os.environ.get(variable) or Path.home() / below_home)
    if unprivileged_user() is not None and not reachable(base):
        base = for_root
    return base / "equilibrium"


def reachable(path: Path) -> bool:
    """Whether the servers' user can get to `path` and, if it is a file, read and run it.

    Looks at mode bits alone, since the question is about a user that we are not. True for
    whoever is not root, whose servers run as themselves.
    """
    if unprivileged_user() is None:
        return True
    real = path.resolve()
    return all(
        _lets_others(part, _READ_AND_RUN if part.is_file() else _SEARCH)
        for part in (real, *real.parents)
        if part.exists()
    )


def _lets_others(path: Path, bits: int) -> bool:
    status = path.stat()
    return status.st_mode & bits == bits or status.st_uid == NOBODY


def make_directory(path: Path) -> Path:
    """Create a directory to hold the servers' own ones: 0700, for root 0711.

    A directory that is already there keeps its mode. Raises `StartupError` when it cannot be
    made, or when the servers' user could not get there.
    """
    try:
        _make_with_parents(path)
    except OSError as error:
        raise StartupError(f"cannot use the directory {path}: {disk_reason(error)}") from error
    if not reachable(path):
        raise StartupError(
            f"{path} cannot be reached by the user {NOBODY}, as whom root's servers run: "
            "choose a directory outside root's home, or start as a plain user"
        )
    return path


def _make_with_parents(path: Path) -> None:
    if path.is_dir():
        return
    _make_with_parents(path.parent)
    path.mkdir(exist_ok=True)
    path.chmod(0o700 if unprivileged_user() is None else 0o711)  # whatever the umask says


def make_server_directory(path: Path) -> Path:
    """Create one server's own directory: 0700, owned by the servers' user."""
    try:
        path.mkdir(mode=0o700, parents=False, exist_ok=True)
        give_to_server(path)
    except OSError as error:
        raise StartupError(f"cannot use the directory {path}: {disk_reason(error)}") from error
    return path


def disk_reason(error: OSError) -> str:
    """Why the disk refused, and what a person can do about it where that is known."""
    reason = os_reason(error)
    return reason + remedy(reason)


def remedy(said: str) -> str:
    """What a person can do about a refusal; empty where the refusal says it itself."""
    if "no space left" in said.lower():
        return ": make room on that disk, or choose another --data-dir"
    return ""


def give_to_server(path: Path) -> None:
    """Make the servers' user the owner of a file or directory, where that is not us."""
    user = unprivileged_user()
    if user is not None:
        os.chown(path, user, user)


def write_private(path: Path, text: str, *, for_server: bool = True) -> None:
    """Write a file of mode 0600, whole or not at all, for the servers' user or for us."""
    fresh = path.with_name(path.name + ".new")
    try:
        # A file that somebody else had put there would keep its owner and its mode.
        fresh.unlink(missing_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if for_server:
            give_to_server(fresh)
        fresh.rename(path)
    except OSError as error:
        raise StartupError(f"cannot write {path}: {disk_reason(error)}") from error


def password(directory: Path, name: str) -> str:
    """The password of one server, made at the first call and kept in `directory/passwords.json`."""
    path = directory / "passwords.json"
    try:
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise StartupError(f"{path} cannot be read: restore it or remove {directory}") from error
    if name not in known:
        known[name] = secrets.token_urlsafe(24)
        write_private(path, json.dumps(known), for_server=False)
    return known[name]


class DirectoryLock:
    """Holds a data directory for one stack; given back by `release` and by the process's end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = -1

    def take(self) -> None:
        """Raises `StartupError` at once when another process holds the directory."""
        path = self._directory / "stack.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"cannot open {path}: {disk_reason(error)}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, 20, 0).decode(errors="replace").strip()
            os.close(file)
            raise StartupError(
                f"{self._directory} is in use by another running stack (process {holder}): "
                "end that one, or choose another --data-dir"
            ) from error
        with contextlib.suppress(OSError):  # a full disk; the lock holds without our number
            os.truncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
