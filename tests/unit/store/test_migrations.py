"""The schema is the sum of the migrations, and a store of another release is upgraded or refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from orchestrator.store import RunRecord, RunState, StoreError, open_store
from orchestrator.store.migrating import configuration
from orchestrator.store.schema import HEAD, metadata


def statements(path: Path) -> dict[str, str]:
    """Name -> the statement SQLite remembers it by, white space aside."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in rows}


async def test_the_schema_is_the_sum_of_the_migrations(tmp_path: Path) -> None:
    migrated, declared = tmp_path / "migrated.db", tmp_path / "declared.db"
    store = await open_store(migrated)
    await store.close()
    engine = create_engine(f"sqlite:///{declared}")
    metadata.create_all(engine)
    engine.dispose()
    found = statements(migrated)
    assert found.pop("alembic_version")
    assert found == statements(declared)


async def test_alembic_finds_nothing_to_add(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    await store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_head_is_the_last_migration() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_the_tables_can_be_made_in_postgresql() -> None:
    dialect = make_url("postgresql://").get_dialect()()
    for table in metadata.tables.values():
        assert str(CreateTable(table).compile(dialect=dialect)).strip().startswith(f"CREATE TABLE {table.name}")
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect)).startswith(
                f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {index.name}"
            )


async def test_a_store_that_is_behind_is_upgraded(tmp_path: Path) -> None:
    """An empty version table is what a store looks like before its first step."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.commit()
    store = await open_store(path)
    assert await store.runs.all() == []
    await store.close()
    assert "runs" in statements(path)


def mark(path: Path, revision: str, compatible_from: str | None) -> None:
    """What a store looks like that a newer release has migrated."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.execute("DELETE FROM compatibility")
        if compatible_from is not None:
            connection.execute("INSERT INTO compatibility VALUES (?)", [compatible_from])
        connection.commit()


@pytest.mark.parametrize("compatible_from", ["9998", None])
async def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path, compatible_from: str | None) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    await store.close()
    mark(path, "9999", compatible_from)
    before = statements(path)
    with pytest.raises(StoreError, match=r"a newer Keymuster made it \(schema 9999\); use that release"):
        await open_store(path)
    assert statements(path) == before


async def test_a_newer_store_that_has_only_grown_is_used(tmp_path: Path) -> None:
    """A newer release has added a column and a table, and says that we may go on."""
    path = tmp_path / "store.db"
    store = await open_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN window TEXT")
        connection.execute("CREATE TABLE later (id TEXT)")
        connection.commit()
    mark(path, "9999", HEAD)
    before = statements(path)
    await store.runs.add(RunRecord("r1", "quarterly", 1.0, RunState.QUEUED, 1, {}))
    await store.close()
    store = await open_store(path)
    assert [run.id for run in await store.runs.all()] == ["r1"]
    assert (await store.condition()).revision == "9999"
    await store.close()
    assert statements(path) == before, "it is not migrated back"


async def test_a_store_says_from_which_release_on_it_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await open_store(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT compatible_from FROM compatibility").fetchall()
    assert found == [(ScriptDirectory.from_config(configuration()).get_revision(HEAD).module.compatible_from,)]


def test_each_migration_says_from_where_on_it_is_compatible() -> None:
    """A number is never lowered: what was taken away does not come back."""
    scripts = sorted(ScriptDirectory.from_config(configuration()).walk_revisions(), key=lambda s: s.revision)
    marks = [s.module.compatible_from for s in scripts if s.revision >= "0008"]
    assert marks == sorted(marks)
    assert all(m <= s.revision for m, s in zip(marks, scripts[7:], strict=True))


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    with pytest.raises(StoreError, match="some other program's database; name another one"):
        await open_store(path)
    assert list(statements(path)) == ["bookmarks"]
