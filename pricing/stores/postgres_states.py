"""Postgres: what every zone's state was, and since when it holds.

With `pricing.stores.migrate` the only module that runs SQL; the statements stand in
`pricing/stores/sql`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Self

import asyncpg
import structlog

from pricing.errors import DependencyError, DependencyRefused, DependencySaturated
from pricing.model import Signal, Zone, ZoneState
from pricing.ports import CityTick
from pricing.stores.postgres_client import Database, DatabaseConfig
from pricing.stores.sql import load_queries

__all__ = ["DatabaseConfig", "PostgresStates"]

_log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

_FIRST_SHARE = 0.6
"""Of a read's deadline for the server asked first, so that the other still has its turn."""
_PRIMARY_REST_S = 5.0
"""How long the replica is asked first after a failure, or every read would pay for it."""
_DAYS_KNOWN = 64
"""Days remembered to have a partition; then all are forgotten and looked up again."""
_RETENTION_LOCK_MS = 200
"""Dropping a day waits for readers, and readers then wait for it: not longer than this."""


class PostgresStates:
    """Zone states in Postgres: a `StateStore`.

    An async context manager that owns its connections. Entering does no I/O.

    Snapshots are a run-length code: a zone's newest one holds until the last tick of its city. So
    `read` answers with that tick as `window_end_ms`, and a state is as old as the last tick, not
    as the last change. `window_start_ms` moves with it: the window keeps its length.
    """

    def __init__(
        self, config: DatabaseConfig, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._now = now
        self._sql = load_queries()
        self._primary = Database(config.url, config)
        self._replica = Database(config.replica_url, config) if config.replica_url else None
        self._primary_rests_until = now()
        self._days: set[date] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for database in (self._primary, self._replica):
            if database is not None:
                await self._stack.enter_async_context(database)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def ping(self) -> None:
        """Return once the primary answers, on each connection that is kept open meanwhile.

        Raises `DependencyError`.
        """
        async with AsyncExitStack() as held:
            for _ in range(self._config.kept_open):
                lent = self._primary.connection(self._config.timeout_ms)
                connection = await held.enter_async_context(lent)
                await connection.fetchval(self._sql["ping"])

    async def read(self, zone_ids: Sequence[str]) -> dict[str, ZoneState]:
        """Read zones in one query, at the primary or else at the replica, within one deadline.

        Absent: zones without a snapshot, and zones that the `zones` table does not have as active.
        Raises the `DependencyError` of the server asked last.
        """
        wanted = list(dict.fromkeys(zone_ids))
        if not wanted:
            return {}
        rows = await self._read_rows(wanted)
        return {row["zone_id"]: _state(row) for row in rows}

    async def write_tick(self, tick: CityTick) -> None:
        """Store a tick's snapshots and the city's last tick in one transaction.

        What is stored already stays as it is, and a city never goes back. A day that has no
        partition yet gets one first; days past the retention are dropped on that occasion.
        """
        days = {_moment(state.window_end_ms).date() for state in tick.snapshots}
        await self._prepare_days(days - self._days)
        try:
            await self._insert(tick)
        except DependencyRefused as refusal:
            if not _lacks_partition(refusal.__cause__):
                raise
            # Somebody dropped a day that this process knew.
            await self._prepare_days(days)
            await self._insert(tick)

    async def upsert_zones(self, zones: Sequence[Zone]) -> tuple[int, int]:
        """Make the `zones` table say what the catalogue says; returns (changed, retired).

        A zone that is not among them stays, inactive. No zones at all: nothing is touched, for a
        catalogue is never empty on purpose.
        """
        if not zones:
            return (0, 0)
        columns = zip(*map(_zone_row, zones), strict=True)
        async with self._primary.transaction(self._config.write_timeout_ms) as connection:
            changed = await connection.execute(self._sql["upsert_zones"], *map(list, columns))
            retired = await connection.execute(
                self._sql["retire_zones"], [zone.zone_id for zone in zones]
            )
        return (_affected(changed), _affected(retired))

    async def drop_old_snapshots(self) -> list[str]:
        """Drop the days past the retention, as writing does now and then; returns the tables."""
        async with self._primary.transaction(self._config.write_timeout_ms) as connection:
            await connection.execute(f"SET LOCAL lock_timeout = {_RETENTION_LOCK_MS:d}")
            rows = await connection.fetch(
                self._sql["drop_snapshot_partitions"], self._config.snapshot_retention_days
            )
        return [row[0] for row in rows]

    async def _read_rows(self, wanted: list[str]) -> list[asyncpg.Record]:
        if self._replica is None:
            return await self._query(self._primary, wanted, 1.0)
        rests = self._now() < self._primary_rests_until
        first, second = self._primary, self._replica
        if rests:
            first, second = second, first
        try:
            return await self._query(first, wanted, _FIRST_SHARE)
        except DependencyError as error:
            # Saturation is our own cap: it says nothing about the primary.
            if first is self._primary and not isinstance(error, DependencySaturated):
                self._primary_rests_until = self._now() + _PRIMARY_REST_S
            _log.info("database read failed over", error=error.reason)
        return await self._query(second, wanted, 1.0 - _FIRST_SHARE)

    async def _query(
        self, database: Database, wanted: list[str], share: float
    ) -> list[asyncpg.Record]:
        async with database.connection(max(1, int(self._config.timeout_ms * share))) as connection:
            return await connection.fetch(self._sql["read_states"], wanted)

    async def _insert(self, tick: CityTick) -> None:
        rows = [_snapshot_row(state) for state in tick.snapshots]
        async with self._primary.transaction(self._config.write_timeout_ms) as connection:
            # First, for its row lock: writers of one city take turns and cannot deadlock.
            await connection.execute(self._sql["advance_city"], tick.city_id, _moment(tick.tick_ms))
            await connection.executemany(self._sql["insert_snapshot"], rows)

    async def _prepare_days(self, days: set[date]) -> None:
        """Make room for new days: first drop those past the retention, never one just made."""
        if not days:
            return
        await self._drop_quietly()
        async with self._primary.transaction(self._config.write_timeout_ms) as connection:
            # In order, so that two writers wait for each other in one direction only.
            for day in sorted(days):
                await connection.fetchval(self._sql["ensure_snapshot_partition"], day)
        # Only what is committed is remembered: a day that was rolled back is looked up again.
        if len(self._days) >= _DAYS_KNOWN:
            self._days.clear()
        self._days |= days

    async def _drop_quietly(self) -> None:
        try:
            dropped = await self.drop_old_snapshots()
        except DependencyError as error:
            # Old rows harm nobody; the next new day tries again.
            _log.warning("old snapshots not dropped", error=error.reason)
        else:
            if dropped:
                _log.info("old snapshots dropped", partitions=dropped)


def _lacks_partition(error: BaseException | None) -> bool:
    """Whether a check refused a row and it was no constraint of ours: the row fits no day."""
    return isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None


def _affected(status: str) -> int:
    """Rows of a command tag such as `INSERT 0 5` or `UPDATE 5`."""
    return int(status.rpartition(" ")[2])


def _moment(epoch_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=epoch_ms)


def _epoch_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MS


def _state(row: asyncpg.Record) -> ZoneState:
    return ZoneState(
        zone_id=row["zone_id"],
        city_id=row["city_id"],
        base_fare_minor=row["base_fare_minor"],
        currency=row["currency"],
        multiplier_micro=row["multiplier_micro"],
        raw_multiplier_micro=row["raw_multiplier_micro"],
        demand_count=row["demand_count"],
        supply_count=row["supply_count"],
        signal=Signal(row["signal"]),
        confidence_percent=row["confidence_percent"],
        reasons=tuple(row["reasons"]),
        window_start_ms=_epoch_ms(row["window_start"]),
        window_end_ms=_epoch_ms(row["window_end"]),
        policy_version=row["policy_version"],
    )


def _snapshot_row(state: ZoneState) -> tuple[object, ...]:
    """In the order of `insert_snapshot`."""
    return (
        state.zone_id,
        state.city_id,
        state.base_fare_minor,
        state.currency,
        state.multiplier_micro,
        state.raw_multiplier_micro,
        state.demand_count,
        state.supply_count,
        state.signal.value,
        state.confidence_percent,
        list(state.reasons),
        _moment(state.window_start_ms),
        _moment(state.window_end_ms),
        state.policy_version,
    )


def _zone_row(zone: Zone) -> tuple[object, ...]:
    """In the order of `upsert_zones`."""
    return (
        zone.zone_id,
        zone.name,
        zone.city_id,
        zone.zone_class,
        zone.base_fare_minor,
        zone.currency,
        zone.lat,
        zone.lon,
        zone.area_km2,
        zone.min_multiplier_micro,
        zone.max_multiplier_micro,
    )
