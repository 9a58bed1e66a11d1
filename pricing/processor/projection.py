"""Carries mode events and the audit from Kafka into Postgres.

At least once, by event id: a record that comes again is kept once. While Postgres is away the
records stay in the log, and the group's offsets stay where they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import structlog

from fallback.background import in_background
from pricing.errors import DependencyError
from pricing.stores.operations import PostgresOperations
from pricing.stores.postgres_client import DatabaseConfig
from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader
from streaming.consuming.records import ConsumedRecord
from streaming.errors import BrokerError, InvalidMessage
from streaming.events.codec import decode
from streaming.events.event_types import AuditRecordedV1, ModeChangedV1
from streaming.topics import AUDIT, SYSTEM_MODES, full_name

_log = structlog.get_logger(__name__)

_POLL_S = 1.0
_AGAIN_S = 2.0
REWIND_MS = 24 * 3_600_000
"""How far a partition is read again after a restart: longer than Postgres may be away and the
process with it, and harmless, for what is there already stays as it is."""


_GROUP = "operations-projection"


@asynccontextmanager
async def open_projection(
    kafka: KafkaConfig, database: DatabaseConfig, *, now_ms: Callable[[], int]
) -> AsyncIterator[None]:
    """While open, carry mode events and the audit into Postgres. Opening reaches nobody."""
    async with (
        PostgresOperations(replace(database, max_in_flight=2)) as store,
        LogReader(
            kafka,
            [full_name(kafka, SYSTEM_MODES), full_name(kafka, AUDIT)],
            group_id=f"{kafka.topic_prefix}{_GROUP}",
            rewind_ms=REWIND_MS,
            now_ms=now_ms,
        ) as reader,
        in_background("projection", OperationsProjection(reader, store).run()),
    ):
        yield


class OperationsProjection:
    """The projector of one processor. Somebody else opens and closes reader and store."""

    def __init__(self, reader: LogReader, store: PostgresOperations) -> None:
        self._reader = reader
        self._store = store

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                polled = await self._reader.poll(_POLL_S)
            except BrokerError as error:
                _log.warning("the projection's input is refused", why=str(error))
                await asyncio.sleep(_AGAIN_S)
                continue
            if polled.records:
                await self._keep(polled.records)

    async def _keep(self, records: Sequence[ConsumedRecord]) -> None:
        modes: list[tuple[str, ModeChangedV1]] = []
        audits: list[tuple[str, AuditRecordedV1]] = []
        for record in records:
            try:
                decoded = decode(record)
                UUID(decoded.event.id)
            except (InvalidMessage, ValueError) as error:
                _log.warning("a record cannot be projected", topic=record.topic, why=str(error))
                continue
            payload = decoded.payload
            if isinstance(payload, ModeChangedV1) and payload.kind != "heartbeat":
                modes.append((decoded.event.id, payload))
            elif isinstance(payload, AuditRecordedV1):
                audits.append((decoded.event.id, payload))
        if modes or audits:
            await self._write(modes, audits)
        await self._commit(records)

    async def _write(
        self,
        modes: Sequence[tuple[str, ModeChangedV1]],
        audits: Sequence[tuple[str, AuditRecordedV1]],
    ) -> None:
        """Write until Postgres has it. Only what we hold waits; the log keeps the rest."""
        while True:
            try:
                await self._store.write(modes, audits)
            except DependencyError as error:
                _log.warning("the projection waits for the database", why=str(error))
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def _commit(self, records: Sequence[ConsumedRecord]) -> None:
        for slot in {record.partition for record in records}:
            try:
                await self._reader.commit(slot, self._reader.positions(slot))
            except BrokerError as error:
                _log.info("the projection's place is not kept", slot=slot, why=str(error))
