from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import asyncssh
import pytest

from targets import lab, material
from targets.estate import AccountKey
from targets.ssh.shell import answer
from targets.vault_spec import Where
from targets.world import World
from tests.unit.targets.targets_lab import Clock, build, connect, running, tcp, until


def password(world: World, address: str) -> str:
    """What the vault holds for a host."""
    return world.estate.secrets[world.estate.hosts[address].secret].material.password


def key(world: World, address: str) -> asyncssh.SSHKey:
    held = world.estate.secrets[world.estate.hosts[address].secret].material
    return asyncssh.import_private_key(held.private_key_file(), held.passphrase)


def logons(world: World, address: str) -> list[tuple[str, bool, str]]:
    return [(seen.user, seen.ok, seen.method) for seen in world.metrics.hosts[address].logons]


async def closed_down(world: World) -> None:
    """Until the servers' side has seen the end of every connection."""

    async def so() -> bool:
        return world.metrics.open_connections == 0

    await until(so)


WIRE = {"password": "password", "keyboard-interactive": "keyboard-interactive", "key": "publickey"}


def method(name: str) -> dict[str, Any]:
    return {"preferred_auth": name}


@pytest.mark.parametrize("login", ["password", "keyboard-interactive", "key"])
async def test_each_way_of_logging_in_works_and_is_counted(tmp_path: Path, login: str) -> None:
    async with running(f'[[hosts]]\nlogin = "{login}"', tmp_path) as (ready, world):
        address = "127.20.0.1"
        how = {"client_keys": [key(world, address)]} if login == "key" else {"password": password(world, address)}
        async with connect(ready, address, **how, **method(WIRE[login])) as connection:
            done = await connection.run("id")
            assert (done.exit_status, done.stdout) == (0, "uid=1001(scan) gid=1001(scan) groups=1001(scan),27(sudo)\n")
        await closed_down(world)
        wire_name = WIRE[login]
        assert logons(world, address) == [("scan", True, wire_name)]
        assert world.metrics.hosts[address].connections == 1
        assert world.metrics.hosts[address].commands == 1


@pytest.mark.parametrize("name", ["password", "keyboard-interactive"])
async def test_a_wrong_password_is_refused_and_counted_once(tmp_path: Path, name: str) -> None:
    async with running('[[hosts]]\nfault = "wrong_password"', tmp_path) as (ready, world):
        address = "127.20.0.1"
        with pytest.raises(asyncssh.PermissionDenied):
            async with connect(ready, address, password=password(world, address), **method(name)):
                pass
        assert logons(world, address) == [("scan", False, name)]


async def test_a_wrong_key_and_an_unknown_user_are_refused(tmp_path: Path) -> None:
    async with running('[[hosts]]\nlogin = "key"\nfault = "wrong_password"\n[[hosts]]', tmp_path) as (ready, world):
        with pytest.raises(asyncssh.PermissionDenied):
            async with connect(ready, "127.20.0.1", client_keys=[key(world, "127.20.0.1")]):
                pass
        assert logons(world, "127.20.0.1") == [("scan", False, "publickey")]
        with pytest.raises(asyncssh.PermissionDenied):
            async with connect(
                ready, "127.20.0.2", username="x" * 99, password=password(world, "127.20.0.2"), **method("password")
            ):
                pass
        assert logons(world, "127.20.0.2") == [("x" * 64, False, "password")]


async def test_key_only_offers_no_method_for_a_password(tmp_path: Path) -> None:
    async with running('[[hosts]]\nfault = "key_only"\n[[hosts]]', tmp_path) as (ready, world):
        offered = [
            await asyncssh.get_server_auth_methods(address, ready.ssh_port, username="scan", config=None)
            for address in world.estate.hosts
        ]
        assert offered == [["publickey"], ["publickey", "password", "keyboard-interactive"]]
        assert not logons(world, "127.20.0.1")


