"""Zone states as events of the public price feed. Pure."""

from __future__ import annotations

from pricing.model import MICRO, ZoneState, currency_exponent
from streaming.events.event_types import ZONE_PRICE, Event, derived_event_id, rfc3339

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
    """The same for a tick that is computed again: after a restart, or by another processor."""
    identity = f"{state.zone_id}|{state.window_end_ms}|{state.policy_version}"
    return derived_event_id(state.window_end_ms, identity.encode())
