"""The simulated vault before other people's clients: Delinea's Python SDK with its own tests, Ansible, curl."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.vault_clients import ROOT, Clients, installed, served_vault

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(600)]

ESTATE = r"""
seed = 7
[vault]
mount = "/sim.secretservercloud.com"
[[secrets]]
name = "scanadmin"
user = "root"
machine = "10.0.0.1"
login = "key"
folder = '\Scan\Linux'
[[secrets]]
name = "windows"
template = "windows"
folder = '\Scan\Windows'
[[secrets]]
name = "top"
folder = '\Scan'
"""
# The SDK's tests know clouds only: `https://{tenant}.secretservercloud.com`. A tenant with a path in it leads here.


@pytest.fixture(scope="module")
def clients() -> Clients:
    return installed()


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with served_vault(tmp_path_factory.mktemp("vault"), ESTATE) as ready:
        yield ready | {"port": ready["url"].split(":")[2].split("/")[0]}


def password(ready: dict[str, Any]) -> str:
    return Path(ready["password_file"]).read_text(encoding="utf-8")


def metrics(ready: dict[str, Any]) -> dict[str, Any]:
    trusting = ssl.create_default_context(cafile=ready["ca"])
    with urllib.request.urlopen(f"{ready['lab_url']}/metrics.json", context=trusting) as response:  # noqa: S310 - our own
        seen: dict[str, Any] = json.loads(response.read())["vault"]
        return seen


def test_the_sdks_own_tests_pass(clients: Clients, vault: dict[str, Any]) -> None:
    host = f"localhost:{vault['port']}"
    env = {
        "REQUESTS_CA_BUNDLE": vault["ca"],
        "TSS_USERNAME": vault["user"],
        "TSS_PASSWORD": password(vault),
        "TSS_TENANT": f"{host}/sim",
        "TSS_SECRET_ID": "3",
        "TSS_SECRET_PATH": r"\Scan\top",
        "TSS_FOLDER_ID": "2",
        "TSS_FOLDER_PATH": r"\Scan",
        "TSS_PLATFORM_USERNAME": vault["user"],
        "TSS_PLATFORM_PASSWORD": password(vault),
        "TSS_PLATFORM_BASE_URL": f"https://{host}/platform",
    }
    done = clients.run("pytest", "-q", "-c", "pyproject.toml", "-p", "no:cacheprovider", cwd=clients.sdk, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^22 passed", done.stdout, re.MULTILINE), done.stdout
    assert metrics(vault)["views"] > 0


PLAYBOOK = r"""
- hosts: localhost
  gather_facts: false
  vars:
    by_id: "{{ lookup('community.general.tss', 3) }}"
    by_path: "{{ lookup('community.general.tss', 0, secret_path='\\Scan\\Linux\\scanadmin') }}"
    in_folder: "{{ lookup('community.general.tss', 2, fetch_secret_ids_from_folder=true) }}"
  tasks:
    - copy:
        dest: "{{ playbook_dir }}/found.json"
        content: "{{ {'id': by_id, 'path': by_path, 'folder': in_folder} | to_json }}"
    - assert:
        that: lookup('community.general.tss', 1, fetch_attachments=true, file_download_path=playbook_dir) is truthy
"""


def test_ansible_looks_up_by_id_by_path_and_by_folder(clients: Clients, vault: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    env = {
        "REQUESTS_CA_BUNDLE": vault["ca"],
        "TSS_BASE_URL": vault["url"].replace("127.0.0.1", "localhost"),
        "TSS_USERNAME": vault["user"],
        "TSS_PASSWORD": password(vault),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
    }
    done = clients.run("ansible-playbook", "play.yml", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    # The plugin gives text by id and an object by path.
    by_id, by_path = json.loads(found["id"]), found["path"]
    assert (by_id["id"], by_id["name"]) == (3, "top")
    items = {item["slug"]: item["itemValue"] for item in by_path["items"]}
    assert (by_path["name"], items["username"]) == ("scanadmin", "root")
    assert items["private-key-passphrase"].startswith("KMS-")
    assert "3" in str(found["folder"])
    keys = [f for f in tmp_path.iterdir() if f.is_file() and b"OPENSSH PRIVATE KEY" in f.read_bytes()]
    assert len(keys) == 1


def test_ansible_says_that_the_login_failed(clients: Clients, vault: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    url = vault["url"].replace("127.0.0.1", "localhost")
    env = {"REQUESTS_CA_BUNDLE": vault["ca"], "TSS_BASE_URL": url, "TSS_USERNAME": "nobody", "TSS_PASSWORD": "wrong"}
    done = clients.run("ansible-playbook", "play.yml", cwd=tmp_path, env=env)
    assert done.returncode != 0
    assert "Login failed." in done.stdout + done.stderr


def test_the_examples_of_docs_lab_vault_run(tmp_path: Path) -> None:
    """As they stand, but for the port."""
    bash, curl = shutil.which("bash"), shutil.which("curl")
    assert bash, "needs bash"
    assert curl, "needs curl"
    page = (ROOT / "docs" / "lab-vault.md").read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    state = tmp_path / "lab-vault"
    state.mkdir()
    with served_vault(state) as ready:
        script = examples.replace("127.0.0.1:8443/SecretServer", ready["url"].removeprefix("https://"))
        script = script.replace("https://127.0.0.1:8443/_lab", ready["lab_url"])
        assert "8443" not in script
        done = subprocess.run(
            [bash, "-O", "expand_aliases", "-ec", script],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"name": "linux-7"' in done.stdout
    assert "OPENSSH PRIVATE KEY" in done.stdout
    assert "API_CheckOutRequired" in done.stdout
    assert '"requests"' in done.stdout
