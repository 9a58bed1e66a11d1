"""Finds free ports on loopback, below the range the kernel gives to outgoing connections.

A port from `bind(0)` lies in that range (32768-60999 on Linux). There a client that polls a
closed loopback port can connect to itself, and an outgoing connection can sit on the port of
a server that restarts.
"""

from __future__ import annotations

import contextlib
import secrets
import socket

from pricing.errors import StartupError

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 31_999
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """`count` different ports that could be bound a moment ago.

    Somebody else may take one before the server binds it: start again with other ports then.
    Raises `StartupError` when none is free.
    """
    found: list[int] = []
    # All are held until the last is found, so that none is offered twice.
    with contextlib.ExitStack() as held:
        for _ in range(_TRIES):
            if len(found) == count:
                return found
            port = _FIRST + secrets.randbelow(_LAST - _FIRST + 1)
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                found.append(port)
    raise StartupError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK}")


def is_free(port: int) -> bool:
    """Whether a server that reuses addresses could bind the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
