"""The check of the checks: what each operator changes, and that a planted hole in the tests is found, and only that."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from appliance.reasons import REASONS
from tests.mutation.judge import PlanError, Target, make
from tests.mutation.mutants import Mutant, Operator, alternatives, branches, codes, constants, rows, spans
from tests.mutation.plan import EQUIVALENT, ROOT, TARGETS
from tests.mutation.tables import cells, most_alike, reason_rows


def changed(source: str, operator: Operator) -> list[str]:
    """The source after each mutant."""
    count = sum(1 for _ in _mutants(ast.parse(source), operator))
    return [_after(source, operator, number) for number in range(count)]


def _mutants(tree: ast.Module, operator: Operator) -> Iterator[Mutant]:
    for statement in tree.body:
        yield from operator(statement)


def _after(source: str, operator: Operator, number: int) -> str:
    tree = ast.parse(source)
    list(_mutants(tree, operator))[number].apply()
    compile(ast.fix_missing_locations(tree), "mutant", "exec")
    return ast.unparse(tree)


CODES = codes({"A": "B", "B": "C"})


@pytest.mark.parametrize(
    ("operator", "source", "mutants"),
    [
        (CODES, "t: dict[str, str] = {'x': 'A', 'B': 'y'}", ["{'x': 'A', 'C': 'y'}", "{'x': 'B', 'B': 'y'}"]),
        (rows, "t = {1: 'A', **u}", ["{**u}", "{1: 'A'}"]),
        (rows, "t = (1, p.q)", ["(p.q,)", "(1,)"]),
        (rows, "a, b = (1, 2)", []),
        (branches, "x = a if b else c", ["a if True else c", "a if False else c"]),
        (branches, "x = b or c", ["c", "b"]),
        (branches, "x = b < 1", ["True", "False", "b <= 1"]),
        (branches, "x = [a for a in b if a]", ["[a for a in b if True]", "[a for a in b if False]"]),
        (constants, "t = Q(1, 'A', True)", ["Q(2, 'A', True)", "Q(1, 'A?', True)"]),
        (alternatives, "r = re.compile('a|b')", ["re.compile('b')", "re.compile('a')"]),
        (alternatives, "r = re.compile(b'(a|b)c')", ["re.compile(b'(b)c')", "re.compile(b'(a)c')"]),
    ],
)
def test_what_an_operator_changes(operator: Operator, source: str, mutants: list[str]) -> None:
    before = source.rsplit(" = ", 1)[0]
    assert changed(source, operator) == [f"{before} = {mutant}" for mutant in mutants]


def test_a_case_of_a_match_goes_missing() -> None:
    source = "match a:\n    case 1:\n        b()\n    case 2:\n        c()"
    first, second = changed(source, branches)
    assert "case 1" not in first
    assert "case 2" not in second


def test_what_is_no_behaviour_stays() -> None:
    source = "def f(a: Literal['A']) -> Literal['A']:\n    'A'\n    assert a == 'A', 'A'"
    for operator in (CODES, rows, branches, constants):
        assert changed(source, operator) == []


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a", []),
        ("a|bc", ["a|", "|bc"]),
        ("x(?:a|b)y", ["a|", "|b"]),
        ("a[|)]|b", ["a[|)]|", "|b"]),
        (r"a\||b\)", [r"a\||", r"|b\)"]),
        ("a|(b|c)", ["b|", "|c", "a|", "|(b|c)"]),
    ],
)
def test_where_alternatives_stand(pattern: str, parts: list[str]) -> None:
    assert [pattern[start:end] for start, end in spans(pattern)] == parts


def test_the_most_alike_code_differs_in_nothing_a_loose_test_could_see() -> None:
    alike = most_alike(REASONS)
    assert alike.keys() == REASONS.keys()
    assert alike["PORT_CLOSED"] == "PORT_FILTERED"
    for code, other in alike.items():
        assert other != code
        if code != "PASSED":
            assert REASONS[other].status is REASONS[code].status


def test_each_property_of_a_reason_is_changed() -> None:
    source = "rows = [Reason('ACCOUNT_LOCKED', fail, directory, 'It is locked.', 'Unlock it.', breaks=True)]"
    mutants = changed(source, reason_rows(REASONS))
    assert len(mutants) == 3 + 5 + 2 + 1 + 1
    for part in ("Status.PASSED,", "Owner.US", "lockout=Lockout.YES", "transient=True", "breaks=False"):
        assert sum(part in mutant for mutant in mutants) == 1, part


class Phase(Enum):
    DNS = "dns"
    TCP = "tcp"


def test_each_cell_of_a_table_by_phase_is_changed() -> None:
    row = {Phase.DNS: "A"}
    module = {"Phase": Phase, "table": {"x": "A", "y": row}}
    alike = {"A": "B", "INTERNAL": "C"}
    assert changed("table: T = {'x': 'A', 'y': row}\nother: T = {'x': 'A'}", cells(module, alike, "table")) == [
        f"table: T = {{{pair}}}\nother: T = {{'x': 'A'}}"
        for pair in (
            "'x': {**dict.fromkeys(Phase, 'A'), Phase.DNS: 'B'}, 'y': row",
            "'x': {**dict.fromkeys(Phase, 'A'), Phase.TCP: 'B'}, 'y': row",
            "'x': 'A', 'y': {**row, Phase.DNS: 'B'}",
            "'x': 'A', 'y': {**row, Phase.TCP: 'C'}",
        )
    ]


# -- the judge ---------------------------------------------------------------------------------------------------------

PLANTED = """
KIND = {"apple": "fruit", "leek": "vegetable"}

