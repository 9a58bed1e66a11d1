"""The committed document against the app: requests made from it, answers held to it."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from hypothesis import settings
from schemathesis.checks import positive_data_acceptance

from pricing.api.app import ApiConfig
from tests.support.api import World, zone
from tests.support.zone_states import zone_state

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"

# The zone of the document's examples, so that they are answered and not refused.
_world = World(ApiConfig(access_log=False), zones=[zone("161")])
_world.cache.put(zone_state("161"))
schema = schemathesis.openapi.from_path(DOCUMENT)
schema.app = _world.app


@schema.parametrize()
@settings(max_examples=50)
def test_every_answer_is_a_documented_one(case):
    # A zone that exists is more than a schema can ask for, so refusing right data is right.
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
