"""Judging mutants: each takes the place of its module in a process of its own, which runs the tests that should see it.

pytest is started once. Where it would collect its tests, a process is forked for each mutant, throws away what it has
of ours, and lets pytest go on: everything of ours is imported anew, and the mutant instead of its module. Nothing is
ever written to the tree. A mutant is killed when a test fails or cannot be imported; it survives when all pass.

Tests that draw their examples at random don't judge: what they find today they may miss tomorrow.
"""

from __future__ import annotations

import ast
import gc
import os
import resource
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.mutation.mutants import Mutant, Operator

ALL: tuple[str, ...] = ()
CPU_S = 30
"""Seconds of CPU that a mutant may take: one that loops for ever is killed, in both senses."""
TEST_S = 20
"""Seconds that one test may take."""
_QUIETLY = ("-qq", "-x", "-s", "--assert=plain", "--tb=no", "-p", "no:cacheprovider")
_JUDGES = ("-m", "not (peer or slow or hypothesis)")


class PlanError(Exception):
    """The plan does not fit the tree, or its tests cannot judge. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A module, what is changed in it, and the files of tests that should notice: run one by one until one does."""

    path: str
    operators: Sequence[tuple[Operator, tuple[str, ...]]]
    """Each with the names that it is for (of functions, classes, tables at top level; `Class.method`); else ALL."""
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A mutant with where it was made."""

    target: Target
    tree: ast.Module
    place: str
    """The name that it was made for."""
    mutant: Mutant

    @property
    def name(self) -> str:
        """Stays the same when lines are added above; what a known equivalent is listed by."""
        return f"{self.target.path} {self.place}: {self.mutant.change}"

    def __str__(self) -> str:
        return f"{self.target.path}:{self.mutant.line} {self.place}: {self.mutant.change}"


def make(target: Target, root: Path) -> list[Made]:
    """All mutants of a target. Raises PlanError for a name that is not there, and an operator with nothing to do."""
    tree = ast.parse((root / target.path).read_bytes())
    scopes = {name: statement for statement in tree.body if (name := _name(statement))}
    methods = {
        f"{name}.{_name(inner)}": inner
        for name, statement in scopes.items()
        if isinstance(statement, ast.ClassDef)
        for inner in statement.body
    }
    made: list[Made] = []
    for operator, only in target.operators:
        if missing := set(only) - scopes.keys() - methods.keys():
            raise PlanError(f"{target.path} has no {', '.join(sorted(missing))}: correct the plan")
        chosen = {name: (scopes | methods)[name] for name in only or scopes}
        mutants = [Made(target, tree, name, mutant) for name, part in chosen.items() for mutant in operator(part)]
        if not mutants:
            raise PlanError(f"an operator finds nothing to change in {target.path}: correct the plan")
        made += mutants
    return made


def _name(statement: ast.stmt) -> str:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def judge(made: Sequence[Made], root: Path, heard: Callable[[Made, bool], object]) -> None:
    """Tells `heard` of each mutant, as it ends, whether it survives. Raises PlanError."""
    targets = {one.target.path: one.target for one in made}
    trials = [_Trial(target.tests) for target in targets.values()] + [_Trial(one.target.tests, one) for one in made]
    forks = _Forks(deque(trials), root, heard)
    code = pytest.main([*_QUIETLY, *_JUDGES, f"--timeout={TEST_S}", f"--rootdir={root}"], plugins=[forks])
    if forks.in_child:
        os._exit(code)
    if forks.trouble:
        raise PlanError(forks.trouble)


@dataclass(frozen=True, slots=True)
class _Trial:
    tests: tuple[str, ...]
    """The files that have not passed yet."""
    made: Made | None = None
    """None: the module as it is, on which the tests must pass."""


@dataclass
class _Forks:
    """The plugin of pytest that forks."""

    waiting: deque[_Trial]
    root: Path
    heard: Callable[[Made, bool], object]
    running: dict[int, _Trial] = field(default_factory=dict)
    in_child: bool = False
    trouble: str = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool | None:
        """True: nothing is left to do. None, in a child: pytest is to go on, and collect."""
        ours = self._import_libraries(session)
        cores = len(os.sched_getaffinity(0))
        while self.waiting or self.running:
            if not self.waiting or len(self.running) == cores:
                self._await_one()
                continue
            trial = self.waiting.popleft()
            child = os.fork()
            if child:
                self.running[child] = trial
                continue
            self.in_child = True
            session.config.args = [trial.tests[0]]
            for name in ours:
                del sys.modules[name]
            _become(trial.made, self.root)
            return None
        return True

    def _import_libraries(self, session: pytest.Session) -> list[str]:
        """What the tests import, and so no child has to; of it, the modules of ours."""
        session.perform_collect(sorted({test for trial in self.waiting for test in trial.tests}))
        session.items, session.testscollected = [], 0
        import_module("hypothesis")  # as its plugin would, at the end of each child
        gc.freeze()
        return [name for name, module in sys.modules.items() if name != "__main__" and _is_in(self.root, module)]

    def _await_one(self) -> None:
        child, status = os.wait()
        trial, code = self.running.pop(child), os.waitstatus_to_exitcode(status)
        passed, more = code == pytest.ExitCode.OK, trial.tests[1:]
        # Failed or cannot be imported; negative: by a signal, that of the limit on CPU.
        noticed = code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED) or code < 0
        if not passed and (trial.made is None or not noticed):
            self.trouble = f"pytest {trial.tests[0]} ends with {code} for {trial.made or 'the module as it is'}"
            self.waiting.clear()
        elif passed and more:
            self.waiting.appendleft(replace(trial, tests=more))
        elif trial.made is not None:
            self.heard(trial.made, passed)


def _is_in(root: Path, module: ModuleType) -> bool:
    """Is it a module of ours? Libraries may be installed below the same root."""
    file = getattr(module, "__file__", None)
    return file is not None and file.startswith(f"{root}/") and "site-packages" not in file


def _become(made: Made | None, root: Path) -> None:
    """In the child: what its module is imported as from now on; within bounds, and unheard."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    if made is not None:
        made.mutant.apply()
        path = root / made.target.path
        # Here, so that what cannot be compiled is our fault (an internal error of pytest's), and no kill.
        code = compile(ast.fix_missing_locations(made.tree), str(path), "exec")
        sys.meta_path.insert(0, _Finder(made.target.path.removesuffix(".py").replace("/", "."), path, code))


class _Finder(MetaPathFinder):
    """Has the mutant's code for its module."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name = name
        self._loader = _Loader(name, str(path))
        self._loader.code = code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(fullname, loader=self._loader) if fullname == self._name else None


class _Loader(SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code
