"""Mutants of our own tables, which take knowing what is in them: rows of reasons.py, cells of classify.py."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant, Operator, shown


def read(path: Path) -> dict[str, Any]:
    """What a module defines, as it stands."""
    return runpy.run_path(str(path))


def most_alike(reasons: Mapping[str, Any]) -> dict[str, str]:
    """For each reason code the next one whose row says the same but for the texts, or else the same status.

    A test that looks at a reason's properties only cannot tell the two apart: it must name the code.
    """
    listed = list(reasons)
    return {code: _next(code, [*listed[at + 1 :], *listed[:at]], reasons) for at, code in enumerate(listed)}


def _next(code: str, others: list[str], reasons: Mapping[str, Any]) -> str:
    same = [other for other in others if _properties(reasons[other]) == _properties(reasons[code])]
    status = [other for other in others if reasons[other].status is reasons[code].status]
    return (same or status or others)[0]


def _properties(row: Any) -> dict[str, Any]:
    """What a row of reasons.py says, but its texts: statuses and the like, yes and no."""
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: value for name, value in values.items() if isinstance(value, Enum | bool)}


def reason_rows(reasons: Mapping[str, Any]) -> Operator:
    """In each `Reason(...)`, each property is each of its other values."""

    def operator(scope: ast.stmt) -> Iterator[Mutant]:
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reason":
                code = ast.literal_eval(node.args[0])
                for name, value in _properties(reasons[code]).items():
                    for other in _others(value):
                        apply = partial(_set, node, [f.name for f in fields(reasons[code])].index(name), name, other)
                        yield Mutant(node.lineno, f"{code}: {name} -> {shown(other)}", apply)

    return operator


def _others(value: Enum | bool) -> list[ast.expr]:
    if isinstance(value, bool):
        return [ast.Constant(not value)]
    kind = type(value)
    return [ast.parse(f"{kind.__name__}.{o.name}", mode="eval").body for o in kind if o is not value]


def _set(call: ast.Call, position: int, name: str, value: ast.expr) -> None:
    if position < len(call.args):
        call.args[position] = value
    else:
        call.keywords = [k for k in call.keywords if k.arg != name] + [ast.keyword(name, value)]


def cells(module: Mapping[str, Any], alike: Mapping[str, str], *tables: str) -> Operator:
    """In tables whose rows are one reason, or one for each phase: the reason of each phase is another one."""

    def operator(scope: ast.stmt) -> Iterator[Mutant]:
        if not isinstance(scope, ast.AnnAssign) or ast.unparse(scope.target) not in tables:
            return
        assert isinstance(scope.value, ast.Dict)
        table = module[ast.unparse(scope.target)]
        for at, (key, value) in enumerate(zip(scope.value.keys, scope.value.values, strict=True)):
            assert key is not None, "a table of rows, not of other tables"
            row = table[ast.literal_eval(key)]
            for phase in module["Phase"]:
                code = row if isinstance(row, str) else row.get(phase, "INTERNAL")
                base = f"dict.fromkeys(Phase, {row!r})" if isinstance(row, str) else ast.unparse(value)
                changed = ast.parse(f"{{**{base}, Phase.{phase.name}: {alike[code]!r}}}", mode="eval").body
                change = f"{shown(key)} in {phase.name}: {code} -> {alike[code]}"
                yield Mutant(value.lineno, change, partial(scope.value.values.__setitem__, at, changed))

    return operator
