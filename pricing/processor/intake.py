"""From a record of an input topic to a count in a city's window.

Nothing here stops a partition: a record that cannot be read goes to the dead letters, one that
names a zone or city that we do not know is counted and skipped.
"""

from __future__ import annotations

from pricing.metrics.processor import ProcessorMetrics
from pricing.model import Zone
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.progress import SlotProgress
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.zones import Catalogue, ZoneLocator
from streaming.consuming.records import ConsumedRecord
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
        dead_letters: DeadLetterQueue,
        metrics: ProcessorMetrics,
    ) -> None:
        self._catalogue = catalogue
        self._locator = locator
        self._dead_letters = dead_letters
        self._metrics = metrics

    def take(self, progress: SlotProgress, record: ConsumedRecord, now_ms: int) -> None:
        """Count one record. Records are taken in the order of their partition."""
        # A stamp from the future proves nothing about what arrived until then, so it moves the
        # partition no further than the present.
        progress.saw(record.topic, min(record.timestamp_ms, now_ms))
        is_repeat = progress.is_repeat(record.topic, record.offset)
        try:
            event, payload = _read(record)
        except InvalidMessage as error:
            if not is_repeat:
                self._metrics.read("unreadable", None)
                self._dead_letters.offer(record, error)
            return
        disposition = self._count(progress, event, payload, record.timestamp_ms)
        if not is_repeat:
            self._metrics.read(event.type, disposition)

    def _count(
        self,
        progress: SlotProgress,
        event: Event,
        payload: RideRequestV1 | DriverStatusV1,
        arrived_ms: int,
    ) -> Disposition:
        city = progress.cities.get(payload.city_id)
        zone = self._zone_of(payload)
        if city is None or zone is None:
            return Disposition.UNKNOWN_ZONE
        return city.add(_counted_event(event, payload, zone, arrived_ms))

    def _zone_of(self, payload: RideRequestV1 | DriverStatusV1) -> Zone | None:
        if payload.zone_id is not None:
            return self._catalogue.zone(payload.zone_id)
        if payload.lat is None or payload.lon is None:
            return None
        return self._locator.locate(payload.lat, payload.lon)


def _counted_event(
    event: Event, payload: RideRequestV1 | DriverStatusV1, zone: Zone, arrived_ms: int
) -> DemandEvent | SupplyEvent:
    if isinstance(payload, RideRequestV1):
        return DemandEvent(
            request_id=payload.request_id,
            event_id=event.id,
            zone_id=zone.zone_id,
            occurred_ms=event.time_ms,
            arrived_ms=arrived_ms,
        )
    return SupplyEvent(
        driver_id=payload.driver_id,
        event_id=event.id,
        zone_id=zone.zone_id,
        available=payload.available,
        occurred_ms=event.time_ms,
        arrived_ms=arrived_ms,
    )


def _read(record: ConsumedRecord) -> tuple[Event, RideRequestV1 | DriverStatusV1]:
    decoded = decode(record)
    if not isinstance(decoded.payload, RideRequestV1 | DriverStatusV1):
        raise InvalidMessage("unexpected_type", decoded.event.type)
    return decoded.event, decoded.payload
