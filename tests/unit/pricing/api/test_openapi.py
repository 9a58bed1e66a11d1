from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from pricing.api.health import probes as health_endpoints
from pricing.api.http.problems import KINDS
from pricing.api.http.reference_page import reference_page
from pricing.api.prices import endpoint as prices
from pricing.api.prices import zones
from pricing.api.schemas import clients, operators
from pricing.wiring.openapi import document
from tests.support.api import World

COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"
OPERATIONS = [
    (path, method, operation)
    for path, methods in json.loads(COMMITTED.read_text())["paths"].items()
    for method, operation in methods.items()
]


def test_committed_document_is_the_codes():
    assert COMMITTED.read_text() == document(), "run `make docs-generated`"


async def test_app_serves_the_document():
    async with World().client() as client:
        served = await client.get("/openapi.json")
    assert served.json() == json.loads(COMMITTED.read_text())


async def test_page_of_the_document_tells_all_of_it_from_this_host_alone():
    async with World().client() as client:
        page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert all(f'id="{operation["operationId"]}"' in page.text for _, _, operation in OPERATIONS)
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "//" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', page.text))


def test_links_of_the_page_lead_to_its_parts():
    page = reference_page(json.loads(COMMITTED.read_text()))
    targets = set(re.findall(r'href="#([^"]*)"', page))
    assert targets <= set(re.findall(r'id="([^"]*)"', page))


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)
def test_operation_is_described_and_names_its_errors(path, method, operation):
    assert operation["operationId"][0].islower()
    assert len(operation["tags"]) == 1
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        if status.startswith(("4", "5")) and path != "/health":
            assert list(response["content"]) == ["application/problem+json"], (path, method)
    assert "500" in operation["responses"]


def test_operation_ids_are_unique():
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_every_kind_of_problem_is_listed_and_of_its_own_name():
    description = json.loads(COMMITTED.read_text())["info"]["description"]
    assert all(kind.type in description for kind in KINDS)
    assert len({kind.type for kind in KINDS}) == len(KINDS)


def test_references_lead_somewhere():
    whole = json.loads(COMMITTED.read_text())
    named = set(whole["components"]["schemas"])
    used = {text.split('"')[0] for text in COMMITTED.read_text().split("#/components/schemas/")[1:]}
    assert used <= named


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (clients.PriceAnswer, prices._EXAMPLE),
        (clients.ZoneOut, zones._EXAMPLE),
        (clients.Health, health_endpoints._EXAMPLE),
    ],
)
def test_example_is_one_of_its_model(model, example):
    model.model_validate_json(json.dumps(example))


def test_examples_of_bodies_are_taken_by_their_models():
    bodies = [
        (path, operation["requestBody"]["content"]["application/json"])
        for path, _, operation in OPERATIONS
        if "requestBody" in operation
    ]
    models = {
        "/api/v1/prices": clients.PRICE_BATCH,
        "/api/v1/events/ride-requests": clients.RIDE_REQUEST,
        "/api/v1/events/driver-status": clients.DRIVER_STATUS,
        "/admin/reliability/degradation/set-level": operators.SET_LEVEL,
        "/admin/reliability/circuit-breakers/{service}/force-open": operators.FORCE_OPEN,
    }
    assert {path for path, _ in bodies} == models.keys()
    for path, body in bodies:
        example = body.get("example") or body["examples"]["one"]["value"]
        models[path].validate_json(json.dumps(example))
