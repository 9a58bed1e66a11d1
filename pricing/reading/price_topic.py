"""Zone states out of the public price feed: what is left when no store can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from fallback.breaker import CircuitBreaker
from fallback.errors import RejectedLocally
from pricing.model import MICRO, Signal, Zone, ZoneState
from streaming.errors import BrokerError, InvalidMessage
from streaming.events.codec import Readable, decode
from streaming.events.event_types import ZonePriceV1, to_ms

_log = structlog.get_logger(__name__)

_READ_S = 3.0
"""Connect, find the ends, and some thousand records."""


class Feed(Protocol):
    """The records of the price feed."""

    async def read(self, timeout_s: float) -> Sequence[Readable]: ...

    async def rest(self) -> None: ...


class TopicStates:
    """The price feed as states, behind the breaker of Kafka."""

    def __init__(self, feed: Feed, zones: Iterable[Zone], breaker: CircuitBreaker) -> None:
        self._feed = feed
        self._zones = {zone.zone_id: zone for zone in zones}
        self._breaker = breaker

    async def read(self) -> Sequence[ZoneState]:
        """The newest state of each zone since the last call; none where Kafka is away too."""
        try:
            records = await self._breaker.call(lambda: self._feed.read(_READ_S))
        except RejectedLocally:
            return ()
        except BrokerError as error:
            _log.debug("price feed not read", error=error.reason)
            return ()
        return states_of(records, self._zones)

    async def rest(self) -> None:
        await self._feed.rest()


def states_of(records: Iterable[Readable], zones: Mapping[str, Zone]) -> list[ZoneState]:
    """The newest state of each zone in the records; records that tell none are passed over.

    The feed does not name the base fare: the catalogue's stands in, where the currency is the
    zone's own. Nor does it tell whether drivers were heard from, which answers do not tell
    either.
    """
    newest: dict[str, ZoneState] = {}
    for record in records:
        try:
            payload = decode(record).payload
        except InvalidMessage:
            continue
        if not isinstance(payload, ZonePriceV1):
            continue
        zone = zones.get(payload.zone_id)
        if zone is None or zone.currency != payload.currency:
            continue
        known = newest.get(payload.zone_id)
        if known is None or payload.version > known.window_end_ms:
            newest[payload.zone_id] = _state(payload, zone)
    return list(newest.values())


def _state(payload: ZonePriceV1, zone: Zone) -> ZoneState:
    return ZoneState(
        zone_id=payload.zone_id,
        city_id=payload.city_id,
        base_fare_minor=zone.base_fare_minor,
        currency=payload.currency,
        # Writers divide integers, so that rounding gives the integer back.
        multiplier_micro=round(payload.multiplier * MICRO),
        raw_multiplier_micro=round(payload.raw_multiplier * MICRO),
        demand_count=payload.demand_count,
        supply_count=payload.supply_count,
        signal=Signal.LIVE,
        confidence_percent=round(payload.confidence * 100),
        reasons=tuple(payload.reasons),
        window_start_ms=to_ms(payload.window_start),
        window_end_ms=payload.version,
        policy_version=payload.policy_version,
    )