async def test_no_sudo_wants_a_password(tmp_path: Path) -> None:
    async with running('[[hosts]]\nfault = "no_sudo"\n[[hosts]]', tmp_path) as (ready, world):
        results = []
        for address in world.estate.hosts:
            async with connect(ready, address, password=password(world, address)) as connection:
                results.append(await connection.run("LC_ALL=C sudo -n -l"))
        assert [(r.exit_status, r.stderr) for r in results] == [(1, "sudo: a password is required\n"), (0, "")]
        assert "NOPASSWD: ALL" in results[1].stdout


async def test_a_silent_host_takes_the_connection_and_says_nothing(tmp_path: Path) -> None:
    async with running('[[hosts]]\nfault = "silent"', tmp_path) as (ready, world):
        stream = await anyio.connect_tcp("127.20.0.1", ready.ssh_port)
        await stream.send(b"SSH-2.0-test\r\n")
        with anyio.move_on_after(0.1) as scope:
            await stream.receive()
        assert scope.cancelled_caught
        assert world.metrics.open_connections == 1
        await stream.aclose()
        await closed_down(world)
        assert world.metrics.hosts["127.20.0.1"].connections == 1


async def test_a_closed_host_refuses_at_its_port_and_strangers_are_dropped(tmp_path: Path) -> None:
    async with running('[[hosts]]\nfault = "closed"', tmp_path) as (ready, world):
        with pytest.raises(ConnectionRefusedError):
            await anyio.to_thread.run_sync(tcp, "127.20.0.1", ready.closed_port)
        for address in ("127.20.0.1", "127.99.0.1"):
            stream = await anyio.connect_tcp(address, ready.ssh_port)
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await stream.receive()
            await stream.aclose()
        assert world.metrics.strangers == 2
        assert world.metrics.hosts["127.20.0.1"].connections == 0


async def test_host_keys_are_each_hosts_own_and_the_seeds(tmp_path: Path) -> None:
    async with running("seed = 5\n[[hosts]]\ncount = 2", tmp_path) as (ready, world):
        seen = [await asyncssh.get_server_host_key(a, ready.ssh_port, config=None) for a in world.estate.hosts]
        lines = [k.export_public_key().decode().strip() for k in seen if k is not None]
        assert lines == [material.public_line(material.host_key(5, a)) for a in world.estate.hosts]
        assert lines[0] != lines[1]


async def test_a_directory_counts_over_all_hosts_and_locks(tmp_path: Path) -> None:
    text = (
        '[[directories]]\nname = "CORP"\nthreshold = 3\n'
        '[[hosts]]\ncount = 4\nsecret = "shared"\naccount = "CORP"\nfault = "wrong_password"\n'
        '[[hosts]]\naccount = "CORP"'
    )
    async with running(text, tmp_path) as (ready, world):
        wrong, right = (
            {"password": password(world, address), **method("password")} for address in ("127.20.0.1", "127.20.0.5")
        )
        for n in (1, 2, 3):
            with pytest.raises(asyncssh.PermissionDenied):
                async with connect(ready, f"127.20.0.{n}", **wrong):
                    pass
        assert world.accounts.records()[AccountKey("corp", "scan")].failed == 3
        with pytest.raises(asyncssh.PermissionDenied):
            async with connect(ready, "127.20.0.5", **right):
                pass
        assert world.accounts.locked(AccountKey("corp", "scan"))


