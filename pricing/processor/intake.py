"""From a record of an input topic to a count in a city's window.

Nothing here stops a partition: a record that cannot be read goes to the dead letters, one that
names a zone or city that we do not know is counted and skipped.
"""

from __future__ import annotations

import stamina
import structlog

from pricing.metrics import ProcessorMetrics
from pricing.processor.slot import Slot
from pricing.surge.admission import Admission
from pricing.zones import Catalogue, ZoneLocator
from streaming.codec import decode
from streaming.consumer import ConsumedRecord
from streaming.dead_letter import DeadLetters
from streaming.errors import InvalidMessage, StreamingError
from streaming.events import DriverStatusV1, Event, RideRequestV1

_log = structlog.get_logger(__name__)


class Intake:
    """Decodes records and hands them to their city."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        locator: ZoneLocator,
        dead_letters: DeadLetters,
        metrics: ProcessorMetrics,
    ) -> None:
        self._catalogue = catalogue
        self._locator = locator
        self._dead_letters = dead_letters
        self._metrics = metrics

    async def take(self, slot: Slot, record: ConsumedRecord) -> None:
        """Count one record. Records are taken in the order of their partition."""
        slot.saw(record.topic, record.timestamp_ms)
        is_repeat = slot.is_repeat(record.topic, record.offset)
        try:
            event, payload = _read(record)
        except InvalidMessage as error:
            if not is_repeat:
                self._metrics.read("unreadable", None)
                await self._bury(record, error)
            return
        admission = self._count(slot, event, payload, record.timestamp_ms)
        if not is_repeat:
            self._metrics.read(event.type, admission)

    async def _bury(self, record: ConsumedRecord, error: InvalidMessage) -> None:
        try:
            async for attempt in stamina.retry_context(on=StreamingError, attempts=10, timeout=30):
                with attempt:
                    await self._dead_letters.send(record, error)
        except StreamingError:
            # The record stays in its topic; these coordinates find it again.
            _log.exception(
                "a record could not be dead-lettered",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )

    def _count(
        self, slot: Slot, event: Event, payload: RideRequestV1 | DriverStatusV1, arrived_ms: int
    ) -> Admission:
        city = slot.cities.get(payload.city_id)
        zone_id = self._zone_id(payload)
        if city is None or zone_id is None:
            return Admission.UNKNOWN_ZONE
        if isinstance(payload, RideRequestV1):
            return city.add_request(
                request_id=payload.request_id,
                event_id=event.id,
                zone_id=zone_id,
                occurred_ms=event.time_ms,
                arrived_ms=arrived_ms,
            )
        return city.add_heartbeat(
            driver_id=payload.driver_id,
            event_id=event.id,
            zone_id=zone_id,
            available=payload.available,
            occurred_ms=event.time_ms,
            arrived_ms=arrived_ms,
        )

    def _zone_id(self, payload: RideRequestV1 | DriverStatusV1) -> str | None:
        if payload.zone_id is not None:
            return payload.zone_id
        if payload.lat is None or payload.lon is None:
            return None
        zone = self._locator.locate(payload.lat, payload.lon)
        return None if zone is None else zone.zone_id


def _read(record: ConsumedRecord) -> tuple[Event, RideRequestV1 | DriverStatusV1]:
    decoded = decode(record)
    if not isinstance(decoded.payload, RideRequestV1 | DriverStatusV1):
        raise InvalidMessage("unexpected_type", decoded.event.type)
    return decoded.event, decoded.payload
