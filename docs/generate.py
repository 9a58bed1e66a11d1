"""Writes the pages that are made from the code, so that they cannot drift from it.

`make docs-generated` runs it; `tests/test_documents.py` fails when a page is not what it writes.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path

import annotated_types
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from pricing import __version__
from pricing.metrics.api import Metrics
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.processor import new_processor_metrics
from pricing.metrics.reads import ReadMetrics
from pricing.metrics.registry import register
from pricing.metrics.spool import SpoolStatus
from pricing.wiring.openapi import document
from pricing.wiring.settings import PREFIX, Settings
from streaming import asyncapi

DOCS = Path(__file__).parent
NOTE = "<!-- Made from the code by docs/generate.py: do not edit, run `make docs-generated`. -->"


def pages() -> dict[Path, str]:
    """Every generated page: where it belongs, and what it must say."""
    operations = DOCS / "operations"
    return {
        operations / "configuration.md": configuration(),
        operations / "metrics.md": metrics(),
        DOCS / "openapi.json": document(),
        DOCS / "asyncapi.yaml": topics(),
    }


def configuration() -> str:
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    intro = (
        "Every setting is an environment variable. Durations carry their unit in the name. A wrong "
        "value stops the process at once, with exit code 2 and one line that names the setting. "
        "`equilibrium check-config` prints what is in force and where it came from; secrets are "
        "never printed. With `EQUILIBRIUM_PROFILE=development`, and only then, a `.env` file in "
        "the working directory is read too; the environment wins over it."
    )
    return _page(
        "Configuration", intro, _table(("variable", "value", "default", "what it does"), rows)
    )


def metrics() -> str:
    intro = (
        "In Prometheus' text form, at `GET /metrics`: of an API on its port, of a processor on "
        "`EQUILIBRIUM_PROCESSOR_PORT`. Labels come from closed sets; none names a zone, a driver "
        "or a rider. The usual metrics of a Python process (`process_*`, `python_*`) stand "
        "beside these."
    )
    api = Metrics().registry
    register(ModeMetrics, api, shares=dict)
    parts = {"API": api, "Processor": new_processor_metrics().registry}
    tables = [f"## {part}\n\n{_metrics_of(registry)}" for part, registry in parts.items()]
    return _page("Metrics", intro, "\n\n".join(tables))


def topics() -> str:
    note = NOTE.removeprefix("<!--").removesuffix("-->").strip()
    text = yaml.safe_dump(asyncapi.document(__version__), sort_keys=False, width=100)
    return f"# {note}\n{text}"


def _metrics_of(registry: CollectorRegistry) -> str:
    # prometheus-client tells a metric's labels in no public place before one is used.
    rows = []
    for collector in registry._collector_to_names:  # noqa: SLF001
        if not isinstance(collector, MetricWrapperBase | ReadMetrics | SpoolStatus):
            continue
        for metric in collector.describe():
            suffix = "_total" if metric.type == "counter" else ""
            teller = collector if isinstance(collector, MetricWrapperBase) else metric
            labels = ", ".join(f"`{label}`" for label in teller._labelnames)  # noqa: SLF001
            rows.append((f"`{metric.name}{suffix}`", metric.type, labels, metric.documentation))
    return _table(("metric", "kind", "labels", "meaning"), sorted(rows))


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    return (
        f"`{PREFIX}{name.upper()}`",
        " ".join(filter(None, [_kind(field.annotation), _limits(field.metadata)])),
        _default(field),
        field.description or "",
    )


def _kind(annotation: object) -> str:
    """What a person types: `number`, `true or false`, one of the choices."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return "list, comma-separated"
    if origin is typing.Annotated:
        return " ".join(filter(None, [_kind(arguments[0]), _limits(arguments[1:])]))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not types.NoneType)
    names = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
    names |= {Path: "path", SecretStr: "secret text"}
    return names[typing.cast("type", annotation)]


def _limits(metadata: Iterable[object]) -> str:
    low = high = ""
    for one in _flat(metadata):
        match one:
            case annotated_types.Ge(ge):
                low = f"≥ {_figure(ge)}"
            case annotated_types.Gt(gt):
                low = f"> {_figure(gt)}"
            case annotated_types.Le(le):
                high = f"≤ {_figure(le)}"
            case annotated_types.Lt(lt):
                high = f"< {_figure(lt)}"
    return ", ".join(filter(None, [low, high]))


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _page(title: str, intro: str, body: str) -> str:
    return f"{NOTE}\n\n# {title}\n\n{intro}\n\n{body}\n"


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
