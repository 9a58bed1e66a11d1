"""From records of the input topics to what a city counts."""

from dataclasses import dataclass, field

import pytest

from pricing.metrics.processor import new_processor_metrics
from pricing.processor.intake import Intake
from pricing.processor.progress import SlotProgress
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.zones import Catalogue, ZoneLocator
from streaming.consuming.records import ConsumedRecord
from streaming.events.codec import encode
from streaming.events.event_types import DRIVER_STATUS, RIDE_REQUEST, Event, new_event_id, rfc3339
from tests.support.grid_city import grid_zones

CATALOGUE = Catalogue(tuple(grid_zones(2)))
ZONE = CATALOGUE.zones[0]
OCCURRED_MS = 1_772_000_000_000
ARRIVED_MS = OCCURRED_MS + 40


@dataclass
class City:
    """Stands for a `CitySurge`: keeps the events."""

    events: list = field(default_factory=list)

    def add(self, event):
        self.events.append(event)
        return Disposition.COUNTED


@pytest.fixture
def city():
    return City()


@pytest.fixture
def take(city):
    metrics = new_processor_metrics()
    intake = Intake(
        catalogue=CATALOGUE, locator=ZoneLocator(CATALOGUE), dead_letters=None, metrics=metrics
    )
    progress = SlotProgress(
        slot=0,
        cities={"grid": city},
        topics=("ride-requests",),
        tick_ms=5_000,
        grace_ms=250,
        next_tick_ms=0,
        publish_from_ms=0,
    )

    def take(event_type, **data):
        wire = encode(event(event_type, data))
        record = ConsumedRecord("t", 0, 0, ARRIVED_MS, wire.key, wire.value, wire.headers)
        intake.take(progress, record, ARRIVED_MS)
        return metrics.registry

    return take


def event(event_type, data):
    shared = {"city_id": "grid", "occurred_at": rfc3339(OCCURRED_MS)}
    return Event(
        id=new_event_id(),
        type=event_type,
        source="/test",
        time_ms=OCCURRED_MS,
        key="grid",
        data={**shared, **data},
    )


def test_ride_request_becomes_a_demand_event(take, city):
    take(RIDE_REQUEST, request_id="r1", zone_id=ZONE.zone_id)
    [counted] = city.events
    assert isinstance(counted, DemandEvent)
    assert (counted.request_id, counted.zone_id) == ("r1", ZONE.zone_id)
    assert (counted.occurred_ms, counted.arrived_ms) == (OCCURRED_MS, ARRIVED_MS)


def test_driver_status_becomes_a_supply_event(take, city):
    take(DRIVER_STATUS, driver_id="d1", available=True, lat=ZONE.lat, lon=ZONE.lon)
    [counted] = city.events
    assert isinstance(counted, SupplyEvent)
    assert (counted.driver_id, counted.zone_id, counted.available) == ("d1", ZONE.zone_id, True)


def test_counted_event_holds_the_catalogue_zone_id(take, city):
    """Else every request would keep a string of its own for as long as it counts."""
    take(RIDE_REQUEST, request_id="r1", zone_id=str(ZONE.zone_id.encode(), "utf-8"))
    assert city.events[0].zone_id is ZONE.zone_id


@pytest.mark.parametrize("data", [{"zone_id": "elsewhere"}, {"lat": 45.0, "lon": 45.0}])
def test_record_of_an_unknown_zone_is_skipped(take, city, data):
    registry = take(RIDE_REQUEST, request_id="r1", **data)
    labels = {"type": RIDE_REQUEST, "outcome": "unknown_zone"}
    assert city.events == []
    assert [
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.labels == labels and sample.name.endswith("_total")
    ] == [1]
