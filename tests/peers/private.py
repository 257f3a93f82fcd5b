"""A private mount namespace for a server: its own accounts and PAM, so that no user is ever made on the host.

The server's passwd, shadow, group, pam.d and sudoers lie over the host's inside the namespace alone; /run and /var/log
are empty file systems of its own. Everything else a server writes goes into its directory.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_S = 20.0
STOP_S = 5.0
LOCKOUT_AFTER = 3
"""Bad passwords after which a server locks an account, where it locks any."""
ADDRESSES = tuple(f"127.0.0.{n}" for n in range(1, 12))
"""Each server listens on all of them, and so is as many hosts to a campaign."""


@dataclass(frozen=True, slots=True)
class Account:
    """A Unix account of the namespace. `password` empty: no password login; `expire`: day of the account's end.

    `password` None: no password is asked for.
    """

    name: str
    password: str | None
    uid: int
    login_shell: str = "/bin/sh"
    changed: int = 20000
    """Day of the last change of the password; 0 demands a change at the next login."""
    expire: str = ""


def require(*binaries: str) -> None:
    """Skip where no peer can run at all; fail where only the installation is missing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("real servers need Linux and root (a private mount namespace)")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [b for b in binaries if shutil.which(b, path=path) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: `make test` installs what the tests need", pytrace=False)


def prepare(directory: Path, accounts: list[Account]) -> Path:
    """Write the namespace's files under `directory`; the prologue script that puts them in place."""
    etc = directory / "etc"
    shutil.copytree("/etc/pam.d", etc / "pam.d")
    for name in ("passwd", "group", "shadow"):
        shutil.copy(Path("/etc") / name, etc / name)
    (etc / "sudoers").write_text("root ALL=(ALL:ALL) ALL\n")
    (etc / "sudoers").chmod(0o440)
    home = directory / "home"
    home.mkdir(mode=0o755)
    for account in accounts:
        entry = f"{account.name}:x:{account.uid}:{account.uid}::/home/{account.name}:{account.login_shell}\n"
        _append(etc / "passwd", entry)
        _append(etc / "group", f"{account.name}:x:{account.uid}:\n")
        entry = "" if account.password is None else hashed(account.password) if account.password else "!"
        _append(etc / "shadow", f"{account.name}:{entry}:{account.changed}:0:99999:7::{account.expire}:\n")
        (home / account.name).mkdir(mode=0o755)
        os.chown(home / account.name, account.uid, account.uid)
    (etc / "shadow").chmod(0o600)
    prologue = directory / "enter.sh"
    binds = "".join(f"mount --bind {etc}/{f} /etc/{f}\n" for f in ("passwd", "group", "shadow", "pam.d", "sudoers"))
    prologue.write_text(
        f"set -eu\n{binds}mount --bind {home} /home\n"
        "mount -t tmpfs -o mode=755 none /run\nmount -t tmpfs -o mode=755 none /var/log\n"
        "mkdir -m 755 /run/sshd /run/lock /run/samba\n"
    )
    return prologue


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line)


def hashed(password: str) -> str:
    """SHA-512 crypt with the fewest rounds there are: PAM then takes under a millisecond."""
    command = ["openssl", "passwd", "-6", "-salt", "peersalt", "-stdin"]
    done = subprocess.run(command, input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(prologue: Path, script: str, ports: list[int], log: Path) -> Iterator[int]:
    """Run `script` (it execs the server, or waits) in the namespace; yield its pid once it listens; stop it by that."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f". {prologue}\n{script}"]
    with server_process(command, log, lambda _pid: all(map(_listens, ports))) as pid:
        yield pid


@contextmanager
def server_process(
    command: list[str], log: Path, ready: Callable[[int], bool], patience: float = START_S
) -> Iterator[int]:
    """Run a server; yield its pid once it is ready; stop it by that. What it says goes beside its log."""
    said = log.with_name(f"{log.name}.output")
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or ready(process.pid), "the server to listen", patience)
        if process.poll() is not None:
            why = said.read_text(errors="replace") + (log.read_text() if log.exists() else "")
            pytest.fail(f"the server ended at once: {why}", pytrace=False)
        yield process.pid
    finally:
        process.terminate()
        _await_end(process)


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the server and the helpers it forked: they all share the process group that was made for it."""
    try:
        wait_for(lambda: _group_is_gone(process), "the server to end", STOP_S)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        wait_for(lambda: _group_is_gone(process), "the server to end", STOP_S)


def _group_is_gone(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reaps it, else it stays in its group as a zombie
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def _listens(port: int) -> bool:
    """Does somebody listen on all of ADDRESSES? Asked of the kernel: to try a connection would count as a login."""
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    listening = [row[1].split(":")[0] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"]
    return any(set(address) == {"0"} for address in listening) or len(listening) >= len(ADDRESSES)


def children(pid: int) -> list[int]:
    """The processes that a server has forked and not yet reaped."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], bool], what: str, patience: float = START_S) -> None:
    """Poll a condition of another process until it holds. Raises TimeoutError."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {patience:g} s for {what}")
        time.sleep(0.01)


def occurrences(log: Path, pattern: str) -> list[re.Match[str]]:
    """Matches in a log; their positions are bytes (sshd ends lines with CR LF, which reading as text would shorten)."""
    text = log.read_bytes().decode("latin-1") if log.exists() else ""
    return list(re.finditer(pattern, text, re.MULTILINE))
