"""Becomes a server that dies with its parent. A script: standard library only, run by path.

    python -I -S launch.py PARENT SIGNAL USER LIFELINE PROGRAM [ARGUMENT...]

PARENT is the process id of the starter, SIGNAL what the server gets when that dies, USER the
numeric user to become (-1: stay), LIFELINE the read end of a pipe whose write end the parent
holds (-1: let the Linux kernel do the watching).

This runs between fork and exec in an interpreter of its own, because code in a forked child of
a process with threads (`preexec_fn`) can deadlock, and newer Pythons warn about it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
DISMISSED = b"."
"""Written into the lifeline when the server is gone, so that nobody signals a reused pid."""


def become(parent: int, death_signal: int, user: int, lifeline: int, command: list[str]) -> None:
    """Turn into `command`; does not return. Raises OSError when it cannot."""
    os.umask(0o077)
    if user >= 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    # After the change of user, which clears the flag.
    if lifeline >= 0:
        _watch_from_outside(lifeline, death_signal)
    elif ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the flag was set
        os._exit(1)
    os.execv(command[0], command)  # noqa: S606 - the whole purpose; no shell is involved


def _watch_from_outside(lifeline: int, death_signal: int) -> None:
    """Leave a small process behind that signals this one when the lifeline breaks."""
    server = os.getpid()
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os.close(lifeline)
        return
    if os.fork():  # the grandchild belongs to init, so the server never has to reap it
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    # The server's lock, above all, is not this process's to hold.
    os.closerange(3, lifeline)
    os.closerange(lifeline + 1, 65_536)
    if os.read(lifeline, 1) != DISMISSED:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, death_signal)
            os.kill(server, signal.SIGCONT)
    os._exit(0)


if __name__ == "__main__":
    numbers, program = [int(word) for word in sys.argv[1:5]], sys.argv[5:]
    try:
        become(numbers[0], numbers[1], numbers[2], numbers[3], program)
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")
