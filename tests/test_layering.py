"""Who may import whom. Every module's imports are read (not run), wherever in the file they stand.

The arrows, stated here and nowhere else:
1. `orchestrator` knows nineteen parts of `appliance`: contract, access, questions, reasons, classify, certificates,
   long_lived, listener, logs, lag, metric_names, histogram, exposition, process_one,
   launch, toml_faults, toml_lines, utf8, bus.
   `appliance` knows nothing of `orchestrator`; `targets` knows nothing of either, and neither knows `targets`.
2. Each foreign library that speaks a protocol has one home (HOMES).
3. Only the command line starts an appliance or a lab: nobody else names their modules, not even in a string.
4. The pure parts (PURE) decide by what they are given: no clock, no randomness, no ids, no threads, no loop, no I/O and
   no walk over a set, whose order is not ours.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("appliance", "orchestrator", "targets")

ARROWS = {
    "appliance": ("appliance",),
    "orchestrator": (
        "orchestrator",
        "appliance.contract",
        "appliance.access",
        "appliance.questions",
        "appliance.reasons",
        "appliance.classify",
        "appliance.certificates",
        "appliance.long_lived",
        "appliance.listener",
        "appliance.logs",
        "appliance.lag",
        "appliance.metric_names",
        "appliance.histogram",
        "appliance.exposition",
        "appliance.process_one",
        "appliance.launch",
        "appliance.toml_faults",
        "appliance.toml_lines",
        "appliance.utf8",
        "appliance.bus",
    ),
    "targets": ("targets",),
}

HOMES = {
    "asyncssh": ("appliance.login.ssh*", "orchestrator.known_hosts", "targets.ssh*"),
    "impacket": ("appliance.login.smb*", "appliance.login.kerberos*", "appliance.login.bridge"),
    "greenlet": ("appliance.login.bridge",),
    "nats": ("appliance.bus", "appliance.bus.*"),
    "nkeys": ("appliance.bus.*",),
    "structlog": ("appliance.logs",),
    "sqlalchemy": ("orchestrator.store", "orchestrator.store.*"),
    "alembic": ("orchestrator.store.*",),
    "asyncpg": ("orchestrator.store.postgresql",),
    "sqlite3": ("orchestrator.store.*", "appliance.leaks.places"),
    "typer": ("orchestrator.cli", "orchestrator.cli.*"),
    "ahocorasick_rs": ("appliance.leaks.finder",),
    "prometheus_client": ("appliance.exposition", "appliance.metrics", "orchestrator.metrics"),
    "hdrh": ("orchestrator.load.latency",),
}
"""Libraries by the modules that may import them (shell patterns)."""

STARTERS = ("orchestrator.cli", "orchestrator.cli.*", "appliance", "appliance.*", "targets", "targets.*")
"""Who may name a module of `appliance` or `targets` in a string: the command line, and each package itself."""

PURE = (
    "appliance.classify",
    "appliance.reasons",
    "orchestrator.plan",
    "orchestrator.pacing",
    "orchestrator.account_state",
    "orchestrator.permit_ledger",
    "orchestrator.dispatch",
    "orchestrator.collect",
    "orchestrator.reconcile",
    "orchestrator.audit.pairing",
    "orchestrator.audit.judging",
    "orchestrator.least_privilege",
    "orchestrator.load.bottleneck",
    "orchestrator.load.held",
    "orchestrator.load.rate",
    "orchestrator.load.stages",
    "orchestrator.purposes",
    "orchestrator.appliance_clocks",
    "orchestrator.zones",
    "orchestrator.campaign_zones",
    "orchestrator.zone_vaults",
    "orchestrator.zone_watch",
    "orchestrator.shares",
    "orchestrator.capacity.accounts",
    "orchestrator.capacity.bounds",
    "orchestrator.capacity.comparison",
    "orchestrator.capacity.costs",
    "orchestrator.capacity.demand",
    "orchestrator.capacity.model",
    "orchestrator.capacity.schedule",
    "orchestrator.capacity.spent",
)
IMPURE = (
    "asyncio", "anyio", "threading", "multiprocessing", "subprocess", "concurrent", "signal",
    "time", "random", "secrets", "uuid", "socket", "os", "io", "pathlib", "tempfile", "logging", "structlog",
    "appliance.logs",
)  # fmt: skip
IMPURE_CALLS = ("open", "input", "print")
CLOCK_CALLS = ("now", "utcnow", "today")
ANNOTATION_ONLY = (("random", "Random"),)
"""Names that a pure part may import from an impure module: the type of a source that it is handed."""


def modules(root: Path) -> dict[str, Path]:
    """Our modules by dotted name."""
    found = {}
    for package in OURS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[tuple[int, str, str]]:
    """Line, module and name of each import; the name is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if is_package else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, source, alias.name) for alias in node.names)


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(one + ".") for one in allowed)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def wrong_imports(module: str, tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    for line, source, name in imports(tree, module, is_package=known[module].name == "__init__.py"):
        # `from appliance import supervisor` names a module as much as `import appliance.supervisor` does.
        full = f"{source}.{name}" if f"{source}.{name}" in known else source
        top = full.split(".")[0]
        if top in OURS and not within(full, ARROWS[module.split(".", maxsplit=1)[0]]):
            yield f"{module}:{line}: may not import {full}"
        if top in HOMES and not matches(module, HOMES[top]):
            yield f"{module}:{line}: {top} is at home in {', '.join(HOMES[top])}"
        if (source, name) in (("importlib", ""), ("importlib", "import_module")):
            yield f"{module}:{line}: imports by name escape this test"


def wrong_starts(module: str, tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    if matches(module, STARTERS):
        return
    ours = [name for name in known if re.match(r"(appliance|targets)\.", name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in ours:
            yield f"{module}:{node.lineno}: only the command line starts {node.value}"
        if isinstance(node, ast.List | ast.Tuple):
            words = [e.value if isinstance(e, ast.Constant) else None for e in node.elts]
            if any(a == "-m" and b in ("appliance", "targets") for a, b in pairwise(words)):
                yield f"{module}:{node.lineno}: only the command line starts an appliance or a lab"


_SET_TYPE = re.compile(r"\b(set|frozenset|Set|AbstractSet|MutableSet|FrozenSet)\b")


def is_set_type(annotation: ast.expr) -> bool:
    """Is the annotated thing itself a set? (Not: a mapping or tuple that holds sets.)"""
    return bool(_SET_TYPE.match(ast.unparse(annotation).split("[")[0].split(".")[-1]))


def is_set(node: ast.expr, names: frozenset[str]) -> bool:
    """Is this expression a set, as far as its own text and the annotations of this module tell?"""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(attr="union" | "intersection" | "difference" | "symmetric_difference")):
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in names
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
            return is_set(left, names) or is_set(right, names)
    return False


def set_names(tree: ast.Module) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), annotation=kind):
                if is_set_type(kind):
                    found.add(name)
            case ast.arg(arg=name, annotation=ast.expr() as kind):
                if is_set_type(kind):
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
                if is_set(value, frozenset()):
                    found.add(name)
    return frozenset(found)


def walks(tree: ast.Module) -> Iterator[ast.expr]:
    """Every expression that is walked where the order shows; `sorted`, `len`, `sum`, `any` and their like hide it."""
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=walked) | ast.comprehension(iter=walked) | ast.Starred(value=walked):
                yield walked
            case ast.YieldFrom(value=walked):
                yield walked
            case ast.Call(func=ast.Name(id="list" | "tuple" | "iter" | "enumerate" | "zip" | "map"), args=args):
                yield from args
            case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=args):
                yield from args
            case ast.Call(func=ast.Attribute(attr="pop", value=walked), args=[]):
                yield walked


