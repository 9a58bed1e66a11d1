"""The parsers of statements and migrations, and what the shipped files hold."""

from __future__ import annotations

import pytest

from pricing.errors import MigrationError
from pricing.stores.migrate import Applied, MigrationReport, pending
from pricing.stores.sql import (
    Migration,
    load_migrations,
    load_queries,
    parse_migrations,
    parse_queries,
)

STEPS = tuple(Migration(number, f"step_{number}", f"SELECT {number}") for number in (1, 2, 3))


def _applied(*steps: Migration) -> list[Applied]:
    return [Applied(step.version, step.name, step.checksum) for step in steps]


def test_statements_are_split_by_name_without_comments():
    text = "-- head\n\n-- name: one\n-- why\nSELECT 1 -- inline\n\n-- name: two\nSELECT\n  2\n"
    assert parse_queries(text) == {"one": "SELECT 1 -- inline", "two": "SELECT\n  2"}


@pytest.mark.parametrize("text", ["-- name: a\nX\n-- name: a\nY", "-- name: a\n-- only words\n"])
def test_statement_twice_or_empty_is_refused(text):
    with pytest.raises(ValueError, match="'a'"):
        parse_queries(text)


def test_shipped_statements_are_there():
    assert {"read_states", "insert_snapshot", "advance_city"} <= set(load_queries())


def test_migrations_are_ordered_by_number():
    steps = parse_migrations([("0002_b.sql", "B"), ("0001_a.sql", "A")])
    assert [(str(step), step.sql) for step in steps] == [("0001_a", "A"), ("0002_b", "B")]


@pytest.mark.parametrize(
    "names", [["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["0001_a.sql", "0003_b.sql"]]
)
def test_migrations_with_gap_or_repeat_are_refused(names):
    with pytest.raises(ValueError, match="must count"):
        parse_migrations((name, "") for name in names)


@pytest.mark.parametrize("name", ["1_a.sql", "0001-a.sql", "0001_A.sql", "0001_a.sql.orig", "x"])
def test_migration_of_another_name_is_refused(name):
    with pytest.raises(ValueError, match="is no migration"):
        parse_migrations([(name, "")])


def test_checksum_ignores_line_ends_and_nothing_else():
    plain = Migration(1, "a", "SELECT 1;\nSELECT 2;\n")
    assert Migration(1, "a", "SELECT 1;\r\nSELECT 2;\r\n").checksum == plain.checksum
    assert Migration(1, "a", "SELECT 1;\nSELECT 3;\n").checksum != plain.checksum


def test_shipped_migrations_count_from_one():
    assert [step.version for step in load_migrations()][:3] == [1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_pending_is_what_has_not_run(count):
    assert pending(STEPS, _applied(*STEPS[:count])) == STEPS[count:]


@pytest.mark.parametrize(
    ("applied", "words"),
    [
        ([Applied(1, "step_1", "other")], "0001_step_1 was edited"),
        (_applied(STEPS[0], STEPS[2]), "0002_step_2 is missing"),
        ([*_applied(*STEPS), Applied(4, "new", "x")], "0004_new, which this release does not know"),
    ],
)
def test_unknown_past_is_refused(applied, words):
    with pytest.raises(MigrationError, match=words):
        pending(STEPS, applied)


@pytest.mark.parametrize(
    ("applied", "text"),
    [
        (("0001_a",), "schema at version 1 (0001_a); zones: 5 changed, 2 retired"),
        ((), "schema at version 1 (nothing to do); zones: 5 changed, 2 retired"),
    ],
)
def test_report_reads_as_one_line(applied, text):
    report = MigrationReport(applied=applied, schema_version=1, zones_changed=5, zones_retired=2)
    assert str(report) == text
