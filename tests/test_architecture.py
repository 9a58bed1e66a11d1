"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pricing", "streaming", "fallback")
LINES_AT_MOST = 400
FUNCTION_LINES_AT_MOST = 40
"""Of a function without its docstring."""
FILES_AT_MOST = 14
"""In a room, `__init__` aside: what a stranger takes in at a look."""
LARGER_ROOMS = {
    "pricing/cli": (15, "one module a family of commands, and one for what it prints"),
}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "service"}
CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
EDGES = {
    "pricing/api/middleware.py": "times requests; nothing is decided by it",
    "pricing/clocks.py": "is the clock that wiring hands to everything else",
}
"""Modules that call a clock themselves, and why they may."""
PURE = (
    "pricing/surge/",
    "pricing/model.py",
    "pricing/reading/ladder.py",
    "streaming/events/event_types.py",
)
"""Here not even a default argument may name a clock."""


def _modules(*roots: str) -> list[Path]:
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


OWN = _modules(*PACKAGES)
ROOMS = sorted({path.parent for path in OWN})
Function = ast.FunctionDef | ast.AsyncFunctionDef
ALL = [*OWN, *_modules("tests", "benchmarks", "docs")]


def _dotted(node: ast.AST) -> str:
    """`datetime.datetime.now` → `datetime.now`: the last two names of an attribute."""
    if not isinstance(node, ast.Attribute):
        return ""
    owner = node.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return f"{name}.{node.attr}"


def _clock_calls(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func) in CLOCKS:
            yield node.lineno


def _clock_names(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        taken_out = isinstance(node, ast.ImportFrom) and node.module == "time"
        if taken_out or _dotted(node) in CLOCKS:
            yield getattr(node, "lineno", 0)


def test_import_contracts_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_only_edges_call_a_clock():
    """Time is an argument, or an injected `now`: a call of a clock belongs to an edge."""
    callers = {_relative(path) for path in OWN if any(_clock_calls(ast.parse(path.read_text())))}
    assert callers == EDGES.keys()


@pytest.mark.parametrize(
    "path", [path for path in OWN if _relative(path).startswith(PURE)], ids=_relative
)
def test_pure_module_names_no_clock(path):
    assert not list(_clock_names(ast.parse(path.read_text())))


def test_modules_are_named_and_sized_for_one_job():
    assert not [_relative(path) for path in ALL if path.stem in EMPTY_NAMES]
    assert not [
        _relative(path) for path in ALL if len(path.read_text().splitlines()) > LINES_AT_MOST
    ]


def test_modules_have_no_bare_except():
    bare = [
        f"{_relative(path)}:{node.lineno}"
        for path in ALL
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare


def test_functions_are_short():
    long = [
        f"{_relative(path)}: {node.name} has {_own_lines(node)} lines"
        for path in OWN
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Function) and _own_lines(node) > FUNCTION_LINES_AT_MOST
    ]
    assert not long


def _own_lines(function: Function) -> int:
    """Lines of the signature and of what it does, without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return _lines(function) - (_lines(docstring) if docstring else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("room", ROOMS, ids=_relative)
def test_room_says_what_lives_there_and_is_small(room):
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    files = [path.name for path in room.glob("*.py") if path.stem != "__init__"]
    most, _why = LARGER_ROOMS.get(_relative(room), (FILES_AT_MOST, ""))
    assert len(files) <= most, sorted(files)


def test_unit_tests_mirror_the_rooms():
    unit = ROOT / "tests/unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    rooms = {room.relative_to(ROOT) for room in ROOMS}
    assert sorted(folders - rooms - {Path()}) == []


def test_tests_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_test_functions_stand_outside_classes():
    classes = [
        f"{_relative(path)}: {node.name}"
        for path in _modules("tests")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
    ]
    assert not classes