def orderless(tree: ast.Module) -> Iterator[ast.expr]:
    """Generators and comprehensions whose result has no order either, so that walking a set in them is harmless."""
    for node in ast.walk(tree):
        match node:
            case ast.SetComp(generators=generators):
                yield from (g.iter for g in generators)
            case ast.Call(
                func=ast.Name(id="sorted" | "len" | "sum" | "min" | "max" | "any" | "all" | "set" | "frozenset"),
                args=[ast.GeneratorExp(generators=generators), *_],
            ):
                yield from (g.iter for g in generators)


def impurities(module: str, tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    if module not in PURE:
        return
    for line, source, name in imports(tree, module, is_package=known[module].name == "__init__.py"):
        if {source, source.split(".")[0]} & set(IMPURE) and (source, name) not in ANNOTATION_ONLY:
            yield f"{module}:{line}: a pure part may not import {source}"
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"{module}:{node.lineno}: a pure part may not call {name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_CALLS:
                yield f"{module}:{node.lineno}: a pure part may not call {name}()"
            case ast.Call(func=ast.Name(id="Random")):
                yield f"{module}:{node.lineno}: a pure part is handed its source of randomness"
            case ast.AsyncFunctionDef() | ast.Await():
                yield f"{module}:{node.lineno}: a pure part does not wait"
    names = set_names(tree)
    harmless = {id(node) for node in orderless(tree)}
    for walked in walks(tree):
        if is_set(walked, names) and id(walked) not in harmless:
            yield f"{module}:{walked.lineno}: the order of {ast.unparse(walked)} is not ours; sort it"


def faults(root: Path) -> list[str]:
    known = modules(root)
    found: list[str] = []
    for module, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found += [*wrong_imports(module, tree, known), *wrong_starts(module, tree, known)]
        found += impurities(module, tree, known)
    return found


def test_every_arrow_points_the_right_way() -> None:
    assert not faults(ROOT), "\n" + "\n".join(faults(ROOT))


def test_every_pure_part_and_package_is_there() -> None:
    known = modules(ROOT)
    assert set(PURE) <= set(known)
    assert {name.split(".")[0] for name in known} == set(OURS)


BAD = [
    ("appliance/scan.py", "import orchestrator.plan", "may not import orchestrator.plan"),
    ("appliance/scan.py", "def f():\n    from targets import estate", "may not import targets.estate"),
    ("targets/estate.py", "from appliance.contract import Job", "may not import appliance.contract"),
    ("targets/estate.py", "from orchestrator import score", "may not import orchestrator"),
    ("orchestrator/service.py", "from appliance.supervisor import Supervisor", "may not import appliance.supervisor"),
    ("orchestrator/service.py", "from appliance import supervisor", "may not import appliance.supervisor"),
    ("orchestrator/service.py", "import targets", "may not import targets"),
    ("targets/estate.py", "from ..appliance import contract", "may not import appliance"),
    ("orchestrator/service.py", "import asyncssh", "asyncssh is at home in"),
    ("appliance/login/privilege.py", "from asyncssh.misc import Error", "asyncssh is at home in"),
    ("targets/estate.py", "import impacket.smb3", "impacket is at home in"),
    ("appliance/supervisor.py", "import nats", "nats is at home in"),
    ("orchestrator/service.py", "import nkeys", "nkeys is at home in"),
    ("orchestrator/service.py", "from sqlalchemy import select", "sqlalchemy is at home in"),
    ("orchestrator/cli/run.py", "import sqlite3", "sqlite3 is at home in"),
    ("orchestrator/service.py", "import importlib\nimportlib.import_module('targets')", "escape this test"),
    ("orchestrator/service.py", "argv = ['python', '-m', 'targets']", "only the command line starts"),
    ("orchestrator/service.py", "argv = ['python', '-m', 'appliance.supervisor']", "only the command line starts"),
    ("orchestrator/plan.py", "import time", "may not import time"),
    ("orchestrator/plan.py", "from appliance.logs import get_logger", "may not import appliance.logs"),
    ("orchestrator/service.py", "import structlog", "structlog is at home in"),
    ("orchestrator/plan.py", "from random import choice", "may not import random"),
    ("orchestrator/plan.py", "import random", "may not import random"),
    ("orchestrator/plan.py", "from random import Random\nr = Random()", "is handed its source"),
    ("orchestrator/pacing.py", "from uuid import uuid4", "may not import uuid"),
    ("orchestrator/pacing.py", "import secrets", "may not import secrets"),
    ("orchestrator/pacing.py", "import threading", "may not import threading"),
    ("orchestrator/pacing.py", "from datetime import datetime\nx = datetime.now()", "may not call now()"),
    ("orchestrator/pacing.py", "open('ledger')", "may not call open()"),
    ("orchestrator/dispatch.py", "async def f(): ...", "does not wait"),
    ("orchestrator/dispatch.py", "for x in {1, 2}: ...", "the order of {1, 2}"),
    ("orchestrator/dispatch.py", "def f(s: frozenset[str]) -> list[str]:\n    return [x for x in s]", "the order of s"),
    ("orchestrator/collect.py", "seen = set()\nlist(seen)", "the order of seen"),
    ("orchestrator/collect.py", "class A:\n    s: set[int]\n    def f(self): yield from self.s", "the order of self.s"),
    ("orchestrator/reconcile.py", "def f(a: set[int], b: set[int]):\n    for x in a - b: ...", "the order of a - b"),
    ("appliance/reasons.py", "', '.join({'a', 'b'})", "the order of {'a', 'b'}"),
    ("orchestrator/collect.py", "seen = {1}\nseen.pop()", "the order of seen"),
]
GOOD = [
    (
        "orchestrator/service.py",
        "from appliance import contract, reasons, classify\nfrom appliance.bus import BusError",
    ),
    ("orchestrator/cli/demo.py", "argv = ['python', '-m', 'targets']"),
    ("orchestrator/service.py", "key = 'targets'\ntext = 'appliance'"),
    ("appliance/login/ssh_keys.py", "import asyncssh"),
    ("orchestrator/store/runs.py", "import sqlalchemy"),
    ("orchestrator/plan.py", "from random import Random\ndef f(r: Random) -> float:\n    return r.random()"),
    ("orchestrator/plan.py", "def f(s: set[int]) -> list[int]:\n    return sorted(s) + sorted(x for x in s)"),
    (
        "orchestrator/plan.py",
        "def f(s: set[int], n: dict[int, set[int]]) -> bool:\n    return 1 in s and any(x for x in n)",
    ),
]


def tree_with(root: Path, file: str, text: str) -> Path:
    skeleton = ["appliance/supervisor.py", "appliance/contract/__init__.py", "appliance/reasons.py",
                "appliance/classify.py", "appliance/bus/__init__.py", "targets/estate.py",
                "orchestrator/plan.py"]  # fmt: skip
    for name in [*skeleton, file]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / file).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(("file", "text", "fault"), BAD)
def test_a_wrong_arrow_is_seen(tmp_path: Path, file: str, text: str, fault: str) -> None:
    found = faults(tree_with(tmp_path, file, text))
    assert [f for f in found if fault in f], found


@pytest.mark.parametrize(("file", "text"), GOOD)
def test_a_right_arrow_is_left_alone(tmp_path: Path, file: str, text: str) -> None:
    assert faults(tree_with(tmp_path, file, text)) == []
