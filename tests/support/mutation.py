"""A small mutator: changes one place of a module in the running process, and says what it changed.

Comparisons move by one step or turn round, numbers by one, sums and differences swap, sides of an
expression, operands of `and` and `or`, arguments, statements and returned values go away,
conditions hold always or never. A mutant is put in place by giving a function another code
object, so that whoever imported it meets the change; no module is loaded twice.
"""

from __future__ import annotations
import __future__

import ast
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
_FUNCTIONS = {"min": "max", "max": "min", "median": "max", "ceil": "floor", "floor": "ceil"}

Change = Callable[[ast.AST], None]


@dataclass(frozen=True)
class Mutant:
    """A function that differs in one place."""

    name: str
    """`file.py: function: a < b: Lt becomes LtE`: where, and what is done to it."""
    in_place: Callable[[], AbstractContextManager[None]]
    """While open, the module is changed."""


class Loops(Exception):
    """A mutant that runs for ever is noticed too."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise `Loops` in the block once this process has worked for so long on it."""

    def stop(*_: object) -> None:
        raise Loops

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def is_noticed(mutant: Mutant, check: Callable[[], None], *, loops_after_s: float = 5) -> bool:
    """Whether `check` raises over the mutant."""
    with mutant.in_place():
        try:
            with no_longer_than(loops_after_s):
                check()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever goes wrong, it was noticed
            return True
    return False


def mutants(module: ModuleType) -> list[Mutant]:
    """Every mutant of a module's functions and numbers. Docstrings and types are left alone."""
    path = Path(module.__file__ or "")
    text = path.read_text()
    source = _Source(text)
    seen: Counter[str] = Counter()
    found = []
    for where, change in _all_changes(module, ast.parse(text), source):
        name = f"{path.name}: {where}"
        seen[name] += 1
        found.append(Mutant(name if seen[name] == 1 else f"{name} ({seen[name]})", change))
    return found


def _all_changes(
    module: ModuleType, tree: ast.Module, source: _Source
) -> Iterator[tuple[str, Callable[[], AbstractContextManager[None]]]]:
    for statement in tree.body:
        yield from _constants(module, statement)
    for outer, function in _functions(tree):
        target = _target(module, outer, function.name)
        if target is None:
            continue
        for statement in function.body:
            for parent, node in _with_parents(statement):
                # A number alone could stand anywhere: told with what it is a part of.
                shown = parent if isinstance(node, ast.Constant) else node
                if isinstance(node, ast.If | ast.IfExp):
                    shown = node.test
                for what, change in _changes(node):
                    where = f"{function.name}: {source.piece(shown)}: {what}"
                    yield where, partial(_changed_code, target, outer, function, node, change)


def _constants(
    module: ModuleType, statement: ast.stmt
) -> Iterator[tuple[str, Callable[[], AbstractContextManager[None]]]]:
    """The module's own numbers, one step up and down."""
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return
    name = statement.targets[0].id
    value = getattr(module, name)
    if type(value) in (int, float):
        for step in (1, -1):
            yield f"{name} becomes {value + step}", partial(_set, module, name, value + step)


@contextmanager
def _set(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _functions(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            yield None, statement
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, ast.FunctionDef):
                    yield statement, inner


def _target(module: ModuleType, outer: ast.ClassDef | None, name: str) -> FunctionType | None:
    """The function as it lives in the module; None for one without a body of its own."""
    found = vars(module)[name] if outer is None else vars(vars(module)[outer.name])[name]
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    return found if isinstance(found, FunctionType) else None


@contextmanager
def _changed_code(
    target: FunctionType,
    outer: ast.ClassDef | None,
    function: ast.FunctionDef,
    node: ast.AST,
    change: Change,
) -> Iterator[None]:
    kind, fields = (
        node.__class__,
        {
            name: list(value) if isinstance(value, list) else value
            for name, value in node.__dict__.items()
        },
    )
    change(node)
    try:
        code = _compiled(outer, function, target.__code__.co_freevars)
    finally:
        node.__class__ = kind  # type: ignore[assignment]
        node.__dict__.clear()
        node.__dict__.update(fields)
    before, target.__code__ = target.__code__, code
    try:
        yield
    finally:
        target.__code__ = before


def _compiled(
    outer: ast.ClassDef | None, function: ast.FunctionDef, keeps: tuple[str, ...]
) -> CodeType:
    """The function's code; within a class of its name, for those that say `super()`."""
    bare = ast.FunctionDef(**{**dict(ast.iter_fields(function)), "decorator_list": []})
    body: ast.stmt = bare
    if outer is not None:
        # Also where the mutant does not say `super()` any more: the cell has to stay.
        if "__class__" in keeps:
            bare.body = [*bare.body, ast.Expr(ast.Name("__class__", ast.Load()))]
        body = ast.ClassDef(outer.name, [], [], [bare], [])
        body.type_params = []
    module = ast.fix_missing_locations(ast.Module([body], []))
    flags = __future__.annotations.compiler_flag
    code = compile(module, "mutant", "exec", flags=flags, dont_inherit=True)
    wanted = function.name if outer is None else f"{outer.name}.{function.name}"
    return next(_codes(code, wanted))


def _codes(code: CodeType, wanted: str) -> Iterator[CodeType]:
    if code.co_qualname == wanted:
        yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant, wanted)


