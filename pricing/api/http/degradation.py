"""The rule by which headers, probes and operators' health call the service degraded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pricing.api.schemas.base import HealthWord
from pricing.health.passive import ServiceHealth


@dataclass(frozen=True, slots=True)
class Degradation:
    """Whether the service is degraded, and by which of its dependencies."""

    mode: str
    services: tuple[str, ...]
    """Dependencies in trouble; empty where the mode alone is worse than normal."""

    @property
    def is_degraded(self) -> bool:
        return self.mode != "normal" or bool(self.services)

    def overall_status(self, zones: int) -> HealthWord:
        """`unhealthy` only without zones: while there is one, a default fare can be answered."""
        if not zones:
            return "unhealthy"
        return "degraded" if self.is_degraded else "healthy"


def assess_degradation(mode: str, services: Mapping[str, ServiceHealth]) -> Degradation:
    """How far the service is degraded, given the mode and what its dependencies' calls showed."""
    # `unknown` is no trouble: it was not called lately, as after every start.
    troubled = (
        name for name, service in services.items() if service.status in ("degraded", "unhealthy")
    )
    return Degradation(mode, tuple(troubled))
