"""From a record of an input topic to a count in a city's window.

Nothing here stops a partition: a record that cannot be read goes to the dead letters, one that
names a zone or city that we do not know is counted and skipped.
"""

from __future__ import annotations

from pricing.metrics.processor import ProcessorMetrics
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.progress import SlotProgress
from pricing.surge.admission import Admission
from pricing.zones import Catalogue, ZoneLocator
from streaming.consuming.consumer import ConsumedRecord
from streaming.errors import InvalidMessage
from streaming.events.codec import decode
from streaming.events.event_types import DriverStatusV1, Event, RideRequestV1


class Intake:
    """Decodes records and hands them to their city."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        locator: ZoneLocator,
        burial: DeadLetterQueue,
        metrics: ProcessorMetrics,
    ) -> None:
        self._catalogue = catalogue
        self._locator = locator
        self._burial = burial
        self._metrics = metrics

    def take(self, slot: SlotProgress, record: ConsumedRecord, now_ms: int) -> None:
        """Count one record. Records are taken in the order of their partition.

        A stamp from the future proves nothing about what arrived until then, so it moves the
        partition no further than the present.
        """
        slot.saw(record.topic, min(record.timestamp_ms, now_ms))
        is_repeat = slot.is_repeat(record.topic, record.offset)
        try:
            event, payload = _read(record)
        except InvalidMessage as error:
            if not is_repeat:
                self._metrics.read("unreadable", None)
                self._burial.offer(record, error)
            return
        admission = self._count(slot, event, payload, record.timestamp_ms)
        if not is_repeat:
            self._metrics.read(event.type, admission)

    def _count(
        self,
        slot: SlotProgress,
        event: Event,
        payload: RideRequestV1 | DriverStatusV1,
        arrived_ms: int,
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
