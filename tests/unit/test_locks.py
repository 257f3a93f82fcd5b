"""The lock files hold what their names say: each one all of the one before it, in the same versions."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHAIN = ("requirements.lock", "requirements-postgres.lock", "requirements-dev.lock")


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\n]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("smaller", "larger"), list(pairwise(CHAIN)))
def test_a_larger_lock_has_all_of_the_smaller_one(smaller: str, larger: str) -> None:
    assert locked(smaller)
    assert locked(smaller).items() <= locked(larger).items(), "run `make lock`"


@pytest.mark.parametrize("name", CHAIN)
def test_a_lock_has_every_dependency_of_the_project(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.match(r"[A-Za-z0-9._-]+", text)[0].lower() for text in project["dependencies"]}  # type: ignore[index]
    assert wanted <= set(locked(name)), "run `make lock`"
