"""Cursors: where a page ended, as a text that a client hands back and need not read."""

from __future__ import annotations

import base64
import binascii

from pricing.api.http.problems import FieldError, Problem, invalid_input


def encode_cursor(position: str) -> str:
    """The cursor of a position.

    A position names the last entry of a page and never counts entries: what comes or goes
    between two pages then neither repeats an entry nor skips one.
    """
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The position of a cursor. Raises `Problem` where it is no cursor at all.

    Whether it is one of this very list is for the caller to check; see `bad_cursor`.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise bad_cursor() from None


def bad_cursor() -> Problem:
    """The 422 for a cursor that this list never gave."""
    return invalid_input([FieldError("/cursor", "is not one that a page gave as `next`")])
