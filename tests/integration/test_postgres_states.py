"""Day partitions, retention and the view, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import product
from string import ascii_uppercase

import asyncpg
import pytest

from pricing import model
from pricing.model import MICRO
from pricing.stores.migrate import migrate
from pricing.stores.postgres_states import DatabaseConfig, PostgresStates
from tests.support.grid_city import grid_zones
from tests.support.zone_states import STEP_MS, TICK_MS, calm, city_tick, zone_state

DAY_MS = 86_400_000
MIDNIGHT_MS = TICK_MS // DAY_MS * DAY_MS
"""2024-02-27T00:00:00Z."""
ZONES = [zone.zone_id for zone in grid_zones(3)]
A, B = ZONES[:2]


@pytest.fixture
async def config(database_url) -> DatabaseConfig:
    config = DatabaseConfig(url=database_url, timeout_ms=5_000, snapshot_retention_days=3)
    await migrate(config, grid_zones(3), timeout_s=20)
    return config


@pytest.fixture
async def store(config) -> AsyncIterator[PostgresStates]:
    async with PostgresStates(config) as states:
        yield states


@pytest.fixture
async def database(database_url) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else in the same database."""
    connection = await asyncpg.connect(database_url, timeout=10)
    yield connection
    await connection.close()


async def days(database: asyncpg.Connection) -> list[str]:
    rows = await database.fetch(
        "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits"
        " WHERE inhparent = 'zone_snapshots'::regclass ORDER BY 1"
    )
    return [row[0] for row in rows]


async def test_day_gets_its_partition_with_its_first_tick(store, database):
    for tick in (MIDNIGHT_MS - STEP_MS, MIDNIGHT_MS):
        await store.write_tick(city_tick(tick, [zone_state(A, tick)]))
    assert await days(database) == ["20240226", "20240227"]
    rows = await database.fetch("SELECT tableoid::regclass::text FROM zone_snapshots ORDER BY 1")
    assert [row[0] for row in rows] == ["zone_snapshots_20240226", "zone_snapshots_20240227"]


async def test_tick_may_hold_states_of_two_days(store, database):
    states = [zone_state(A, MIDNIGHT_MS - STEP_MS), zone_state(B, MIDNIGHT_MS)]
    await store.write_tick(city_tick(MIDNIGHT_MS, states))
    assert set(await store.read([A, B])) == {A, B}
    assert len(await days(database)) == 2


async def test_partitions_lie_on_utc_days_anywhere(store, database):
    await database.execute("SET timezone = 'America/New_York'")
    await database.execute("SELECT ensure_snapshot_partition('2024-02-27')")
    for tick in (MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS - 1):
        await store.write_tick(city_tick(tick, [zone_state(A, tick)]))
    assert await days(database) == ["20240227"]


async def test_dropped_partition_is_made_by_next_tick(store, database):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    await database.execute("DROP TABLE zone_snapshots_20240227")
    after = zone_state(A, TICK_MS + STEP_MS)
    await store.write_tick(city_tick(TICK_MS + STEP_MS, [after]))
    assert await store.read([A]) == {A: after}


async def test_writers_at_midnight_make_one_partition(config, database):
    async def write(city: str, zone_id: str) -> None:
        async with PostgresStates(config) as states:
            state = zone_state(zone_id, MIDNIGHT_MS, city_id=city)
            await states.write_tick(city_tick(MIDNIGHT_MS, [state], city_id=city))

    await asyncio.gather(*(write(f"city-{zone}", zone) for zone in ZONES))
    assert await days(database) == ["20240227"]
    assert await database.fetchval("SELECT count(*) FROM zone_snapshots") == len(ZONES)


async def test_writers_of_one_tick_store_it_once(store, database):
    """Rows in opposite orders would deadlock, did the writers of a city not take turns."""
    for tick in range(TICK_MS, TICK_MS + 5 * STEP_MS, STEP_MS):
        states = [zone_state(f"z{number}", tick) for number in range(400)]
        orders = [states, states[::-1], states[200:] + states[:200]]
        await asyncio.gather(*(store.write_tick(city_tick(tick, order)) for order in orders))
    assert await database.fetchval("SELECT count(*) FROM zone_snapshots") == 5 * 400


async def test_days_past_retention_go_with_new_day(config, database):
    for day in range(7):
        tick = MIDNIGHT_MS + day * DAY_MS
        # A new process a day: it looks after the retention before its first tick.
        async with PostgresStates(config) as store:
            await store.write_tick(city_tick(tick, [zone_state(A, tick)]))
    assert (await days(database))[-4:] == ["20240301", "20240302", "20240303", "20240304"]
    async with PostgresStates(config) as store:
        await store.drop_old_snapshots()
        assert await store.drop_old_snapshots() == []
    assert await days(database) == ["20240301", "20240302", "20240303", "20240304"]


async def test_tick_far_ahead_drops_nothing_recent(store, database):
    today = await database.fetchval("SELECT (extract(epoch FROM now()) * 1000)::bigint")
    await store.write_tick(city_tick(today, [zone_state(A, today)]))
    ahead = today + 400 * DAY_MS
    await store.write_tick(city_tick(ahead, [zone_state(B, ahead)]))
    assert await store.drop_old_snapshots() == []
    assert len(await days(database)) == 2


