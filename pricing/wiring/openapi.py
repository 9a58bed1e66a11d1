"""Writes the OpenAPI document of the HTTP API, out of the app itself."""

from __future__ import annotations

import json

from pricing.api.app import create_app
from pricing.wiring.in_memory import in_memory_dependencies
from pricing.zones.catalogue import Catalogue


def document() -> str:
    """The document of this release, in the form in which it is committed."""
    app = create_app(in_memory_dependencies(Catalogue(())))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