class _Source:
    """A module's text by the places of its nodes."""

    def __init__(self, text: str) -> None:
        self._lines = [line.encode() for line in text.splitlines(keepends=True)]

    def piece(self, node: ast.AST) -> str:
        """A node's text in one line."""
        with suppress(AttributeError):  # an operator has no place
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            lines = self._lines[first : last + 1]
            lines[-1] = lines[-1][: node.end_col_offset]
            lines[0] = lines[0][node.col_offset :]
            return " ".join(b"".join(lines).decode().split())
        return ""


def _with_parents(node: ast.AST, parent: ast.AST | None = None) -> Iterator[tuple]:
    yield (parent or node), node
    for child in ast.iter_child_nodes(node):
        yield from _with_parents(child, node)


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be changed at a node: words, and a function that does it in place."""
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        other = _ARITHMETIC[type(node.op)]
        yield f"{_word(node.op)} becomes {other.__name__}", lambda it: setattr(it, "op", other())
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{_word(node.op)} becomes {other.__name__}", lambda it: setattr(it, "op", other())
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for step in (1, -1):
            value = node.value + step
            yield f"{node.value} becomes {value}", lambda it, v=value: setattr(it, "value", v)
    elif isinstance(node, ast.If | ast.IfExp):
        for word, holds in (("always", True), ("never", False)):
            yield f"holds {word}", lambda it, h=holds: setattr(it, "test", ast.Constant(h))
    elif isinstance(node, ast.Call) and _called(node) in _FUNCTIONS:
        other_name = _FUNCTIONS[_called(node)]
        yield f"becomes {other_name}", lambda it: _rename(it.func, other_name)
    yield from _losses(node)


def _word(operator: ast.AST) -> str:
    return type(operator).__name__


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "")


def _rename(function: ast.AST, name: str) -> None:
    if isinstance(function, ast.Name):
        function.id = name
    elif isinstance(function, ast.Attribute):
        function.attr = name


def _comparisons(node: ast.Compare) -> Iterator[tuple[str, Change]]:
    for at, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            yield (
                f"{_word(operator)} becomes {other.__name__}",
                lambda it, at=at, other=other: it.ops.__setitem__(at, other()),
            )


def _losses(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What goes away: statements, values, sides, operands, arguments."""
    if isinstance(node, ast.Return) and not _is_none(node.value):
        yield "returned value goes away", lambda it: setattr(it, "value", ast.Constant(None))
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Delete) and not is_docstring:
        yield "statement goes away", _drop
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"{_word(node.op)} goes away", lambda it: _become(it, it.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield "left side alone", lambda it: _become(it, it.left)
        yield "right side alone", lambda it: _become(it, it.right)
    if isinstance(node, ast.BoolOp):
        for at in range(len(node.values)):
            yield f"operand {at + 1} goes away", lambda it, at=at: _lose(it, "values", at)
    if isinstance(node, ast.Call):
        yield from _arguments(node)


def _arguments(node: ast.Call) -> Iterator[tuple[str, Change]]:
    for at, keyword in enumerate(node.keywords):
        yield f"{keyword.arg} goes away", lambda it, at=at: _lose(it, "keywords", at)
    if _called(node) in ("min", "max") and len(node.args) > 1:
        for at in range(len(node.args)):
            yield f"argument {at + 1} alone", lambda it, at=at: _become(it, it.args[at])


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _lose(it: ast.AST, name: str, at: int) -> None:
    items = getattr(it, name)
    left = [*items[:at], *items[at + 1 :]]
    if isinstance(it, ast.BoolOp) and len(left) == 1:
        _become(it, left[0])
    else:
        setattr(it, name, left)


def _become(it: ast.AST, other: ast.AST) -> None:
    """Turn a node into another one, in place."""
    it.__class__ = other.__class__  # type: ignore[assignment]
    it.__dict__ = dict(other.__dict__)


def _drop(it: ast.AST) -> None:
    """Make a statement do nothing, in place."""
    it.__class__ = ast.Pass  # type: ignore[assignment]
    it.__dict__ = {
        name: value
        for name, value in it.__dict__.items()
        if name.endswith(("lineno", "col_offset"))
    }


def survivors(
    module: ModuleType, check: Callable[[], None], equivalent: Mapping[str, str]
) -> list[str]:
    """Mutants that `check` does not notice, but for those that nothing can tell from the original.

    `equivalent`: by name, why that is so; one that is no longer made is returned too.
    """
    every = mutants(module)
    prefix = f"{Path(module.__file__ or '').name}: "
    known = {name for name in equivalent if name.startswith(prefix)}
    stale = known - {mutant.name for mutant in every}
    asked = [mutant for mutant in every if mutant.name not in known]
    return sorted(stale) + [mutant.name for mutant in asked if not is_noticed(mutant, check)]
