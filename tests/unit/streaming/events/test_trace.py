"""Trace context from request to record to reader."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from streaming.events.trace import is_valid, parent_context, traceparent_to_send

INCOMING = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_active_span_is_sent_before_the_requests():
    context = SpanContext(0xA, 0xB, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        assert traceparent_to_send(INCOMING) == f"00-{0xA:032x}-{0xB:016x}-01"


def test_without_a_span_the_requests_trace_travels_on():
    assert traceparent_to_send(INCOMING) == INCOMING


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "x",
        INCOMING.upper(),
        INCOMING.replace("00f067aa0ba902b7", "0" * 16),
        INCOMING + "é",
        "01" + INCOMING[2:] + "-" + "x" * 300,
    ],
)
def test_nonsense_is_not_sent(text):
    assert traceparent_to_send(text) is None


def test_later_version_of_the_format_is_valid():
    assert is_valid("01" + INCOMING[2:] + "-more")


def test_reader_starts_its_span_under_the_writers():
    span = trace.get_current_span(parent_context(INCOMING)).get_span_context()
    assert (span.trace_id, span.span_id) == (0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
    assert span.is_remote


def test_reader_without_a_trace_starts_its_own():
    for text in (None, "nonsense"):
        assert not trace.get_current_span(parent_context(text)).get_span_context().is_valid
