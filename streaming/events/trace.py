"""W3C trace context across Kafka: one `traceparent` text, put in by the writer, passed on unread.

Needs no OpenTelemetry SDK: without one there is no active span, and the caller's own
`traceparent`, from an HTTP request for instance, travels on.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
_CHARS_AT_MOST = 256
"""Version 00 has 55; later ones may be longer."""
_PROPAGATOR = TraceContextTextMapPropagator()


def traceparent_to_send(incoming: str | None = None) -> str | None:
    """The active span's `traceparent`, else `incoming` where it is valid, else None."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    if TRACEPARENT in carrier:
        return carrier[TRACEPARENT]
    return incoming if incoming is not None and is_valid(incoming) else None


def is_valid(traceparent: str) -> bool:
    """Whether the text is a W3C `traceparent` that names a trace and a span."""
    if len(traceparent) > _CHARS_AT_MOST or not traceparent.isascii():
        return False
    span = trace.get_current_span(parent_context(traceparent))
    return span.get_span_context().is_valid


def parent_context(traceparent: str | None) -> Context:
    """The context to start a reader's span in; an empty one for None and for nonsense."""
    carrier = {} if traceparent is None else {TRACEPARENT: traceparent}
    return _PROPAGATOR.extract(carrier, Context())
