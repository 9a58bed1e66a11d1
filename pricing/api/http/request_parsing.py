"""From a request to a checked value, or to the problem that says what is wrong with it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request

from pricing.api.http.problems import UNSUPPORTED_MEDIA_TYPE, Problem, from_validation

_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)

ZONE_ID: dict[str, Any] = {
    "name": "zone_id",
    "in": "path",
    "required": True,
    "description": "As in the list of zones.",
    "schema": {"type": "string"},
    "example": "161",
}
"""The OpenAPI parameter of a zone in the path."""


async def json_text(request: Request) -> bytes:
    """The body of a request that says it is JSON, or says nothing. Raises `Problem`."""
    media_type = request.headers.get("content-type", "application/json")
    media_type = media_type.partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "Send the body with Content-Type application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            "Send the body without a content coding.",
            headers={"Accept-Encoding": "identity"},
        )
    return await request.body()


def parse(adapter: TypeAdapter[_T], text: bytes) -> _T:
    """The value that a JSON text stands for. Raises `Problem`."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise from_validation(error) from None


def parse_query(model: type[_Model], request: Request) -> _Model:
    """The query string as a model; of a repeated name the last one counts. Raises `Problem`."""
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise from_validation(error) from None


def query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """The OpenAPI parameters of a query model."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": {key: value for key, value in field.items() if key != "description"},
        }
        for name, field in schema["properties"].items()
    ]
