"""Mutants: one change each to a module's syntax tree, as somebody might make it by mistake. Pure.

An operator is given one statement and yields its mutants. What is no behaviour is never changed: annotations,
docstrings, assertions, and whatever no operator looks for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

SHOWN = 70
"""Characters of an expression that a mutant's description quotes."""


@dataclass(frozen=True, slots=True)
class Mutant:
    line: int
    change: str
    """What was changed into what, as a reader of the source would say it."""
    apply: Callable[[], object]
    """Makes the change in the tree that the mutant came from: once, in a process that is thrown away."""


Operator = Callable[[ast.stmt], Iterator[Mutant]]
Put = Callable[[ast.expr], object]
"""Puts another expression in the place of one."""


def shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def below(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, but annotations, docstrings and assertions."""
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _says_only(child):
                    yield from below(child)


def _says_only(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def places(scope: ast.AST) -> Iterator[tuple[ast.expr, Put]]:
    """Every expression below, with what replaces it."""
    for node in below(scope):
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            if isinstance(value, ast.expr):
                yield value, partial(setattr, node, field)
            elif isinstance(value, list):
                for at, child in enumerate(value):
                    if isinstance(child, ast.expr):
                        yield child, partial(value.__setitem__, at)


def replaced(old: ast.expr, new: ast.expr, put: Put) -> Mutant:
    return Mutant(old.lineno, f"{shown(old)} -> {shown(new)}", partial(put, new))


def codes(alike: Mapping[str, str]) -> Operator:
    """Each reason code becomes the one that is most like it."""

    def operator(scope: ast.stmt) -> Iterator[Mutant]:
        for node, put in places(scope):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in alike:
                yield replaced(node, ast.Constant(alike[node.value]), put)

    return operator


def rows(scope: ast.stmt) -> Iterator[Mutant]:
    """Each entry of a table is left out: of a dict, and of a tuple, list or set that holds plain values or calls."""
    unpacked = {id(node.value) for node in ast.walk(scope) if isinstance(node, ast.Assign) and _unpacks(node)}
    for node in below(scope):
        if isinstance(node, ast.Dict):
            for at, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
                entry = f"**{shown(value)}" if key is None else f"{shown(key)}: {shown(value)}"
                yield Mutant(value.lineno, f"without {entry}", partial(_drop, at, node.keys, node.values))
        elif isinstance(node, ast.Tuple | ast.List | ast.Set) and id(node) not in unpacked and _is_table(node.elts):
            for at, element in enumerate(node.elts):
                yield Mutant(element.lineno, f"without {shown(element)}", partial(_drop, at, node.elts))


def _is_table(elements: list[ast.expr]) -> bool:
    return all(isinstance(element, ast.Constant | ast.Attribute | ast.Call) for element in elements)


def _unpacks(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Tuple) for target in node.targets)


def _drop(at: int, *lists: list[Any]) -> None:
    for one in lists:
        del one[at]


def branches(scope: ast.stmt) -> Iterator[Mutant]:
    """Each condition is true, or false, whatever it looks at; half of an and/or is gone; a limit is one off; a case of
    a match is missing.
    """
    tests = {id(test) for node in below(scope) for test in _tests(node)}
    for node, put in places(scope):
        if id(node) in tests or isinstance(node, ast.Compare):
            yield from (replaced(node, ast.Constant(answer), put) for answer in (True, False))
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                rest = [other for other in node.values if other is not value]
                left: ast.expr = ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
                yield Mutant(value.lineno, f"{shown(node)}, without {shown(value)}", partial(put, left))
        if isinstance(node, ast.Compare):
            yield from _one_off(node)
    for part in below(scope):
        if isinstance(part, ast.Match) and len(part.cases) > 1:
            for at, case in enumerate(part.cases):
                yield Mutant(case.pattern.lineno, f"without case {shown(case.pattern)}", partial(_drop, at, part.cases))


def _tests(node: ast.AST) -> list[ast.expr]:
    """The expressions of a node that decide which way it goes."""
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return [node.test]
    if isinstance(node, ast.comprehension):
        return node.ifs
    return [node.guard] if isinstance(node, ast.match_case) and node.guard is not None else []


_NEIGHBOURS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


def _one_off(node: ast.Compare) -> Iterator[Mutant]:
    for at, sign in enumerate(node.ops):
        if type(sign) in _NEIGHBOURS:
            other = _NEIGHBOURS[type(sign)]()
            change = f"{shown(node)}, sign {at + 1}: {type(sign).__name__} -> {type(other).__name__}"
            yield Mutant(node.lineno, change, partial(node.ops.__setitem__, at, other))


def constants(scope: ast.stmt) -> Iterator[Mutant]:
    """Each number and text is another one."""
    for node, put in places(scope):
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool) and isinstance(node.value, int | str):
            other = node.value + 1 if isinstance(node.value, int) else node.value + "?"
            yield replaced(node, ast.Constant(other), put)


def alternatives(scope: ast.stmt) -> Iterator[Mutant]:
    """Each alternative of a regular expression is left out, at any depth."""
    for node in below(scope):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile":
            whole: tuple[ast.expr, Put] = node.args[0], partial(node.args.__setitem__, 0)
            for part, put in (whole, *_parts(node.args[0])):
                if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes):
                    yield from _shorter(part.lineno, part.value, put)


def _parts(pattern: ast.expr) -> Iterator[tuple[ast.expr, Put]]:
    """Those that a pattern is put together of: a table's words are nothing to be left out here."""
    if isinstance(pattern, ast.BinOp):
        for side in ("left", "right"):
            part = getattr(pattern, side)
            yield part, partial(setattr, pattern, side)
            yield from _parts(part)


def _shorter(line: int, pattern: str | bytes, put: Put) -> Iterator[Mutant]:
    text = pattern if isinstance(pattern, str) else pattern.decode("latin-1")
    for start, end in spans(text):
        rest = text[:start] + text[end:]
        new = ast.Constant(rest if isinstance(pattern, str) else rest.encode("latin-1"))
        yield Mutant(line, f"without {text[start:end]}", partial(put, new))


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\((?:\?(?:[:=!]|<[=!]|P<\w+>))?|\)|\||.", re.DOTALL)


def spans(pattern: str) -> Iterator[tuple[int, int]]:
    """Where the alternatives of a regular expression stand, each with one bar beside it."""
    groups: list[list[int]] = [[0]]
    for token in _TOKEN.finditer(pattern + ")"):
        if token[0].startswith("("):
            groups.append([token.end()])
        elif token[0] == "|":
            groups[-1].append(token.end())
        elif token[0] == ")":
            starts = groups.pop()
            if len(starts) > 1:
                yield from pairwise(starts)
                yield starts[-1] - 1, token.start()
