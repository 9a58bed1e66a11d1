"""The committed schemas are those of the code."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import orjson
import pytest

from streaming.events.schemas import schema_files, write_schemas

DIRECTORY = Path(__file__).parents[4] / "docs" / "schemas"
FIXTURES = Path(__file__).with_name("fixtures")


def test_committed_schemas_are_current():
    committed = {name: (DIRECTORY / name).read_bytes() for name in schema_files()}
    assert committed == schema_files(), "run: python -m streaming.events.schemas docs/schemas"


def test_write_keeps_schemas_of_older_versions(tmp_path):
    old = tmp_path / "equilibrium.ride_request.v0.json"
    old.write_text("{}")
    write_schemas(tmp_path)
    assert old.exists()
    assert {path.name for path in tmp_path.iterdir()} == schema_files().keys() | {old.name}


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_schema_takes_what_the_codec_takes(path):
    schema = orjson.loads((DIRECTORY / f"equilibrium.{path.name}").read_bytes())
    validator = jsonschema_rs.validator_for(schema)
    payload = orjson.loads(path.read_bytes())
    assert validator.is_valid({**payload, "unknown": 1})
    an_id = "city_id" if "city_id" in schema["properties"] else "instance"
    assert not validator.is_valid({**payload, an_id: ""})
