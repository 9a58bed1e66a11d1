"""Brings a database to this release's schema and catalogue; safe side by side and again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import stamina
import structlog

from pricing.errors import (
    DependencyRefused,
    DependencyTimeout,
    DependencyUnavailable,
    MigrationError,
)
from pricing.model import Zone
from pricing.stores.postgres_client import DatabaseConfig, border, translate
from pricing.stores.postgres_states import PostgresStates
from pricing.stores.sql import Migration, load_migrations, load_queries

_log = structlog.get_logger(__name__)

_LOCK = 0x6571_7569_6C69_6272
"""Key of the advisory lock: "equilibr" in ASCII."""
_ATTEMPT_S = 5.0
"""How long one attempt to connect may take."""
_LOCK_WAIT_MS = 5_000
"""How long a migration waits for a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationReport:
    """What a run did."""

    applied: tuple[str, ...]
    """Migrations run now, such as `0001_zones`; empty where the schema was up to date."""
    schema_version: int
    zones_changed: int
    """Zones inserted or updated."""
    zones_retired: int
    """Zones that left the catalogue and are inactive now."""

    def __str__(self) -> str:
        done = ", ".join(self.applied) or "nothing to do"
        return (
            f"schema at version {self.schema_version} ({done}); "
            f"zones: {self.zones_changed} changed, {self.zones_retired} retired"
        )


async def migrate(
    config: DatabaseConfig,
    zones: Sequence[Zone],
    *,
    timeout_s: float,
    migrations: Sequence[Migration] | None = None,
) -> MigrationReport:
    """Run the missing migrations, each in its transaction, then write the catalogue's zones.

    One run at a time, by an advisory lock; a second one waits and finds nothing to do. A server
    that is not there is tried again until `timeout_s` has passed; the rest has as long again.
    `zones` may be empty: then none is touched. `migrations` are this release's by default.

    Raises:
        MigrationError: the database does not exist or is not one that this release knows (then
            nothing was changed), or a migration failed (then the ones before it stay).
        DependencyError: the server is away, or refused.
    """
    steps = load_migrations() if migrations is None else tuple(migrations)
    connect = stamina.AsyncRetryingCaller(
        attempts=None, timeout=timeout_s, wait_initial=0.1, wait_max=2.0, wait_jitter=0.1
    ).on((DependencyUnavailable, DependencyTimeout))
    connection = await connect(_connect, config, timeout_s)
    try:
        with border():
            async with asyncio.timeout(timeout_s):
                applied = await _run(connection, steps)
                # Still under the lock, so that two catalogues never mix.
                async with PostgresStates(config) as states:
                    changed, retired = await states.upsert_zones(zones)
                await connection.close()
    finally:
        connection.terminate()
    return MigrationReport(
        applied=applied, schema_version=len(steps), zones_changed=changed, zones_retired=retired
    )


async def _connect(config: DatabaseConfig, timeout_s: float) -> asyncpg.Connection[asyncpg.Record]:
    """One attempt. The connection waits for locks and runs statements for `timeout_s` at most."""
    limit = str(max(1, int(timeout_s * 1000)))
    try:
        with border():
            return await asyncpg.connect(
                config.url,
                timeout=min(_ATTEMPT_S, timeout_s),
                server_settings={
                    "application_name": "equilibrium migrate",
                    "lock_timeout": limit,
                    "statement_timeout": limit,
                },
            )
    except DependencyRefused as refusal:
        if isinstance(refusal.__cause__, asyncpg.InvalidCatalogNameError):
            raise MigrationError("the database does not exist; create it, then migrate") from None
        raise


async def _run(
    connection: asyncpg.Connection[asyncpg.Record], steps: Sequence[Migration]
) -> tuple[str, ...]:
    sql = load_queries()
    await connection.execute(sql["lock_migrations"], _LOCK)
    await connection.execute(sql["create_schema_migrations"])
    rows = await connection.fetch(sql["applied_migrations"])
    missing = pending(steps, [Applied(**row) for row in rows])
    for step in missing:
        await _apply(connection, step, sql["record_migration"])
        _log.info("migration applied", migration=str(step))
    return tuple(map(str, missing))


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record], step: Migration, record: str
) -> None:
    try:
        async with connection.transaction():
            # A change that waits long for its lock would make every reader wait behind it.
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_WAIT_MS:d}")
            await connection.execute(step.sql)
            await connection.execute(record, step.version, step.name, step.checksum)
    except asyncpg.PostgresError as error:
        if isinstance(translate(error), DependencyRefused):
            raise MigrationError(f"migration {step} failed: {error}") from error
        raise


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that a database has had, as `schema_migrations` remembers it."""

    version: int
    name: str
    checksum: str


def pending(steps: Sequence[Migration], applied: Sequence[Applied]) -> Sequence[Migration]:
    """The steps still to run. Both in order; steps count from 1 without a gap.

    Raises `MigrationError` where the past is not the beginning of `steps`.
    """
    for had, step in zip(applied, steps, strict=False):
        if had.version != step.version:
            raise MigrationError(f"migration {step} is missing, though later ones ran")
        if had.checksum != step.checksum:
            raise MigrationError(f"migration {step} was edited after it ran; add a new one instead")
    if len(applied) > len(steps):
        newer = applied[len(steps)]
        raise MigrationError(
            f"the database has migration {newer.version:04d}_{newer.name}, which this release "
            "does not know; use the newer release"
        )
    return steps[len(applied) :]
