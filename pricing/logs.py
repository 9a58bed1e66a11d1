"""Logs: one line an event on standard error, as JSON or for a console.

ERROR is a fault to mend, WARNING something that was recovered from, INFO what an operator
wants to read, DEBUG the rest. Libraries' logs take the same way and form.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import orjson
import structlog

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    structlog.processors.StackInfoRenderer(),
]
# They report each failed attempt to connect; our own log tells the outcome once.
_CHATTY = ("aiokafka", "asyncio", "httpx2", "httpcore2")


def configure_logs(level: str, form: Literal["json", "console"]) -> None:
    """Send structlog's and the standard library's records to standard error, from `level` up."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_formatter(form))
    root = logging.getLogger()
    root.handlers = [out]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.ERROR, root.level))


def _formatter(form: Literal["json", "console"]) -> logging.Formatter:
    renderers: list[structlog.typing.Processor]
    if form == "json":
        renderers = [
            structlog.processors.ExceptionRenderer(
                # Local variables may hold a password or a rider.
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    else:
        renderers = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _to_json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()
