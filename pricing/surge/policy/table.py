"""Reads the tables of a policy file; each refusal names the key and the value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from pricing.errors import PolicyError

GREATEST_NUMBER = 1_000
"""Keeps every intermediate of the pricing below 2**63, for engines without big integers."""

_MICROS = Decimal("0.000001")


class PolicyTable:
    """One table of the file, with all its keys known and those that it needs present.

    `path` is the dotted key of the table, empty for the file itself.

    Raises:
        PolicyError: not a table, an unknown key, or a missing one. So does every method,
            for a value that is not what the caller asks for.
    """

    def __init__(
        self, source: str, path: str, value: Any, *, keys: Sequence[str], optional: Sequence[str]
    ) -> None:
        self._source = source
        self._path = path
        if not isinstance(value, dict):
            raise PolicyError(source, path, f"must be a table, got {_shown(value)}")
        self._values = value
        for key in value:
            self.require(key in keys or key in optional, key, "unknown key")
        for key in keys:
            self.require(key in value, key, "is missing")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def require(self, is_right: bool, key: str, reason: str) -> None:
        """Refuse the file unless `is_right`; `key` is of this table, or empty for the table."""
        if not is_right:
            raise PolicyError(self._source, self.name_of(key), reason)

    def name_of(self, key: str) -> str:
        """The dotted path of a key of this table."""
        return ".".join(part for part in (self._path, key) if part)

    def table(self, key: str, *, keys: Sequence[str], optional: Sequence[str] = ()) -> PolicyTable:
        return PolicyTable(
            self._source, self.name_of(key), self._values[key], keys=keys, optional=optional
        )

    def tables(
        self, key: str, *, keys: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, PolicyTable]]:
        """The tables within a table whose keys are free names."""
        names = self._values[key]
        within = self.table(key, keys=(), optional=tuple(names) if isinstance(names, dict) else ())
        for name in names:
            yield name, within.table(name, keys=keys, optional=optional)

    def micro(self, key: str) -> int:
        """A number in millionths."""
        return self._micro(self._values[key], key)

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self._values[key]
        micro = self._micro(value, key)
        self.require(micro % 1_000_000 == 0, key, f"must be a whole number, got {value}")
        return micro // 1_000_000

    def points(self, key: str) -> list[tuple[int, int]]:
        """A list of pairs of numbers, in millionths."""
        value = self._values[key]
        is_list = isinstance(value, list) and len(value) > 0
        self.require(is_list, key, f"must be a list of pairs of numbers, got {_shown(value)}")
        points = []
        for index, pair in enumerate(value):
            name = f"{key}[{index}]"
            is_pair = isinstance(pair, list) and len(pair) == 2
            self.require(is_pair, name, f"must be a pair of numbers, got {_shown(pair)}")
            points.append((self._micro(pair[0], name), self._micro(pair[1], name)))
        return points

    def flag(self, key: str) -> bool:
        """True or false; false where the key is absent."""
        value = self._values.get(key, False)
        self.require(isinstance(value, bool), key, f"must be true or false, got {_shown(value)}")
        return bool(value)

    def text(self, key: str) -> str:
        value = self._values[key]
        self.require(isinstance(value, str), key, f"must be a string, got {_shown(value)}")
        return str(value)

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """A string that a pattern matches as a whole."""
        value = self.text(key)
        fits = pattern.fullmatch(value) is not None
        self.require(fits, key, f"{value!r} does not match {pattern.pattern}")
        return value

    def _micro(self, value: Any, key: str) -> int:
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        self.require(is_number, key, f"must be a number, got {_shown(value)}")
        self.require(Decimal(value).is_finite(), key, f"must be finite, got {value}")
        self.require(value >= 0, key, f"must not be negative, got {value}")
        self.require(value <= GREATEST_NUMBER, key, f"must be <= {GREATEST_NUMBER}, got {value}")
        exact = value == Decimal(value).quantize(_MICROS)
        self.require(exact, key, f"has more than 6 decimals: {value}")
        return to_micro(value)


def to_micro(value: int | Decimal) -> int:
    """Millionths of a number that has no more than six decimals."""
    return int(Decimal(value).quantize(_MICROS).scaleb(6))


def _shown(value: Any) -> str:
    """A value as the file would write it, or what kind of thing it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"
