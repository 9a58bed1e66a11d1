"""JSON schemas of the events' payloads.

`python -m streaming.events.schemas DIRECTORY` writes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from streaming.events.codec import FAMILIES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_files() -> dict[str, bytes]:
    """By file name (`equilibrium.ride_request.v1.json`), the schema that belongs in it.

    What a reader of this release accepts: fields that are not named are ignored.
    """
    files = {}
    for name, family in FAMILIES.items():
        event_type = f"{name}.v{family.version}"
        schema = {
            "$schema": _DIALECT,
            "$id": f"urn:equilibrium:schema:{event_type}",
            **family.model.model_json_schema(mode="validation"),
            "title": event_type,
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        files[f"{event_type}.json"] = orjson.dumps(schema, option=options)
    return files


def write_schemas(directory: Path) -> None:
    """Write every schema; files of older versions stay."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (directory / name).write_bytes(content)


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
