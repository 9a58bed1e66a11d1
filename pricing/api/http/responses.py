"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

# What changes by the second, or is for one caller alone, must come from no cache.
NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store"}


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer with `content` as JSON."""
    return Response(orjson.dumps(content), status, headers=headers, media_type="application/json")
