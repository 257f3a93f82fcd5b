"""A copy of the store: whole whoever writes meanwhile; and what an old copy does not know of an account."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from appliance.contract import (
    Account,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Technology,
    named,
)  # fmt: skip
from orchestrator.account_state import Budget
from orchestrator.pacing import Pacer
from orchestrator.store import Store, StoreError, open_store
from orchestrator.store.copying import copy_store
from orchestrator.store.looking import is_at_head

ACCOUNT = Account(authority="dir:corp", user="svc")
BUDGET = Budget(failures=2, window_s=1800.0)


async def test_a_copy_is_whole_and_its_owners_alone(tmp_path: Path) -> None:
    source, copy = tmp_path / "keymuster.db", tmp_path / "backup" / "copy.db"
    store = await open_store(source)
    try:
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                while True:
                    await store.check_writable()

            tasks.start_soon(write, name="test: a writer")
            size = await copy_store(source, copy)
            tasks.cancel_scope.cancel()
        assert await is_at_head(source)
    finally:
        await store.close()
    assert size == copy.stat().st_size > 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert list(copy.parent.iterdir()) == [copy]
    assert await is_at_head(copy)
    restored = await open_store(copy)
    assert (await restored.condition()).check == "ok"
    await restored.close()


async def test_what_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store at"):
        await copy_store(tmp_path / "none.db", tmp_path / "copy.db")
    text = tmp_path / "text.db"
    text.write_text("no database" * 100)
    with pytest.raises(StoreError, match="cannot copy"):
        await copy_store(text, tmp_path / "copy.db")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot copy"):
        await copy_store(text, tmp_path / "file" / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_a_look_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with sqlite3.connect(old) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('0001')")
    database.close()
    before = old.read_bytes()
    assert not await is_at_head(old)
    assert old.read_bytes() == before
    with pytest.raises(StoreError):
        await is_at_head(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def request(attempt: int) -> PermitRequest:
    return PermitRequest(
        run="r",
        job=f"j{attempt}",
        attempt=1,
        lease="l",
        holder=f"h{attempt}",
        account=ACCOUNT,
        record="x",
        valid_for=30.0,
    )


async def fails(pacer: Pacer, store: Store, attempt: int, now: float) -> PermitVerdict:
    """One login that may be, and is refused with a password that is the vault's present one no more."""
    decision = pacer.request(request(attempt), BUDGET, run_began=0.0, now=now)
    await store.ledger.append(decision.entries)
    if decision.answer.verdict is PermitVerdict.GRANTED:
        release = PermitRelease(
            run="r", job=f"j{attempt}", attempt=1, lease="l", holder=f"h{attempt}", account=ACCOUNT,
            technology=Technology.WINDOWS, phase=Phase.AUTH, signal=named("AUTH_TIMEOUT"), submitted=True,
        )  # fmt: skip
        await store.ledger.append(pacer.release(release, now=now + 1))
    return decision.answer.verdict


async def test_an_old_copy_needs_its_window(tmp_path: Path) -> None:
    """docs/runbook.md, Restore: at once the account would get its budget twice; after the window it does not."""
    source, copy = tmp_path / "keymuster.db", tmp_path / "copy.db"
    store, pacer = await open_store(source), Pacer()
    await copy_store(source, copy)
    assert [await fails(pacer, store, n, 1000.0 + n) for n in range(3)] == [
        PermitVerdict.GRANTED,
        PermitVerdict.GRANTED,
        PermitVerdict.SKIP,
    ]
    await store.close()

    restored, again = await open_store(copy), Pacer()
    try:
        assert not again.restore(await restored.ledger.load(0.0))
        early = again.request(request(9), BUDGET, run_began=0.0, now=1060.0)
        assert early.answer.verdict is PermitVerdict.GRANTED, "a third within the window: what the runbook warns of"
        assert pacer.exposure(ACCOUNT, since=1060.0 - BUDGET.window_s) == BUDGET.failures

        late = 1003.0 + BUDGET.window_s
        assert pacer.exposure(ACCOUNT, since=late - BUDGET.window_s) == 0, "what the copy does not know is outside"
    finally:
        await restored.close()
