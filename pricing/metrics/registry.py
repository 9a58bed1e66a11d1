"""Registries, and metrics as tables: a dataclass with one line for each collector.

    @dataclass(slots=True)
    class ProbeMetrics:
        checks: Counter = counter("health_check_total", "Probes of dependencies.", "service")

    probes = register(ProbeMetrics, registry)

Labels come from closed sets. None names a zone, a rider or anything else that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields
from functools import partial
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

import pricing

T = TypeVar("T")

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MAKE = "make"


def counter(name: str, meaning: str, *labels: str) -> Any:
    """A field that holds a counter; `register` makes it. So for the two below."""
    return field(metadata={_MAKE: partial(Counter, name, meaning, labels)})


def gauge(name: str, meaning: str, *labels: str) -> Any:
    return field(metadata={_MAKE: partial(Gauge, name, meaning, labels)})


def histogram(name: str, meaning: str, *labels: str, buckets: Sequence[float] = LATENCY_S) -> Any:
    return field(metadata={_MAKE: partial(Histogram, name, meaning, labels, buckets=buckets)})


def register(table: type[T], registry: CollectorRegistry, /, **others: Any) -> T:
    """A dataclass with its collectors made in the registry; `others` are its other fields.

    Raises `ValueError` where the registry has a metric of that name.
    """
    makers = {each.name: each.metadata[_MAKE] for each in fields(table) if _MAKE in each.metadata}  # type: ignore[arg-type] # every table is a dataclass
    return table(**{name: make(registry=registry) for name, make in makers.items()}, **others)


def new_registry() -> CollectorRegistry:
    """A registry with what every process shows: itself, its interpreter, its release."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    release = Gauge(
        "equilibrium_build_info",
        "Always 1; the label says which release runs.",
        ["version"],
        registry=registry,
    )
    release.labels(pricing.__version__).set(1)
    return registry
