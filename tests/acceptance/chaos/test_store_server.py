"""A campaign whose store is a PostgreSQL server that dies in the middle of it: the run waits, and is exact."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from tests.acceptance.chaos.estates import HELD, HOSTS, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.product import Product
from tests.peers.postgres import PASSWORD, Postgres, running_postgres

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(240)]

MIDDLE = 120
AWAY_S = 3.0


@pytest.fixture
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["crash", "restart"])
def test_the_server_is_away_for_a_while(
    server: Postgres,
    how: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[..., Command],
    nobody_is_left: Callable[..., None],
) -> None:
    database = anyio.run(server.new_database)
    monkeypatch.setenv("KEYMUSTER_STORE", server.url(database).replace("@", f":{PASSWORD}@"))
    with estate(tmp_path, f'account = "local"\n{HELD}') as hosts:
        # A verdict is taken in when it is durable, and its login waits for that: the time is the attempt's own.
        file = hosts.campaign(record='secret = "unix-{address}"\naccounts = "local"', deadline="60s")
        command = start("run", str(file))
        until(lambda: hosts.logons() >= MIDDLE or command.process.poll() is not None, "the middle of the run")
        assert command.process.poll() is None, command.said
        server.restart(how, AWAY_S)
        assert command.wait() == 0, command.said
        report = command.report()
        report.is_exact()
        assert report.reasons == {"PASSED": HOSTS}
        assert hosts.most_logons_on_a_host() <= 2
        product = Product(tmp_path / "state")
        again = product("report", "--json")
        assert again.document["totals"] == report.document["totals"]
        audit = product("audit", "--json")
        assert audit.code == 0, audit.stderr
        nobody_is_left(hosts.pid, *server.pids)
    outcomes = anyio.run(server.execute, "SELECT count(*), count(DISTINCT job) FROM outcomes", database)
    assert outcomes == [(HOSTS, HOSTS)]
    granted = "SELECT max(n) FROM (SELECT count(*) n FROM permits WHERE kind = 'granted' GROUP BY run, job, attempt) _"
    assert anyio.run(server.execute, granted, database) == [(1,)], "no permit was written twice"
    assert not (tmp_path / "state" / "keymuster.db").exists()
