"""Migrations on a real server: once, again, at once, edited, unknown, and compared with the sum."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files

import asyncpg
import pytest

from pricing.embedded import free_ports
from pricing.errors import (
    DependencyRefused,
    DependencyTimeout,
    DependencyUnavailable,
    MigrationError,
)
from pricing.stores.migrate import migrate
from pricing.stores.postgres_states import DatabaseConfig
from pricing.stores.sql import Migration, load_migrations
from tests.support.grid_city import grid_zones
from tests.support.servers import fresh_database

STEPS = load_migrations()
NAMES = tuple(map(str, STEPS))
ZONES = grid_zones(3)

# Everything of a schema as text, one line a thing.
_CATALOGUE = """
SELECT format('%s %s %s %s %s %s', c.oid::regclass, a.attnum, a.attname,
              format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s', oid::regclass, relkind, pg_get_partkeydef(oid))
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT definition FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT format('%s %s', pg_get_functiondef(oid), proacl)
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT format('%s %s %s', objoid::regclass, objsubid, description)
FROM pg_description WHERE classoid = 'pg_class'::regclass
    AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
ORDER BY 1
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def catalogue(url: str) -> list[str]:
    async with connected(url) as connection:
        return [row[0] for row in await connection.fetch(_CATALOGUE)]


async def test_empty_database_gets_everything_and_then_nothing(database_url):
    config = DatabaseConfig(url=database_url)
    first = await migrate(config, ZONES, timeout_s=20)
    assert (first.applied, first.zones_changed, first.zones_retired) == (NAMES, 9, 0)
    before = await catalogue(database_url)
    second = await migrate(config, ZONES, timeout_s=20)
    assert (second.applied, second.zones_changed, second.zones_retired) == ((), 0, 0)
    assert second.schema_version == len(STEPS)
    assert await catalogue(database_url) == before


async def test_five_at_once_run_every_migration_once(database_url):
    config = DatabaseConfig(url=database_url)
    reports = await asyncio.gather(*(migrate(config, ZONES, timeout_s=30) for _ in range(5)))
    assert sorted(report.applied for report in reports) == [()] * 4 + [NAMES]
    assert sorted(report.zones_changed for report in reports) == [0, 0, 0, 0, 9]


async def test_schema_file_is_the_sum_of_the_migrations(database_url, postgres_url):
    await migrate(DatabaseConfig(url=database_url), (), timeout_s=20)
    schema = files("pricing.stores.sql").joinpath("schema.sql").read_text()
    async with fresh_database(postgres_url) as other_url:
        async with connected(other_url) as connection:
            await connection.execute(schema)
        assert await catalogue(other_url) == await catalogue(database_url)


async def test_edited_migration_is_refused_and_nothing_changes(database_url):
    config = DatabaseConfig(url=database_url)
    await migrate(config, (), timeout_s=20)
    before = await catalogue(database_url)
    edited = [replace(STEPS[0], sql=STEPS[0].sql + "\n-- a word"), *STEPS[1:]]
    more = Migration(len(STEPS) + 1, "more", "CREATE TABLE more ()")
    with pytest.raises(MigrationError, match="0001_zones was edited"):
        await migrate(config, ZONES, timeout_s=20, migrations=[*edited, more])
    assert await catalogue(database_url) == before


async def test_database_of_a_newer_release_is_refused(database_url):
    config = DatabaseConfig(url=database_url)
    newer = Migration(len(STEPS) + 1, "from_the_future", "CREATE TABLE more ()")
    await migrate(config, (), timeout_s=20, migrations=[*STEPS, newer])
    with pytest.raises(MigrationError, match="from_the_future, which this release does not know"):
        await migrate(config, ZONES, timeout_s=20)


async def test_failing_migration_leaves_no_trace_and_is_named(database_url):
    config = DatabaseConfig(url=database_url)
    broken = Migration(len(STEPS) + 1, "broken", "CREATE TABLE half (); SELECT 1 / 0")
    with pytest.raises(MigrationError, match="_broken failed: division by zero"):
        await migrate(config, ZONES, timeout_s=20, migrations=[*STEPS, broken])
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT to_regclass('half')") is None
    assert (await migrate(config, ZONES, timeout_s=20)).applied == ()


async def test_zone_that_left_the_catalogue_stays_inactive(database_url):
    config = DatabaseConfig(url=database_url)
    await migrate(config, ZONES, timeout_s=20)
    renamed = replace(ZONES[1], name="Renamed")
    report = await migrate(config, [renamed, *ZONES[2:]], timeout_s=20)
    assert (report.zones_changed, report.zones_retired) == (1, 1)
    async with connected(database_url) as connection:
        rows = await connection.fetch("SELECT zone_id, name, is_active FROM zones")
        assert len(rows) == 9
        assert [row["zone_id"] for row in rows if not row["is_active"]] == [ZONES[0].zone_id]
        assert [row["zone_id"] for row in rows if row["name"] == "Renamed"] == [renamed.zone_id]
    back = await migrate(config, ZONES, timeout_s=20)
    assert (back.zones_changed, back.zones_retired) == (2, 0)


async def test_catalogue_without_zones_touches_none(database_url):
    config = DatabaseConfig(url=database_url)
    await migrate(config, ZONES, timeout_s=20)
    report = await migrate(config, (), timeout_s=20)
    assert (report.zones_changed, report.zones_retired) == (0, 0)


async def test_missing_database_is_not_made(postgres_url):
    url = f"{postgres_url.rpartition('/')[0]}/nowhere"
    with pytest.raises(MigrationError, match="the database does not exist"):
        await migrate(DatabaseConfig(url=url), ZONES, timeout_s=5)


async def test_wrong_password_is_refused_without_a_second_try(database_url):
    user, _, rest = database_url.removeprefix("postgresql://").partition(":")
    url = f"postgresql://{user}:wrong@{rest.partition('@')[2]}"
    with pytest.raises(DependencyRefused):
        await migrate(DatabaseConfig(url=url), ZONES, timeout_s=60)


async def test_absent_server_is_unavailable_after_the_time_given():
    config = DatabaseConfig(url=f"postgresql://u:p@127.0.0.1:{free_ports(1)[0]}/d")
    with pytest.raises(DependencyUnavailable):
        await migrate(config, ZONES, timeout_s=0.5)


async def test_server_that_comes_late_is_migrated(own_postgres):
    await own_postgres.stop()
    running = asyncio.create_task(
        migrate(DatabaseConfig(url=own_postgres.url), ZONES, timeout_s=30)
    )
    await asyncio.sleep(0)
    await own_postgres.start()
    assert (await running).applied == NAMES


async def test_hanging_run_elsewhere_is_waited_for_briefly(database_url):
    config = DatabaseConfig(url=database_url)
    await migrate(config, (), timeout_s=20)
    async with connected(database_url) as connection:
        key = await connection.fetchval(
            "SELECT pg_advisory_lock($1)::text || $1::text", 0x6571_7569_6C69_6272
        )
        assert key
        with pytest.raises(DependencyTimeout):
            await migrate(config, ZONES, timeout_s=0.4)
    assert (await migrate(config, ZONES, timeout_s=20)).zones_changed == 9
