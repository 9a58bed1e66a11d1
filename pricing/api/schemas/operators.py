"""The JSON of the system's and the operators' endpoints, as models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from fallback.mode.override import DEFAULT_S, LEAST_REASON, LONGEST_S
from pricing.api.schemas.base import Input, LevelWord, ModeWord, Output, Query

Reason = Annotated[
    str, Field(min_length=LEAST_REASON, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_LIMIT = "How many entries a page has at most."
_CURSOR = "`next` of the page before."
_EXPIRES = "Seconds until it ends by itself; below the computed level at most 900."


class SetLevel(Input):
    """An operator's hand on the mode."""

    kind: Literal["floor", "pin", "ceiling"] = Field(
        "floor", description="At least, exactly, or at most this level."
    )
    level: LevelWord
    reason: Reason
    expires_in_s: float = Field(DEFAULT_S, gt=0, le=LONGEST_S, description=_EXPIRES)
    force: bool = Field(False, description="Needed below the level that the inputs say.")


class SetLevelQuery(Query):
    """The short form: a floor, by query string."""

    level: LevelWord | None = Field(None, description="Instead of a body: a floor at this level.")
    reason: Reason | None = Field(None, description="Why; needed beside `level`.")
    expires_in: float | None = Field(None, gt=0, le=LONGEST_S, description=_EXPIRES)


class ForceOpen(Input):
    """Hold a circuit breaker open."""

    reason: Reason
    expires_in_s: float = Field(DEFAULT_S, gt=0, le=LONGEST_S, description=_EXPIRES)


class ModeQuery(Query):
    fleet: Literal["true", "false", "1", "0"] = Field(
        "false", description="Also what every other instance said last."
    )


class PageQuery(Query):
    limit: int = Field(100, ge=1, le=500, description=_LIMIT)
    cursor: str | None = Field(None, min_length=1, max_length=200, description=_CURSOR)


class DeadLettersQuery(Query):
    limit: int = Field(100, ge=1, le=1_000, description=_LIMIT)
    cursor: str | None = Field(None, min_length=1, max_length=200, description=_CURSOR)


class ReportQuery(Query):
    window: int = Field(86_400, ge=60, le=604_800, description="Seconds back from now.")


class CauseBody(Output):
    """An input that is not normal."""

    input: str
    value: Any
    threshold: Any
    level: LevelWord


class ModeBody(Output):
    """The system mode of this instance."""

    mode: ModeWord
    level: LevelWord
    computed_level: LevelWord = Field(description="What the inputs say, override or not.")
    since: str
    causes: list[CauseBody] = Field(description="The worst first; empty while recovering.")
    inputs: dict[str, Any] = Field(
        description="Every input: value, threshold, level, holds, blind."
    )
    override: dict[str, Any] | None
    backlog: dict[str, Any] = Field(description="What waits for Kafka.")
    dependencies: dict[str, Any]
    recovering: bool = Field(description="The inputs are better than the level: it goes down soon.")
    flapping: bool
    read_only: bool = Field(description="Writes to the database are refused.")
    instance: str
    timestamp: str
    fleet: dict[str, Any] | None = None


class ModeAnswer(Output):
    """The mode, its causes and what stands behind it."""

    data: ModeBody


class OverrideAnswer(Output):
    """The override as it holds now; null: none holds."""

    data: dict[str, Any] | None
    mode: ModeWord
    level: LevelWord
    durable: bool = Field(description="It stays so after a restart.")


class Listing(Output):
    """Entries, the newest first."""

    data: list[dict[str, Any]]
    next: str | None
    source: Literal["database", "memory"]


class Breakers(Output):
    """The circuit breakers of this instance."""

    data: list[dict[str, Any]]


class OneBreaker(Output):
    """A circuit breaker as it is now."""

    data: dict[str, Any]


class Letters(Output):
    """Dead letters of this instance, the oldest first."""

    data: list[dict[str, Any]]
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


class LetterOutcome(Output):
    """What was done with a dead letter."""

    data: dict[str, Any]


class Report(Output):
    """How reliable this instance was."""

    data: dict[str, Any]


SET_LEVEL = TypeAdapter(SetLevel)
FORCE_OPEN = TypeAdapter(ForceOpen)
