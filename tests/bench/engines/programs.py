"""How other programs log in to hosts that share a user and a password: medusa, hydra, ncrack, OpenSSH, Ansible."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.engines.contest import ProgramClient
from tests.bench.engines.measure import Host

ANSIBLE = Path(__file__).parents[3] / ".venv-peers" / "vault_clients" / "bin" / "ansible"


def _listed(hosts: Sequence[Host], place: Path) -> str:
    file = place / "hosts"
    file.write_text("".join(f"{host.address}\n" for host in hosts), encoding="utf-8")
    return str(file)


def _lines(pattern: str) -> Callable[[str], int]:
    return lambda output: len(re.findall(pattern, output, re.MULTILINE))


def medusa(port: int, in_flight: int, hosts: int) -> ProgramClient:
    """It runs no command."""

    def command(some: Sequence[Host], place: Path) -> list[str]:
        who = ["-u", some[0].user, "-p", some[0].password, "-M", "ssh", "-n", str(port)]
        return ["medusa", "-H", _listed(some, place), *who, "-t", "1", "-T", str(in_flight)]

    return ProgramClient("medusa (no command)", command, _lines(r"^ACCOUNT FOUND"), hosts)


def hydra(port: int, in_flight: int, hosts: int) -> ProgramClient:
    """It runs no command, and connects a second time to ask for the methods."""

    def command(some: Sequence[Host], place: Path) -> list[str]:
        who = ["-l", some[0].user, "-p", some[0].password, "-s", str(port)]
        return ["hydra", "-I", *who, "-M", _listed(some, place), "-t", "1", "-T", str(in_flight), "ssh"]

    return ProgramClient("hydra (no command)", command, _lines(r"^\[\d+\]\[ssh\] host: "), hosts)


def ncrack(port: int, hosts: int) -> ProgramClient:
    """It runs no command."""

    def command(some: Sequence[Host], place: Path) -> list[str]:
        who = ["--user", some[0].user, "--pass", some[0].password]
        return ["ncrack", "-iL", _listed(some, place), *who, "-p", f"ssh:{port}", "-T5"]

    return ProgramClient("ncrack (no command)", command, _lines(r"^\d+\.\d+\.\d+\.\d+ \d+/tcp ssh: "), hosts)


_SSH = (
    "sshpass -e ssh -F none -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    " -o PubkeyAuthentication=no {user}@$1 id -u </dev/null"
)


def openssh_loop(port: int, in_flight: int, hosts: int, password: str) -> ProgramClient:
    def command(some: Sequence[Host], place: Path) -> list[str]:
        each = _SSH.format(port=port, user=some[0].user)
        return ["xargs", "-a", _listed(some, place), "-P", str(in_flight), "-n", "1", "sh", "-c", each, "-"]

    return ProgramClient("OpenSSH, sshpass in a loop", command, _lines(r"^\d+$"), hosts, {"SSHPASS": password})


def ansible(port: int, in_flight: int, hosts: int, password: str) -> ProgramClient:
    def command(some: Sequence[Host], place: Path) -> list[str]:
        inventory = place / "inventory"
        inventory.write_text("[all]\n" + "".join(f"{host.address}\n" for host in some), encoding="utf-8")
        who = ["-e", f"ansible_port={port}", "-e", f"ansible_user={some[0].user}", "-e", f"@{place / 'vars.json'}"]
        (place / "vars.json").write_text(f'{{"ansible_password": "{password}"}}', encoding="utf-8")
        return [str(ANSIBLE), "all", "-i", str(inventory), *who, "-f", str(in_flight), "-m", "raw", "-a", "id -u"]

    environment = {
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_SSH_ARGS": "-F none -o ControlMaster=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        "ANSIBLE_NOCOLOR": "1",
    }
    return ProgramClient("Ansible, raw", command, _lines(r" \| (CHANGED|SUCCESS) \| rc=0"), hosts, environment)
