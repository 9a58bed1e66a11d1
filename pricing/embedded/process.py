"""One server process: started so that it cannot outlive us, watched, stopped in bounded time.

Invariants:

- The child dies with its parent, also when the parent is killed with SIGKILL: by
  PR_SET_PDEATHSIG on Linux, by a watcher on a pipe elsewhere (`launch.py`).
- The kernel's signal follows the *thread* that started the child, so only the main thread may.
- The child and everything it forks hold the lock file of their directory. Whoever gets that
  lock knows that the last server on the data is gone, whatever became of its parent.
- The child is reaped here, so a zombie counts as dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pricing.embedded import launch
from pricing.errors import StartupError, os_reason

POLL_S = 0.01
_LOG_LIMIT_BYTES = 1 << 20
_LINE_LIMIT = 300
_THROWN = re.compile(r"(Caused by: )?[\w.$]+(Exception|Error): .")
_CAUSES = ("address already in use", "no space left", "quota exceeded")
_LOCK_WAIT_S = 5.0
_KILL_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, as whom, and how to end it."""

    name: str
    """How people call the server; starts every message."""
    argv: tuple[str, ...]
    """Absolute path first."""
    directory: Path
    """Holds the log and the lock; not the working directory."""
    user: int | None = None
    """Numeric user to become; None stays what we are."""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    """What the server gets when we die."""
    grace_s: float = 2.0
    """How long `stop` waits before SIGKILL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The whole environment; a server inherits nothing from ours."""

    @property
    def log(self) -> Path:
        return self.directory / "server.log"


class ServerProcess:
    """A running child. Made by `spawn`; the caller ends it with `stop` or `kill`."""

    def __init__(
        self, program: Program, popen: subprocess.Popen[bytes], lifeline: int | None, said: int
    ) -> None:
        self._program = program
        self._popen = popen
        self._lifeline = lifeline
        self._said_from = said

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        """Also reaps the child once it has ended."""
        if self._popen.poll() is None:
            return True
        self._dismiss_watcher()
        return False

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._popen.returncode

    def last_words(self) -> str:
        """The line of its log that best says why it ended; empty when it said nothing."""
        with self._program.log.open("rb") as log:
            log.seek(self._said_from)
            return telling_line(log.read(65_536).decode(errors="replace"))

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self.is_alive:
            self._popen.send_signal(number)

    async def wait(self, within_s: float) -> bool:
        """True once it has ended, False when it has not within `within_s`."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self.is_alive:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def stop(self) -> None:
        """End it: the stop signal, then SIGKILL after the grace. Frozen servers are thawed."""
        try:
            self.send(self._program.stop_signal)
            self.send(signal.SIGCONT)
            await self.wait(self._program.grace_s)
        finally:
            # Also when this wait is cancelled: leaving must not leave the server.
            await self.kill()

    async def kill(self) -> None:
        """End it with SIGKILL and wait until it and everything it forked are gone."""
        if self.is_alive:
            self._popen.kill()
            self._popen.wait(timeout=_KILL_WAIT_S)
        self._dismiss_watcher()
        try:
            file = _open_lock(self._program)
        except FileNotFoundError:  # somebody removed the directory, and the data with it
            return
        try:
            # Whoever holds it after that is in the next start's way, which then says so.
            await lock_within(file, _KILL_WAIT_S)
        finally:
            os.close(file)

    def _dismiss_watcher(self) -> None:
        if self._lifeline is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._lifeline, launch.DISMISSED)
            os.close(self._lifeline)
            self._lifeline = None


async def spawn(program: Program, *, watch_by_pipe: bool | None = None) -> ServerProcess:
    """Start a child that dies with us; says nothing about whether it is ready.

    Waits up to 5 s for an earlier server of the same directory to be gone. `watch_by_pipe`
    chooses the way of the systems without prctl; None decides by platform.

    Raises `StartupError` when that server stays, or the log cannot be written, and
    `RuntimeError` outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("servers die with the thread that starts them: use the main thread")
    by_pipe = sys.platform != "linux" if watch_by_pipe is None else watch_by_pipe
    lock = await _lock(program)
    read_end, write_end = os.pipe() if by_pipe else (-1, None)
    try:
        with _open_log(program.log) as log:
            said = log.tell()
            popen = _popen(program, log.fileno(), lock, read_end)
    except OSError as error:
        if write_end is not None:
            os.close(write_end)
        raise StartupError(f"{program.name}: {error}") from error
    finally:
        os.close(lock)
        if by_pipe:
            os.close(read_end)
    return ServerProcess(program, popen, write_end, said)


def _popen(program: Program, log: int, lock: int, lifeline: int) -> subprocess.Popen[bytes]:
    words = (os.getpid(), int(program.death_signal), _or_minus_one(program.user), lifeline)
    launcher = [sys.executable, "-I", "-S", launch.__file__, *map(str, words)]
    return subprocess.Popen(  # noqa: S603 - our own launcher and an absolute path, no shell
        [*launcher, *program.argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PATH": os.defpath, **program.environment},
        pass_fds=(lock,) if lifeline < 0 else (lock, lifeline),
        # A group of its own: Ctrl-C at a terminal must not reach it before our own shutdown.
        # Not a session: the kernel then also wakes a frozen server when we are gone.
        process_group=0,
    )


def _or_minus_one(user: int | None) -> int:
    return -1 if user is None else user


def _open_log(path: Path) -> io.FileIO:
    mode = "ab" if path.exists() and path.stat().st_size < _LOG_LIMIT_BYTES else "wb"
    return io.FileIO(path, mode)


def _open_lock(program: Program) -> int:
    path = program.directory / "server.lock"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _lock(program: Program) -> int:
    """Take the lock that a server and its children hold while they live; the caller closes it."""
    try:
        file = _open_lock(program)
    except OSError as error:
        raise StartupError(f"{program.name}: {error.filename}: {os_reason(error)}") from error
    if await lock_within(file, _LOCK_WAIT_S):
        return file
    os.close(file)
    raise StartupError(
        f"{program.name}: another server still runs on {program.directory}: end it and start again"
    )


async def lock_within(file: int, within_s: float) -> bool:
    """Take an exclusive flock on an open file; False when somebody holds it for `within_s`."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        else:
            return True


def telling_line(log: str) -> str:
    """The line that best says why a server ended; empty for an empty log."""
    lines = [line.strip()[:_LINE_LIMIT] for line in log.splitlines() if line.strip()]

    def with_any(*words: str) -> list[str]:
        return [line for line in lines if any(word in line.lower() for word in words)]

    # Postgres also logs early clients as FATAL, and Java ends with the deepest cause.
    thrown = [line for line in lines if _THROWN.match(line)]
    last = with_any(*_CAUSES) or with_any("fatal:") or thrown
    if last:
        return last[-1]
    first = with_any("error") or with_any("cannot", "exception")
    return first[0] if first else "".join(lines[-1:])


def is_alive(pid: int) -> bool:
    """Whether a process that need not be our child runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] != "Z"