async def test_tick_older_than_retention_is_stored(store, database):
    for tick in (MIDNIGHT_MS, MIDNIGHT_MS - 30 * DAY_MS, MIDNIGHT_MS - 30 * DAY_MS + STEP_MS):
        await store.write_tick(city_tick(tick, [zone_state(A, tick)]))
    assert await database.fetchval("SELECT count(*) FROM zone_snapshots") == 3


async def test_retention_gives_way_to_a_long_reader(store, database):
    old = MIDNIGHT_MS - 30 * DAY_MS
    await store.write_tick(city_tick(old, [zone_state(A, old)]))
    async with database.transaction():
        await database.fetch("SELECT * FROM zone_snapshots")
        await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    assert len(await days(database)) == 2
    assert await store.drop_old_snapshots() == ["zone_snapshots_20240128"]


async def test_role_without_create_gets_over_midnight(config, database):
    await database.execute("""
        DROP ROLE IF EXISTS row_writer;
        CREATE ROLE row_writer LOGIN PASSWORD 'row writer';
        GRANT SELECT, INSERT, UPDATE ON zone_snapshots, city_ticks TO row_writer;
        GRANT SELECT ON current_zone_status TO row_writer;
        GRANT EXECUTE ON FUNCTION ensure_snapshot_partition TO row_writer;
    """)
    try:
        address = config.url.partition("@")[2]
        url = f"postgresql://row_writer:row%20writer@{address}"
        async with PostgresStates(DatabaseConfig(url=url, timeout_ms=5_000)) as store:
            await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
            assert set(await store.read([A])) == {A}
    finally:
        await database.execute("DROP OWNED BY row_writer; DROP ROLE row_writer")


async def test_view_reads_as_people_understand(store, database):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    await store.write_tick(city_tick(TICK_MS + STEP_MS))
    row = dict(await database.fetchrow("SELECT * FROM current_zone_status"))
    assert (row["zone_id"], row["zone_name"], row["city_id"]) == (A, "Row 0, column 0", "nyc")
    assert str(row["base_fare"]) == "9.25"
    assert str(row["current_multiplier"]) == "1.35"
    assert str(row["price"]) == "12.49"
    assert (row["supply_count"], row["demand_count"]) == (10, 30)
    assert row["confidence"] == Decimal("1.00")
    assert (row["last_updated"] - row["changed_at"]).total_seconds() == STEP_MS / 1000
    assert row["reasons"] == ["demand_exceeds_supply", "smoothed"]


async def test_view_rounds_prices_as_the_model_does(store, database):
    cases = [(925, 1_350_000), (1, 500_000), (1_250, 1_050_000), (900, MICRO), (333, 1_500_000)]
    states = [
        zone_state(zone, base_fare_minor=fare, multiplier_micro=multiplier, currency=currency)
        for zone, (fare, multiplier), currency in zip(
            ZONES, cases, ["USD", "JPY", "KWD", "USD", "JPY"], strict=False
        )
    ]
    await store.write_tick(city_tick(TICK_MS, states))
    prices = dict(await database.fetch("SELECT zone_id, price FROM current_zone_status"))
    for state in states:
        places = model.currency_exponent(state.currency)
        assert prices[state.zone_id] == Decimal(state.price_minor).scaleb(-places)


async def test_view_knows_every_currency_as_the_model_does(database, config):
    codes = ["".join(letters) for letters in product(ascii_uppercase, repeat=3)]
    rows = await database.fetch(
        "SELECT code, currency_exponent(code) FROM unnest($1::text[]) code", codes
    )
    assert {code: model.currency_exponent(code) for code in codes} == dict(rows)


async def test_inactive_zone_leaves_the_view_and_the_read(store, database):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A), calm(zone_state(B))]))
    await database.execute("UPDATE zones SET is_active = false WHERE zone_id = $1", A)
    assert set(await store.read([A, B])) == {B}
    assert await database.fetchval("SELECT count(*) FROM current_zone_status") == 1


async def test_look_up_touches_the_newest_day_alone(store, database):
    for day in range(4):
        tick = MIDNIGHT_MS + day * DAY_MS
        await store.write_tick(city_tick(tick, [zone_state(zone, tick) for zone in ZONES]))
    plan = json.loads(
        await database.fetchval(
            "EXPLAIN (ANALYZE, FORMAT JSON)"
            " SELECT * FROM current_zone_status WHERE zone_id = ANY($1)",
            ZONES,
        )
    )
    scans = list(_scans(plan[0]["Plan"]))
    assert len(scans) == 4
    assert [scan["Relation Name"] for scan in scans if scan["Actual Loops"]] == [
        "zone_snapshots_20240301"
    ]


def _scans(node):
    if node.get("Relation Name", "").startswith("zone_snapshots_"):
        yield node
    for child in node.get("Plans", ()):
        yield from _scans(child)
