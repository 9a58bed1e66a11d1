"""What settings must be like beyond their types. Each check raises `ValueError` for what is wrong.

Messages are shown to whoever starts the process: they say what to write instead, and never quote a
URL, which may hold a password.
"""

from __future__ import annotations

from urllib.parse import urlsplit

SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "database_replica_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "valkey", "valkeys", "unix"),
}
"""By setting: how its URL may begin."""

_DEPENDENCIES = ("redis", "database", "kafka")
_ALIASES = {"postgres": "database"}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_url(url: str, schemes: tuple[str, ...]) -> None:
    """Refuse what no driver could use."""
    if url.partition("://")[0] not in schemes:
        raise ValueError(f"the URL must begin with {schemes[0]}://")
    try:
        port = urlsplit(url).port
    except ValueError:
        raise ValueError("the URL's host or port cannot be read") from None
    if port == 0:
        raise ValueError("the URL's port cannot be 0")


def check_hosts(servers: str) -> None:
    """Refuse what is not a list of `host:port`."""
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ValueError("use host:port, with commas between several")


def dependency_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names by which the service knows its dependencies; an unknown one is refused."""
    known = tuple(_ALIASES.get(name, name) for name in names)
    unknown = sorted(set(known) - set(_DEPENDENCIES))
    if unknown:
        raise ValueError(f"unknown dependency {unknown[0]!r}; use redis, database, kafka")
    return known


def check_windows(*, tick_s: int, grace_ms: int, hold_after_s: int, unknown_after_s: int) -> None:
    """Refuse windows that do not fit each other."""
    if not hold_after_s < unknown_after_s:
        raise ValueError(
            f"EQUILIBRIUM_SUPPLY_HOLD_AFTER_S={hold_after_s} must be less than "
            f"EQUILIBRIUM_SUPPLY_UNKNOWN_AFTER_S={unknown_after_s}"
        )
    if grace_ms >= tick_s * 1000:
        raise ValueError(
            f"EQUILIBRIUM_GRACE_MS={grace_ms} must be shorter than EQUILIBRIUM_TICK_S={tick_s}"
        )


def check_loopback(host: str) -> None:
    """Refuse an address that others can reach, for a service that lets everybody in."""
    if host not in _LOOPBACK:
        raise ValueError(
            f"HTTP_HOST={host} is not loopback and AUTH=open lets everybody in; "
            "use AUTH=keys, or set AUTH_OPEN_ANYWHERE=true to allow it"
        )
