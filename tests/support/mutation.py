"""A small mutator: changes a module's source in one place, and says what it changed.

Comparisons move by one step or turn round, numbers by one, sums and differences swap, `and` and
`or` swap, conditions turn round, statements and returned values go away.
"""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

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


@dataclass(frozen=True)
class Mutant:
    """A module that differs in one place."""

    name: str
    """`a < b: Lt becomes LtE`: the piece of source, and what is done to it."""
    tree: ast.Module

    def load(self, **replaced: object) -> ModuleType:
        """Run the module; `replaced` are names that it should find changed."""
        module = ModuleType(f"mutant_{id(self)}")
        sys.modules[module.__name__] = module  # dataclasses look their module up
        try:
            exec(compile(self.tree, self.name, "exec"), module.__dict__)  # noqa: S102 - our own source
        finally:
            del sys.modules[module.__name__]
        module.__dict__.update(replaced)
        return module


def mutants(source: str, file: str) -> Iterator[Mutant]:
    """Every mutant of a module's functions. Docstrings, imports and types are left alone."""
    tree = ast.parse(source)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for parent, node in _with_parents(statement):
                # A number alone could stand anywhere: told with what it is a part of.
                shown = parent if isinstance(node, ast.Constant) else node
                piece = " ".join((ast.get_source_segment(source, shown) or "").split())
                for what, change in _changes(node):
                    yield _mutant(tree, node, change, f"{function.name}: {piece}: {what}", file)


def _with_parents(node: ast.AST, parent: ast.AST | None = None) -> Iterator[tuple]:
    yield (parent or node), node
    for child in ast.iter_child_nodes(node):
        yield from _with_parents(child, node)


def _mutant(tree, node, change, name, file):
    changed = copy.deepcopy(tree)
    for original, twin in zip(ast.walk(tree), ast.walk(changed), strict=True):
        if original is node:
            change(twin)
            break
    ast.fix_missing_locations(changed)
    return Mutant(f"{file}: {name}", changed)


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """What can be changed at a node: words, and a function that does it to the node's twin."""
    if isinstance(node, ast.Compare):
        yield from _comparisons(node)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        other = _ARITHMETIC[type(node.op)]
        yield (
            f"{type(node.op).__name__} becomes {other.__name__}",
            lambda twin: setattr(twin, "op", other()),
        )
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield (
            f"{type(node.op).__name__} becomes {other.__name__}",
            lambda twin: setattr(twin, "op", other()),
        )
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for step in (1, -1):
            value = node.value + step
            yield f"{node.value} becomes {value}", lambda twin, v=value: setattr(twin, "value", v)
    elif isinstance(node, ast.If | ast.IfExp):
        yield "condition turns round", _turn_round
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not goes away", lambda twin: setattr(twin, "op", ast.UAdd())
    yield from _losses(node)


def _comparisons(node):
    for at, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            yield (
                f"{type(operator).__name__} becomes {other.__name__}",
                lambda twin, at=at, other=other: twin.ops.__setitem__(at, other()),
            )


def _turn_round(twin):
    twin.test = ast.UnaryOp(ast.Not(), twin.test)


def _losses(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Statements and values that go away."""
    if isinstance(node, ast.Return) and not _is_none(node.value):
        yield "returned value goes away", lambda twin: setattr(twin, "value", ast.Constant(None))
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Delete) and not is_docstring:
        yield "statement goes away", _drop


def _is_none(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _drop(twin):
    """Make a statement do nothing, in place."""
    twin.__class__ = ast.Pass
    twin.__dict__ = {
        name: value
        for name, value in twin.__dict__.items()
        if name.endswith(("lineno", "col_offset"))
    }