def kind(name):
    return KIND.get(name, "unknown")

def forever(n):
    while n > 0:
        n -= 1
"""
CHECKED = """
from planted import forever, kind

def test_one_row_of_two():
    assert kind("apple") == "fruit"

def test_it_ends():
    forever(3)
"""
DRIVER = """
import json, sys
from pathlib import Path
from tests.mutation import judge
from tests.mutation.mutants import branches, rows

judge.CPU_S = 1
target = judge.Target("planted.py", ((rows, judge.ALL), (branches, judge.ALL)), tuple(sys.argv[2:]))
root, found = Path(sys.argv[1]), {}
try:
    judge.judge(judge.make(target, root), root, lambda made, survives: found.update({made.mutant.change: survives}))
except judge.PlanError as error:
    sys.exit(str(error))
print(json.dumps(found))
"""


def judged(directory: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since it forks."""
    (directory / "planted.py").write_text(PLANTED)
    (directory / "test_row.py").write_text(CHECKED)
    (directory / "test_nothing.py").write_text("import planted\n\ndef test_it(): pass\n")
    (directory / "test_broken.py").write_text("def test_it(): assert False\n")
    command = [sys.executable, "-c", DRIVER, str(directory), *tests]
    path = {"PYTHONPATH": f"{directory}:{ROOT}", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, cwd=directory, env=path)


def test_a_hole_in_the_tests_is_found_and_nothing_else(tmp_path: Path) -> None:
    done = judged(tmp_path, "test_nothing.py", "test_row.py")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "without 'apple': 'fruit'": False,
        "without 'leek': 'vegetable'": True,
        "n > 0 -> True": False,  # by the limit on CPU
        "n > 0 -> False": True,
        "n > 0, sign 1: Gt -> GtE": True,
    }
    assert (tmp_path / "planted.py").read_text() == PLANTED


def test_tests_that_fail_anyway_cannot_judge(tmp_path: Path) -> None:
    done = judged(tmp_path, "test_row.py", "test_broken.py")
    assert done.returncode == 1
    assert "pytest test_broken.py ends with 1 for the module as it is" in done.stderr


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_plan_fits_the_tree() -> None:
    """Each of its operators finds something to change, its tests are there, and so is what it excuses."""
    made = [one.name for target in TARGETS for one in make(target, ROOT)]
    assert EQUIVALENT.keys() <= set(made)
    assert all((ROOT / test).is_file() for target in TARGETS for test in target.tests)


@pytest.mark.parametrize(("only", "said"), [(("gone",), "has no gone"), (("kind",), "finds nothing to change")])
def test_a_plan_that_does_not_fit_its_module(only: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    with pytest.raises(PlanError, match=said):
        make(Target("planted.py", ((rows, only),), ()), tmp_path)
