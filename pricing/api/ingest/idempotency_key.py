"""Requests that a client may repeat: the same `Idempotency-Key` gets the first answer again."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pricing.api.http.problems import INVALID_KEY, KEY_REUSED, Problem
from pricing.writing.idempotency import IdempotentAnswers, KeyReused, Work

HEADER = "idempotency-key"
PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by the client, one per request that it may repeat.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


async def once(
    answers: IdempotentAnswers, key: str, *, scope: str, meaning: bytes, work: Work
) -> bytes:
    """The answer of the first work with this key within `scope`. Raises `Problem`.

    `meaning`: what the request says, and not its bytes: a client may order its fields anew.
    """
    if not _KEY.fullmatch(key):
        raise Problem(INVALID_KEY, "The key must be 1 to 255 visible ASCII characters.")
    try:
        return await answers.once(f"{scope} {key}", hashlib.sha256(meaning).digest(), work)
    except KeyReused:
        raise Problem(KEY_REUSED, "Send another key, or the body of the first time.") from None
