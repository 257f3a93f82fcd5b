"""A load test's lease: other orchestrators' pacers know of its end by it, and of its beginning."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from orchestrator.cli.engine import Engine
from orchestrator.cli.load_display import LoadDisplay
from orchestrator.cli.loading import _drive
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.load.driving import Driver, LoadTest
from orchestrator.store import Store, open_store

RUN = "load-1"


class Ended:
    gave_up = ""

    def __init__(self) -> None:
        self.stopping = anyio.Event()

    def wake(self) -> None:
        pass


async def driven(store: Store, monkeypatch: pytest.MonkeyPatch, *, loses_it: bool) -> tuple[list[str], str]:
    """Whose lease it was while it was under way, and why it was stopped."""
    seen: list[str] = []
    keeper = LeaseKeeper(store.leases, store.fences, "here")

    async def execute(*_: object, controller_ready: object, book: object) -> None:
        assert callable(controller_ready)
        controller_ready(Ended())
        row = (await store.leases.all())[run_lease(RUN)]
        seen.append(row.owner)
        if loses_it:
            await store.leases.give_back({row.name: row.token})
            await keeper._renew()

    service = SimpleNamespace(execute=execute, beats=list, capacity=int)
    engine = SimpleNamespace(service=service, keeper=keeper, stand_in="z", appliance=None)
    test = SimpleNamespace(plan=SimpleNamespace(run=RUN), dispatcher=None, recorder=None, over_at=0.0)
    monkeypatch.setattr(Driver, "run", _nothing)
    monkeypatch.setattr("orchestrator.cli.loading._show", _nothing)
    parts = cast("Engine", engine), cast("LoadTest", test), anyio.Event(), cast("LoadDisplay", None)
    return seen, await _drive(*parts)


async def _nothing(_: object) -> None:
    await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("loses_it", [False, True])
async def test_it_is_held_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loses_it: bool) -> None:
    store = await open_store(tmp_path / "store.db")
    try:
        seen, stopped = await driven(store, monkeypatch, loses_it=loses_it)
        assert seen == ["here"]
        assert stopped == ("its lease was lost" if loses_it else "")
        left = await store.leases.all()
        assert run_lease(RUN) not in left
    finally:
        await store.close()
