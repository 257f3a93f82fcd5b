"""`export`, `import` and `runs prune` as users run them; and --store."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from orchestrator.store import RunRecord, RunState, open_store
from tests.acceptance.product import Product
from tests.contract.test_store import job as job_of
from tests.contract.test_store import undispatched
from tests.schemas import conforms

pytestmark = pytest.mark.slow

SNAPSHOT = {"campaign": {"name": "quarterly", "vaults": []}}


@pytest.fixture
def keymuster(tmp_path: Path) -> Product:
    """With three old runs, one of which goes on."""
    product = Product(tmp_path / "state")
    product.state.mkdir(mode=0o700)

    async def fill() -> None:
        store = await open_store(product.state / "keymuster.db")
        for number, state in enumerate((RunState.FINISHED, RunState.RUNNING, RunState.PAUSED)):
            run = f"20200101-00000{number}-aaaa"
            await store.runs.add(
                RunRecord(run, "quarterly", 1000.0 + number, state, 1, SNAPSHOT, 1, finished_at=2000.0)
            )
            await store.attempts.dispatched(run, [], {}, [undispatched(job_of("j1", run=run))])
        await store.close()

    anyio.run(fill)
    return product


def test_a_run_moves_from_one_store_to_another(keymuster: Product, tmp_path: Path) -> None:
    run, file = "20200101-000000-aaaa", tmp_path / "run.ndjson"
    written = keymuster("export", run, "--ndjson", file)
    assert (written.code, written.stdout) == (0, "")
    assert keymuster("export", run).stdout == file.read_text()
    other = Product(tmp_path / "other")  # whose state directory is not there yet
    brought = other("import", file)
    assert (brought.code, brought.stdout) == (0, ""), brought.stderr
    assert f"keymuster report {run}" in brought.stderr
    assert other("export", run).stdout == file.read_text()
    again = other("import", file)
    assert (again.code, again.stderr) == (2, f"keymuster: run {run} is in the store already\n")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    cut = Product(tmp_path / "third")
    cut.state.mkdir(mode=0o700)
    refused = cut("import", file)
    assert refused.code == 2
    assert f"{file}: line {len(lines) - 1}: the file ends there" in refused.stderr
    assert cut("runs", "--json").document["runs"] == []
    assert (
        cut("import", tmp_path / "gone").stderr
        == f"keymuster: cannot read {tmp_path / 'gone'}: No such file or directory\n"
    )


def test_a_paused_run_goes_on_in_one_store_only(keymuster: Product, tmp_path: Path) -> None:
    run, file = "20200101-000002-aaaa", tmp_path / "run.ndjson"
    written = keymuster("export", run, "--ndjson", file)
    assert written.code == 0
    assert written.stderr == (
        f"run {run} is paused, and may go on in one store only: when it has been imported, "
        f"`keymuster cancel {run}` here\n"
    )
    brought = Product(tmp_path / "other")("import", file)
    assert brought.code == 0, brought.stderr
    assert brought.stderr.endswith(f"shows it, and `keymuster resume {run}` goes on with it\n")
    ended = keymuster("export", "20200101-000000-aaaa", "--ndjson", file)
    assert (ended.code, ended.stderr) == (0, "")


def test_a_run_that_goes_on_is_not_exported(keymuster: Product) -> None:
    refused = keymuster("export", "20200101-000001-aaaa")
    assert (refused.code, refused.stdout) == (2, "")
    assert "is running: export it when it has ended, or `keymuster pause` it first" in refused.stderr


def test_old_runs_are_pruned(keymuster: Product) -> None:
    dry = keymuster("runs", "prune", "--older-than", "90d", "--dry-run", "--json").document
    conforms(dry, "prune")
    assert [(run["pruned"], run["stays"]) for run in dry["runs"]] == [
        (True, None),
        (False, "it is running: resume it, or cancel it"),
        (False, "--keep 1: it is one of the latest of its campaign"),
    ]
    assert len(keymuster.planned_runs()) == 3, "that was dry"
    done = keymuster("runs", "prune", "--older-than", "90d", "--keep", "0")
    assert done.code == 0, done.stderr
    assert [run["id"] for run in keymuster.planned_runs()] == ["20200101-000001-aaaa"]
    assert keymuster("runs", "prune", "--older-than", "3 weeks").code == 2
    assert "options belong behind the command" in keymuster.stateless(
        "runs", "--state", keymuster.state, "prune", "--older-than", "1d"
    ).stderr.replace("\n", " ")


def test_a_password_on_the_command_line_is_refused(keymuster: Product) -> None:
    refused = keymuster("runs", "--store", "postgresql://scan:Secret-Pw-1@db.example/keymuster")
    said = " ".join(refused.stderr.replace("│", " ").split())
    assert refused.code == 2
    assert "KEYMUSTER_STORE, or the password into PGPASSWORD, the file that KEYMUSTER_STORE_PASSWORD_FILE names" in said
    assert "Secret-Pw-1" not in refused.stderr


def test_what_the_environment_says_of_the_store_is_gone_from_it(tmp_path: Path) -> None:
    env = {"KEYMUSTER_STORE": f"sqlite:///{tmp_path / 'own.db'}", "PGPASSWORD": "Secret-Pw-1"}
    listed = Product(tmp_path / "state")("runs", "--json", env=env)
    assert json.loads(listed.stdout)["runs"] == []
    assert (tmp_path / "own.db").exists()