async def test_a_rotation_moves_vault_and_hosts_apart_and_together(tmp_path: Path) -> None:
    name, address = "unix-127.20.0.1", "127.20.0.1"

    async def works(ready: lab.Ready, world: World) -> bool:
        held = world.vault.search(name, exact=True)[0].material.password
        try:
            async with connect(ready, address, password=held, **method("password")):
                return True
        except asyncssh.PermissionDenied:
            return False

    async with running("[[hosts]]", tmp_path) as (ready, world):
        assert await works(ready, world)
        world.rotate(name, Where.HOSTS)
        assert not await works(ready, world)
        world.rotate(name, Where.VAULT)
        assert await works(ready, world)
        world.rotate(name, Where.VAULT)
        assert not await works(ready, world)
        world.rotate(name, Where.BOTH)
        assert await works(ready, world)
        with pytest.raises(KeyError):
            world.rotate("no such secret", Where.BOTH)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("id -u", (0, "1001\n", "")),
        ("id -un", (0, "scan\n", "")),
        ("uname", (0, "Linux\n", "")),
        ("sudo -n id -u", (0, "0\n", "")),
        ("sudo -n -- id", (0, "uid=0(root) gid=0(root) groups=0(root)\n", "")),
        ("echo a 'b c'", (0, "a b c\n", "")),
        ("", (0, "", "")),
        ("false", (1, "", "")),
        ("reboot now", (127, "", "sh: 1: reboot: not found\n")),
        ("env LC_ALL=C reboot now", (127, "", "env: 'reboot': No such file or directory\n")),
        ("echo 'open", (2, "", "sh: syntax error: No closing quotation\n")),
    ],
)
def test_commands(command: str, said: tuple[int, str, str]) -> None:
    [host] = build("[[hosts]]").hosts.values()
    done = answer(host, "scan", command)
    assert (done.status, done.stdout, done.stderr) == said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sudo -n -l", "    (root) NOPASSWD: /usr/bin/true\n"),
        ("sudo -n true", ""),
        ("sudo -n id", "sudo: a password is required\n"),
        ("id", "uid=1001(scan) gid=1001(scan) groups=1001(scan)\n"),
    ],
)
def test_sudo_for_one_command(command: str, said: str) -> None:
    [host] = build('[[hosts]]\nfault = "sudo_one_command"').hosts.values()
    done = answer(host, "scan", command)
    assert (done.stdout + done.stderr).endswith(said)
    assert (done.status == 0) == ("password" not in said)


def test_the_usual_facts_of_a_host_are_answered() -> None:
    [host] = build("[[hosts]]").hosts.values()
    assert "ID=debian" in answer(host, "scan", "cat /etc/os-release").stdout
    assert answer(host, "scan", "uname -a").stdout.startswith("Linux host-127-20-0-1 ")


def test_open_connections_have_a_peak() -> None:
    world = World(build("[[hosts]]\ncount = 2"), Clock())
    for address in world.estate.hosts:
        world.metrics.opened(address)
    world.metrics.closed()
    assert (world.metrics.open_connections, world.metrics.open_peak) == (1, 2)


async def ran(*command: str) -> subprocess.CompletedProcess[bytes]:
    with anyio.fail_after(20):
        return await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("ssh-keyscan"), reason="needs OpenSSH's ssh-keyscan")
async def test_ssh_keyscan_reads_the_host_key(tmp_path: Path) -> None:
    async with running("seed = 5\n[[hosts]]", tmp_path) as (ready, _):
        done = await ran("ssh-keyscan", "-t", "ed25519", "-p", str(ready.ssh_port), "127.20.0.1")
        line = material.public_line(material.host_key(5, "127.20.0.1"))
        assert done.stdout.decode().strip() == f"[127.20.0.1]:{ready.ssh_port} {line}"


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's ssh and ssh-keygen")
async def test_openssh_logs_in_with_the_vaults_key_and_runs_a_command(tmp_path: Path) -> None:
    async with running('[[hosts]]\nlogin = "key"', tmp_path / "state") as (ready, world):
        held = world.estate.secrets["unix-127.20.0.1"].material
        file = tmp_path / "key"
        file.touch(mode=0o600)
        file.write_bytes(held.private_key_file())
        opened = await ran("ssh-keygen", "-p", "-f", str(file), "-P", held.passphrase, "-N", "")
        assert opened.returncode == 0, opened.stderr
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"]
        done = await ran(
            "ssh", "-F", "none", "-i", str(file), "-p", str(ready.ssh_port), *(f"-o{o}" for o in options),
            "scan@127.20.0.1", "sudo -n -l",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"NOPASSWD: ALL" in done.stdout
        await closed_down(world)
        assert logons(world, "127.20.0.1") == [("scan", True, "publickey")]
