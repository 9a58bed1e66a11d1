"""The SQL of the application: statements by name, migrations in order. Talks to no database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_STATEMENT = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema, as its file has it."""

    version: int
    name: str
    """The words of the file name: `0001_zones.sql` is `zones`."""
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex; line ends do not matter."""
        text = "\n".join(self.sql.splitlines())
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04d}_{self.name}"


@cache
def load_queries() -> Mapping[str, str]:
    """Every statement of `queries.sql` by its name."""
    return MappingProxyType(parse_queries(files(__name__).joinpath("queries.sql").read_text()))


def parse_queries(text: str) -> dict[str, str]:
    """Split at `-- name: x` lines; comment lines are dropped.

    Raises `ValueError` for a name that stands twice and for one without a statement.
    """
    parts = _STATEMENT.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        statement = "\n".join(lines).strip()
        if name in queries or not statement:
            raise ValueError(f"statement {name!r} stands twice or is empty")
        queries[name] = statement
    return queries


def load_migrations() -> tuple[Migration, ...]:
    """The migrations of this release, first to last."""
    folder = files(__name__).joinpath("migrations")
    return parse_migrations((file.name, file.read_text()) for file in folder.iterdir())


def parse_migrations(named: Iterable[tuple[str, str]]) -> tuple[Migration, ...]:
    """Order (file name, text) pairs by number.

    Raises `ValueError` for a name that is not `0001_words.sql`, and for a gap or a number twice.
    """
    migrations = []
    for file_name, text in named:
        match = _MIGRATION.fullmatch(file_name)
        if match is None:
            raise ValueError(f"{file_name!r} is no migration; name it like 0001_words.sql")
        migrations.append(Migration(int(match[1]), match[2], text))
    migrations.sort(key=lambda migration: migration.version)
    versions = [migration.version for migration in migrations]
    if versions != list(range(1, len(versions) + 1)):
        raise ValueError(f"migrations must count 1, 2, 3 …, not {versions}")
    return tuple(migrations)
