"""What a server adds to a store: it is opened by many at once, it refuses, it goes away, and comes back."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
import trustme
from anyio.abc import SocketAttribute, SocketStream
from sqlalchemy import Connection, text

from orchestrator.permit_ledger import EntryKind
from orchestrator.store import RunState, StoreError, open_store
from orchestrator.store.schema import HEAD, metadata
from orchestrator.store.server_address import server_address
from tests.contract.test_store import RUN, dispatch, entry, job, run_record, settled
from tests.peers.postgres import PASSWORD, Postgres, running_postgres

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[str]:
    """An empty one."""
    name = await postgres.new_database()
    yield name
    await postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


# -- schema ------------------------------------------------------------------------------------------------------------


async def test_many_open_an_empty_database_at_once(postgres: Postgres, database: str) -> None:
    async def use(number: int) -> None:
        store = await open_store(postgres.url(database), password=PASSWORD)
        await store.runs.add(run_record(f"r{number}"))
        await store.close()

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(use, number)
    assert await postgres.execute("SELECT version_num FROM alembic_version", database) == [(HEAD,)]
    assert await postgres.execute("SELECT count(*) FROM compatibility", database) == [(1,)]
    assert await postgres.execute("SELECT count(*) FROM runs", database) == [(5,)]


async def test_the_tables_are_those_of_the_schema(postgres: Postgres, database: str) -> None:
    await (await open_store(postgres.url(database), password=PASSWORD)).close()
    columns = await postgres.execute(
        "SELECT table_name, column_name, coalesce(collation_name, ''), is_nullable = 'YES' "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
        database,
    )
    variants = {
        (table.name, column.name): getattr(column.type._variant_mapping.get("postgresql"), "collation", None) or ""
        for table in metadata.tables.values()
        for column in table.columns
    }
    declared = {
        (t.name, c.name, variants[t.name, c.name], bool(c.nullable))
        for t in metadata.tables.values()
        for c in t.columns
    }
    assert set(columns) == declared
    indexes = await postgres.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'", database)
    named = {name for (name,) in indexes if not str(name).endswith("_pkey") and name != "alembic_version_pkc"}
    assert named == {str(index.name) for table in metadata.tables.values() for index in table.indexes}


@pytest.mark.parametrize("change", ["UPDATE compatibility SET compatible_from = '9998'", "DELETE FROM compatibility"])
async def test_a_newer_store_is_refused(postgres: Postgres, database: str, change: str) -> None:
    await (await open_store(postgres.url(database), password=PASSWORD)).close()
    await postgres.execute("UPDATE alembic_version SET version_num = '9999'", database)
    await postgres.execute(change, database)
    with pytest.raises(StoreError, match=r"a newer Keymuster made it \(schema 9999\)"):
        await open_store(postgres.url(database), password=PASSWORD)


async def test_a_newer_release_expands_the_schema_under_a_store_in_use(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    await store.runs.add(run_record())
    await dispatch(store, job("j1"))
    for change in (
        "ALTER TABLE attempts ADD COLUMN later TEXT DEFAULT ''", "ALTER TABLE runs ADD COLUMN later INT",
        "CREATE INDEX more ON outcomes (reason)", "UPDATE alembic_version SET version_num = '9999'",
    ):  # fmt: skip
        await postgres.execute(change, database)
    assert await store.attempts.settle([settled(job("j1"))]) == [True]
    assert (await store.runs.get(RUN)) == run_record()
    await store.close()
    store = await open_store(postgres.url(database), password=PASSWORD)
    assert [o.reason async for o in store.attempts.outcomes(RUN)] == ["PASSED"]
    await store.close()


async def test_another_programs_database_is_refused(postgres: Postgres, database: str) -> None:
    await postgres.execute("CREATE TABLE bookmarks (url TEXT)", database)
    with pytest.raises(StoreError, match="some other program's database; name another one"):
        await open_store(postgres.url(database), password=PASSWORD)


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_a_wrong_password_and_a_wrong_name(postgres: Postgres, database: str) -> None:
    with pytest.raises(StoreError, match=r"does not take the password; .*KEYMUSTER_STORE_PASSWORD_FILE") as caught:
        await open_store(postgres.url(database), password="Wrong-Pw-1")
    assert "Wrong-Pw-1" not in str(caught.value)
    with pytest.raises(StoreError, match=r"there is no such database; make it \(createdb\)"):
        await open_store(postgres.url("gone"), password=PASSWORD)
    with pytest.raises(StoreError, match="it does not take the password"):
        await open_store(postgres.url(database, user="nobody"), password=PASSWORD)


async def test_a_user_without_rights(postgres: Postgres, database: str) -> None:
    await (await open_store(postgres.url(database), password=PASSWORD)).close()
    await postgres.execute(f"CREATE ROLE reader_{database} LOGIN PASSWORD '{PASSWORD}'")
    await postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{database}", database)
    store = await open_store(postgres.url(database, user=f"reader_{database}"), password=PASSWORD)
    assert await store.runs.all() == []
    with pytest.raises(StoreError, match=r"its user may not do that: permission denied for table runs; let it own"):
        await store.runs.add(run_record())
    await store.close()


async def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with anyio.fail_after(30), pytest.raises(StoreError, match=r"it cannot be reached .*; is the server up"):
        await open_store("postgresql://keymuster@127.0.0.1:1/keymuster")


async def test_a_password_file(
    postgres: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{postgres.port}:*:keymuster:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    store = await open_store(postgres.url(database))
    await store.close()


async def test_a_unix_socket(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.socket_url(database))
    assert await store.runs.all() == []
    await store.close()


async def test_without_the_driver_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "orchestrator.store.postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreError, match=r"needs asyncpg, which is not installed: pip install keymuster\[postgres\]"):
        await open_store("postgresql://keymuster@127.0.0.1/keymuster")


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://u@db.example/k", "verify-full"),
        ("postgresql://u@10.0.0.1/k", "verify-full"),
        ("postgresql://u@localhost.example/k", "verify-full"),
        ("postgresql://u@localhost/k", "disable"),
        ("postgresql://u@127.0.0.9/k", "disable"),
        ("postgresql://u@[::1]/k", "disable"),
        ("postgresql:///k?host=/run/postgresql", "disable"),
        ("postgresql://u@127.0.0.9/k?sslmode=verify-ca", "verify-ca"),
    ],
)
def test_off_loopback_the_server_must_prove_who_it_is(url: str, mode: str) -> None:
    from sqlalchemy import make_url  # noqa: PLC0415

    assert server_address(make_url(url), None).sslmode == mode


async def test_tls(tmp_path: Path) -> None:
    ours, strange = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    strange.cert_pem.write_to_path(tmp_path / "strange.pem")
    certificate = ours.issue_cert("127.0.0.1")
    files = tmp_path / "server"
    files.mkdir()
    certificate.cert_chain_pems[0].write_to_path(files / "server.pem")
    certificate.private_key_pem.write_to_path(files / "server.key")
    tls = (f"-cssl_cert_file={files / 'server.pem'}", f"-cssl_key_file={files / 'server.key'}")
    with running_postgres() as server:
        (server.directory / "pem").mkdir()
        for name in ("server.pem", "server.key"):
            place = server.directory / "pem" / name
            place.write_bytes((files / name).read_bytes())
            place.chmod(0o600)
            os.chown(place, server.directory.stat().st_uid, server.directory.stat().st_gid)
        os.chown(server.directory / "pem", server.directory.stat().st_uid, server.directory.stat().st_gid)
        with pytest.raises(StoreError, match="rejected SSL upgrade"):
            await open_store(server.url("postgres") + "?sslmode=require", password=PASSWORD)
        server.stop()
        server.settings = ("-cssl=on", *(option.replace(str(files), str(server.directory / "pem")) for option in tls))
        server.start()
        url, host = server.url("postgres"), f"localhost:{server.port}"
        for settings in (f"?sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}", "?sslmode=require"):
            store = await open_store(url + settings, password=PASSWORD)
            used = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert await store.runs._database.read(lambda c: c.execute(used).scalar_one())  # noqa: B023
            await store.close()
        for settings in (f"&sslrootcert={tmp_path / 'strange.pem'}", ""):
            with pytest.raises(StoreError, match=r"TLS fails: .*; look at sslmode and sslrootcert"):
                await open_store(f"{url}?sslmode=verify-full{settings}", password=PASSWORD)
        elsewhere = f"postgresql://keymuster@{host}/postgres?sslrootcert={tmp_path / 'ca.pem'}&sslmode="
        with pytest.raises(StoreError, match="TLS fails"):
            await open_store(f"{elsewhere}verify-full", password=PASSWORD)
        await (await open_store(f"{elsewhere}verify-ca", password=PASSWORD)).close()
        (tmp_path / "broken.pem").write_text("nothing")
        with pytest.raises(StoreError, match=r"sslrootcert=.*broken\.pem: cannot be read as PEM"):
            await open_store(f"{url}?sslmode=require&sslrootcert={tmp_path / 'broken.pem'}", password=PASSWORD)


# -- durability --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("server", "ours"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")])
async def test_a_commit_is_never_weaker_than_the_disk(
    postgres: Postgres, database: str, server: str, ours: str
) -> None:
    await postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = {server}")
    store = await open_store(postgres.url(database), password=PASSWORD)
    shown = text("SHOW synchronous_commit")
    for one in store._databases:
        assert await one.read(lambda c: c.execute(shown).scalar_one()) == ours
        assert await one.write(lambda c: c.execute(shown).scalar_one()) == ours
    await store.close()


# -- a connection that is lost -----------------------------------------------------------------------------------------


async def test_a_transaction_whose_connection_is_ended_is_run_again(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    runs = 0

    def step(connection: Connection) -> int:
        nonlocal runs
        runs += 1
        connection.execute(text("INSERT INTO searches (run, begun_at) VALUES ('r1', 1)"))
        if runs == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return runs

    assert await store.runs._database.write(step) == 2
    assert await postgres.execute("SELECT count(*) FROM searches", database) == [(1,)]
    await store.close()


@pytest.mark.skipif(sys.platform != "linux", reason="its names for these options")
async def test_a_server_of_which_nothing_is_heard_is_dialled_anew(postgres: Postgres, database: str) -> None:
    def step(connection: Connection) -> tuple[int, int]:
        sock = connection.connection.driver_connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
        kept = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return kept, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    store = await open_store(postgres.url(database), password=PASSWORD)
    assert await store.runs._database.read(step) == (1, 10_000)
    await store.close()


async def test_a_deadlock_is_run_again(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    for name in ("a", "b"):
        await store.runs.add(run_record(name))
    mine, theirs = (database_ for database_ in store._databases)
    update = text("UPDATE runs SET planned = planned + 1 WHERE id = :id")
    pause = text("SELECT pg_sleep(0.3)")

    def both(first: str, second: str) -> Callable[[Connection], None]:
        def step(connection: Connection) -> None:
            connection.execute(update, {"id": first})
            connection.execute(pause)
            connection.execute(update, {"id": second})

        return step

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mine.write, both("a", "b"))
        tasks.start_soon(theirs.write, both("b", "a"))
    assert [run.planned for run in await store.runs.all()] == [2, 2]
    await store.close()


async def test_reads_of_one_step_see_one_snapshot(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    counted = text("SELECT count(*) FROM runs")
    started, go_on = anyio.Event(), text("SELECT pg_sleep(0.5)")

    def step(connection: Connection) -> tuple[int, int]:
        before = connection.execute(counted).scalar_one()
        started.set()
        connection.execute(go_on)
        return before, connection.execute(counted).scalar_one()

    found: list[tuple[int, int]] = []
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            found.append(await store.runs._database.read(step))

        tasks.start_soon(read)
        await started.wait()
        await store.runs.add(run_record())
    assert found == [(0, 0)]
    assert len(await store.runs.all()) == 1
    await store.close()


_ENDED = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


@dataclass
class Wire:
    """Between a store and its server: cuts the connection when the next COMMIT comes by."""

    port: int
    listening: int = 0
    cut: str = ""
    """`before` the server has it, or `after` the server has done it; once."""
    seen: list[str] = field(default_factory=list)

    async def carry(self, client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self.port) as server,
            anyio.create_task_group() as tasks,
        ):
            committed = anyio.Event()
            tasks.start_soon(self._up, client, server, committed, tasks.cancel_scope)
            with suppress(*_ENDED):
                while data := await server.receive():
                    if committed.is_set():
                        break
                    await client.send(data)
            tasks.cancel_scope.cancel()

    async def _up(
        self, client: SocketStream, server: SocketStream, committed: anyio.Event, scope: anyio.CancelScope
    ) -> None:
        with suppress(*_ENDED):
            while data := await client.receive():
                if self.cut and re.search(rb"COMMIT;?\0", data):
                    how, self.cut = self.cut, ""
                    self.seen.append(how)
                    if how == "before":
                        break
                    committed.set()  # what the server says now is not passed on
                await server.send(data)
        if not committed.is_set():
            scope.cancel()


@asynccontextmanager
async def wire(postgres: Postgres) -> AsyncIterator[Wire]:
    between = Wire(postgres.port)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        between.listening = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, between.carry)
        yield between
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated(
    postgres: Postgres, database: str, cut: str
) -> None:
    async with wire(postgres) as between:
        url = postgres.url(database).replace(str(postgres.port), str(between.listening))
        store = await open_store(url, password=PASSWORD)
        await store.runs.add(run_record())
        await dispatch(store, job("j1"), job("j2"))

        between.cut = cut
        await store.ledger.append([entry(EntryKind.GRANTED, 1.0)])
        assert len(await store.ledger.load(0.0)) == 1

        between.cut = cut
        assert await store.attempts.settle([settled(job("j1"))]) == [True], "its answer is that of the one commit"
        assert await store.attempts.settle([settled(job("j1"))]) == [False]

        between.cut = cut
        await store.runs.add(run_record("r2"))
        assert [run.id for run in await store.runs.all()] == [RUN, "r2"]
        assert between.seen == [cut] * 3
        await store.close()


@pytest.mark.keeps_open("the module's server, started anew")
async def test_a_server_that_restarts_is_waited_for(postgres: Postgres, database: str) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    await store.runs.add(run_record())
    done = anyio.Event()

    async def write() -> None:
        for number in range(40):
            await store.ledger.append([entry(EntryKind.GRANTED, float(number))])
        done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.to_thread.run_sync(postgres.restart)
        assert (await store.runs.get(RUN)) == run_record()
        await store.runs.update(RUN, state=RunState.RUNNING)
        await done.wait()
    assert [e.at for e in await store.ledger.load(0.0)] == [float(n) for n in range(40)]
    await store.close()


@pytest.mark.keeps_open("the module's server, started anew")
async def test_a_server_that_stays_away_is_an_error_that_says_so(
    postgres: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(postgres.url(database), password=PASSWORD)
    monkeypatch.setattr("orchestrator.store.database.PATIENCE_S", 1.0)
    await anyio.to_thread.run_sync(postgres.stop)
    try:
        with pytest.raises(StoreError, match=r"no answer in 1 s; look at its disk or server"):
            await store.ledger.append([entry(EntryKind.GRANTED, 1.0)])
        with pytest.raises(StoreError, match="no answer in 1 s"):
            await store.runs.all()
    finally:
        await anyio.to_thread.run_sync(postgres.start)
    await store.ledger.append([entry(EntryKind.GRANTED, 1.0)])
    assert len(await store.ledger.load(0.0)) == 1, "what was given up was not written"
    await store.close()
