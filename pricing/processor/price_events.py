"""Zone states as events of the public price feed. Pure."""

from __future__ import annotations

import hashlib
import uuid

from pricing.model import MICRO, ZoneState, currency_exponent
from streaming.events.event_types import ZONE_PRICE, Event, rfc3339

SOURCE = "/equilibrium/processor"


def price_event(state: ZoneState) -> Event:
    """The price of one zone at one tick; the same state always gives the same event."""
    return Event(
        id=_event_id(state),
        type=ZONE_PRICE,
        source=SOURCE,
        time_ms=state.window_end_ms,
        key=state.zone_id,
        subject=state.zone_id,
        data={
            "zone_id": state.zone_id,
            "city_id": state.city_id,
            "multiplier": state.multiplier_micro / MICRO,
            "raw_multiplier": state.raw_multiplier_micro / MICRO,
            "price": state.price_minor / 10 ** currency_exponent(state.currency),
            "currency": state.currency,
            "demand_count": state.demand_count,
            "supply_count": state.supply_count,
            "confidence": state.confidence_percent / 100,
            "reasons": list(state.reasons),
            "window_start": rfc3339(state.window_start_ms),
            "window_end": rfc3339(state.window_end_ms),
            "version": state.window_end_ms,
            "policy_version": state.policy_version,
        },
    )


def _event_id(state: ZoneState) -> str:
    """A UUIDv7 whose random bits are a digest of the state's identity.

    A processor that computes a tick again (after a restart, or because it took over a
    partition) sends the same id, so that readers drop the repeat.
    """
    identity = f"{state.zone_id}|{state.window_end_ms}|{state.policy_version}"
    digest = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:10], "big")
    number = (state.window_end_ms & (1 << 48) - 1) << 80 | digest
    number = number & ~(0xF << 76) | 0x7 << 76  # version 7
    number = number & ~(0x3 << 62) | 0x2 << 62  # RFC 9562 variant
    return str(uuid.UUID(int=number))
