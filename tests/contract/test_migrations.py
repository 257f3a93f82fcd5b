"""Migrations expand, and contract in a later release: an older release goes on with a store that a newer one opens."""

from __future__ import annotations

import ast
import inspect
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from alembic import command
from alembic.script import Script, ScriptDirectory
from sqlalchemy import JSON, Boolean, Connection, Float, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.types import TypeEngine

from orchestrator.store import open_store
from orchestrator.store.migrating import configuration
from tests.contract.conftest import Place

FIRST = "0010"
"""Releases from here on may be at work beside newer ones."""
EXPANDS = {"create_table", "create_index", "add_column"}


def later() -> list[Script]:
    scripts = ScriptDirectory.from_config(configuration()).walk_revisions()
    return [script for script in scripts if script.revision > FIRST]


def is_harmless(call: ast.Call) -> bool:
    """Does an older release's insert go on as before?"""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in EXPANDS:
        return False
    if call.func.attr == "create_index":
        return not any(keyword.arg == "unique" for keyword in call.keywords)
    if call.func.attr == "create_table":
        return True
    column = call.args[1]
    assert isinstance(column, ast.Call)
    told = {keyword.arg: ast.unparse(keyword.value) for keyword in column.keywords}
    return told.get("nullable") == "True" or "server_default" in told


def operations(source: str) -> list[ast.Call]:
    """Calls of Alembic's."""
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "op"
    ]


@pytest.mark.parametrize("script", later(), ids=lambda script: script.revision)
def test_a_migration_only_adds_what_an_older_release_does_not_notice(script: Script) -> None:
    found = operations(inspect.getsource(script.module))
    assert found
    assert [ast.unparse(call) for call in found if not is_harmless(call)] == []
    assert script.module.compatible_from <= script.revision


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("runs", "held")',
        'op.alter_column("runs", "held", nullable=False)',
        'op.add_column("runs", sa.Column("x", sa.Text, nullable=False))',
        'op.create_index("i", "runs", ["campaign"], unique=True)',
        'op.execute("DELETE FROM runs")',
    ],
)
def test_what_would_be_noticed_is_found(line: str) -> None:
    assert [is_harmless(call) for call in operations(line)] == [False]


def older(directory: Path) -> list[Table]:
    """The tables as the older release knows them."""
    engine = create_engine(f"sqlite:///{directory / 'older.db'}")
    with engine.begin() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)
        known = MetaData()
        known.reflect(connection)
    engine.dispose()
    return [table for table in known.sorted_tables if table.name not in {"alembic_version", "compatibility"}]


def some(of: TypeEngine[object]) -> object:
    if isinstance(of, Boolean):
        return True
    return 1 if isinstance(of, Integer) else 1.5 if isinstance(of, Float) else {} if isinstance(of, JSON) else "x"


def write(table: Table, connection: Connection) -> None:
    connection.execute(insert(table), {column.name: some(column.type) for column in table.columns})


def count(table: Table, connection: Connection) -> int:
    return len(connection.execute(select(table)).all())


async def test_an_older_releases_statements_go_on(place: Place, tmp_path: Path) -> None:
    """Every table's row with the columns that it knew, and read back by the names that it knew."""
    tables = await anyio.to_thread.run_sync(older, tmp_path)
    assert len(tables) > 12
    store = await open_store(place.url, password=place.password)
    database = store._databases[0]
    try:
        for table in tables:
            await database.write(partial(write, table))
            assert await database.read(partial(count, table)) == 1
    finally:
        await store.close()
