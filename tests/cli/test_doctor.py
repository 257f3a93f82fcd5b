"""`doctor` and `backup` as commands: what they say, and that nothing is changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appliance.bus.users import new_user
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Ended, Product
from tests.acceptance.served import serving
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, Write
from tests.cli.nats import nats_server
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESTATE = '[[hosts]]\ncount = 1\nnetwork = "127.75.0.0/16"\n'


def found(ended: Ended) -> dict[str, dict[str, Any]]:
    conforms(ended.document, "doctor")
    return {one["check"]: one for one in ended.document["findings"]}


def test_a_machine_without_a_store(keymuster: Product) -> None:
    ended = keymuster("doctor", "--json")
    findings = found(ended)
    assert set(findings) == {"clock", "open files", "ptrace", "swap", "core dumps", "disk", "store", "bus", "versions"}
    assert findings["bus"]["level"] == findings["versions"]["level"] == "ok"
    assert "the first run makes one" in findings["store"]["text"]
    assert not keymuster.state.exists()
    assert "What to change" in keymuster("doctor").stdout


def test_stores(keymuster: Product) -> None:
    keymuster.state.mkdir()
    file = keymuster.state / "keymuster.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    ended = keymuster("doctor", "--json")
    assert ended.code == 1
    assert "some other program's database" in found(ended)["store"]["text"]
    file.unlink()
    keymuster("stop", "--vault", "V")  # makes one
    assert found(keymuster("doctor", "--json"))["store"]["text"] == "opens, and is at this release's schema"
    with sqlite3.connect(file) as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    database.close()
    assert found(keymuster("doctor", "--json"))["store"]["level"] == "warn"
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",), "not migrated"
    database.close()


def test_vaults(keymuster: Product, write: Write, tmp_path: Path) -> None:
    ended = keymuster("doctor", "--json", "--campaign", write(), env=PASSWORD)
    assert ended.code == 3, ended.stderr
    assert "VAULT_UNREACHABLE" in found(ended)["vault"]["text"]
    assert not keymuster.state.exists()
    with running_lab(tmp_path, ESTATE) as lab:
        file = write(lab.vault_table(title="V"), RECORD, TARGETS)
        ended = keymuster("doctor", "--json", "--campaign", file)
        assert ended.code == 0, ended.stdout + ended.stderr
        assert found(ended)["vault"]["text"] == "'V' answers the appliance and takes its login"
        assert found(ended)["vault clock"]["level"] == "ok"
        with serving(keymuster.state) as service:
            service.hears("serving")
            assert keymuster("doctor", "--campaign", file).code == 0, "by the holder's appliance"
            assert service.end() == 0
        assert lab.password not in ended.stdout + ended.stderr


def test_a_bus_of_ones_own(keymuster: Product, tmp_path: Path) -> None:
    user, stranger = new_user(), new_user()
    for name, one in (("seed", user), ("other", stranger)):
        (tmp_path / name).write_text(one.seed)
    with nats_server(tmp_path, f'authorization {{ users: [ {{"nkey": "{user.public}"}} ] }}\n') as url:
        good = keymuster("doctor", "--json", "--nats", url, "--nats-seed", tmp_path / "seed")
        assert found(good)["bus"]["text"] == f"{url} takes our login, is 2.11 or later, and JetStream answers"
        assert good.code == 0
        refused = keymuster("doctor", "--json", "--nats", url, "--nats-seed", tmp_path / "other")
        assert (refused.code, found(refused)["bus"]["level"]) == (3, "bad")
    gone = keymuster("doctor", "--json", "--nats", url, "--nats-seed", tmp_path / "seed")
    assert (gone.code, found(gone)["bus"]["level"]) == (3, "bad")


def test_an_appliances_file(keymuster: Product, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    assert keymuster.stateless("appliance", "init", file).code == 0
    assert found(keymuster("doctor", "--json", "--appliance", file))["appliance"]["text"] == f"{file} is in order"
    file.write_text(file.read_text().replace("capacity = 256", "capacity = 0"))
    ended = keymuster("doctor", "--json", "--appliance", file)
    assert ended.code == 1
    assert "capacity" in found(ended)["appliance"]["text"]


def test_a_backup(keymuster: Product, tmp_path: Path) -> None:
    ended = keymuster("backup", tmp_path / "copies")
    assert ended.code == 2
    assert "there is no store at" in ended.stderr
    with serving(keymuster.state) as service:
        service.hears("serving")
        ended = keymuster("backup", tmp_path / "copies")
        assert ended.code == 0, ended.stderr
        [copy] = (tmp_path / "copies").iterdir()
        assert ended.stdout.startswith(f"{copy}: ")
        assert service.end() == 0
