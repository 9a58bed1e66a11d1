"""The bases of the HTTP API's models, and the words that several of them use."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ModeWord = Literal["normal", "degraded", "emergency"]
LevelWord = Literal["normal", "minor", "moderate", "severe", "critical"]
HealthWord = Literal["healthy", "degraded", "unhealthy"]


class Input(BaseModel):
    """A body. Refuses unknown fields, so that a typo is no silent default; converts nothing."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Query(BaseModel):
    """A query string. As a body, but that it converts: everything comes as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """An answer. Endpoints write JSON themselves; tests hold it to these models."""

    model_config = ConfigDict(frozen=True, extra="forbid")
