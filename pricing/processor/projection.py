"""Carries mode events and the audit from Kafka into Postgres.

At least once, by event id: a record that comes again is kept once. While Postgres is away the
records stay in the log, and the group's offsets stay where they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from pricing.errors import DependencyError
from pricing.stores.operations import PostgresOperations
from streaming.consuming.consumer import LogReader
from streaming.consuming.records import ConsumedRecord
from streaming.errors import BrokerError, InvalidMessage
from streaming.events.codec import decode
from streaming.events.event_types import AuditRecordedV1, ModeChangedV1

_log = structlog.get_logger(__name__)

_POLL_S = 1.0
_RETRY_S = 2.0


class OperationsProjection:
    """The loop beside the prices. Its caller opens and closes the reader and the store."""

    def __init__(self, reader: LogReader, store: PostgresOperations) -> None:
        self._reader = reader
        self._store = store

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                polled = await self._reader.poll(_POLL_S)
            except BrokerError as error:
                _log.warning("projection poll refused", error=str(error))
                await asyncio.sleep(_RETRY_S)
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
                _log.warning("record not projected", topic=record.topic, error=str(error))
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
        """Write until Postgres has it. Nothing is polled meanwhile; the log keeps the rest."""
        while True:
            try:
                await self._store.write(modes, audits)
            except DependencyError as error:
                _log.warning("projection write failed, tried again", error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _commit(self, records: Sequence[ConsumedRecord]) -> None:
        for slot in {record.partition for record in records}:
            try:
                await self._reader.commit(slot, self._reader.positions(slot))
            except BrokerError as error:
                # The records come again after a restart, and by their ids are kept once.
                _log.info("projection commit failed", partition=slot, error=str(error))
