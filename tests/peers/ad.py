"""A real domain controller: Samba AD with accounts in every state, in mount and network namespaces of its own.

Its ports cannot be chosen (88, 389, 445), so it has a network to itself: the loopback of its namespace. A test goes
there with its thread (`inside`), and takes nothing else along.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.peers.private import LOCKOUT_AFTER, require, server_process

DOMAIN, REALM, HOST = "LAB", "LAB.TEST", "dc1.lab.test"
ADDRESS = "127.0.0.1"
PORTS = (88, 389, 445)
USERS = (
    "adadmin",
    "adgood",
    "adwrong",
    "addisabled",
    "adexpired",
    "adlocked",
    "admust",
    "adhours",
    "adprotected",
    "adstation",
    "adskew",
    "adnopreauth",
)
PASSWORDS = {name: f"Pw-{name}-1" for name in USERS}

START_S = 60.0
CLONE_NEWNET = 0x40000000

SCRIPT = """\
set -eu
ip link set lo up
mount --bind {directory}/hosts /etc/hosts
mount --bind {directory}/resolv.conf /etc/resolv.conf
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /var/log
mkdir -m 755 /run/samba
samba-tool domain provision -s {directory}/base.conf --realm={realm} --domain={domain} --server-role=dc \\
    --dns-backend=SAMBA_INTERNAL --adminpass='Adm-Pw-12345' --host-name=dc1 --host-ip=127.0.0.1 \\
    --targetdir={directory}/dc --option='bind interfaces only = yes' --option='interfaces = lo' \\
    --option='dns forwarder = ' --option='server services = s3fs, rpc, ldap, cldap, kdc, winbindd'
cat {directory}/share.conf >> {directory}/dc/etc/smb.conf
/usr/bin/python3 {directory}/accounts.py {directory}/dc
exec samba -F --no-process-group -s {directory}/dc/etc/smb.conf -l {directory}/dc -M prefork \\
    --option='prefork children=1' \\
    --option='pid directory={directory}/dc' --option='ncalrpc dir={directory}/dc/ncalrpc' \\
    --option='winbindd socket directory={directory}/dc/wb' --option='ntp signd socket directory={directory}/dc/ntp'
"""

SHARE = """
[ADMIN$]
  path = {directory}/share
  valid users = "@LAB\\Domain Admins"
[C$]
  path = {directory}/share
  valid users = "@LAB\\Domain Admins"
"""

ACCOUNTS = """\
import sys
import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

settings = LoadParm()
settings.load(sys.argv[1] + "/etc/smb.conf")
sam = SamDB(url=sys.argv[1] + "/private/sam.ldb", session_info=system_session(), lp=settings)

def change(dn, **values):
    message = ldb.Message(dn)
    for name, value in values.items():
        message[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
    sam.modify(message)

def dn_of(user):
    return sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, "(samaccountname=%s)" % user, ["dn"])[0].dn

minutes = str(-60 * 10**7 * 10)
change(ldb.Dn(sam, sam.domain_dn()), lockoutThreshold="{lockout}", lockoutDuration=minutes,
       lockOutObservationWindow=minutes, minPwdAge="0", pwdHistoryLength="0", pwdProperties="0")
for user, password in {passwords}.items():
    sam.newuser(user, password)
sam.add_remove_group_members("Domain Admins", ["adadmin"], add_members_operation=True)
sam.add_remove_group_members("Protected Users", ["adprotected"], add_members_operation=True)
for computer, etypes in (("elsewhere", "24"), ("legacy", "4")):
    sam.newcomputer(computer)
    sam.setpassword("(samaccountname=%s$)" % computer, "Pw-%s-1" % computer, False)
    change(dn_of(computer + "$"), **{{"msDS-SupportedEncryptionTypes": etypes}})
sam.disable_account("(samaccountname=addisabled)")
change(dn_of("adexpired"), accountExpires="116444736010000000")
change(dn_of("admust"), pwdLastSet="0")
change(dn_of("adstation"), userWorkstations="ELSEWHERE")
change(dn_of("adhours"), logonHours=b"\\0" * 21)
change(dn_of("adnopreauth"), userAccountControl=str(0x200 | 0x400000))
"""

COUNT = """\
import sys
import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

settings = LoadParm()
settings.load(sys.argv[1] + "/etc/smb.conf")
sam = SamDB(url=sys.argv[1] + "/private/sam.ldb", session_info=system_session(), lp=settings)
for line in sys.stdin:
    word, user = line.split()
    found = sam.search(sam.domain_dn(), ldb.SCOPE_SUBTREE, "(samaccountname=%s)" % user, ["badPwdCount", "lockoutTime"])
    counts = [int(str(found[0].get(name, [0])[0])) for name in ("badPwdCount", "lockoutTime")] if found else [0, 0]
    if word == "clear" and found:
        message = ldb.Message(found[0].dn)
        for name in ("badPwdCount", "lockoutTime"):
            message[name] = ldb.MessageElement("0", ldb.FLAG_MOD_REPLACE, name)
        sam.modify(message)
    print(*counts, flush=True)
"""
"""Answers `count USER` and `clear USER`, both with what the directory has counted until then."""


@dataclass(slots=True)
class Directory:
    """A running domain controller."""

    directory: Path
    pid: int
    _counter: subprocess.Popen[str]

    def failures(self, user: str) -> int:
        """The failed logons that the directory itself has counted against an account (badPwdCount)."""
        return self._ask("count", user)[0]

    def locked(self, user: str) -> bool:
        return self._ask("count", user)[1] != 0

    def clear(self, user: str) -> None:
        """As if there had been no failed logon."""
        self._ask("clear", user)

    def _ask(self, word: str, user: str) -> tuple[int, int]:
        assert self._counter.stdin is not None
        assert self._counter.stdout is not None
        self._counter.stdin.write(f"{word} {user}\n")
        self._counter.stdin.flush()
        failures, locked = self._counter.stdout.readline().split()
        return int(failures), int(locked)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in the controller's network for as long as the context is open."""
        own, theirs = (os.open(f"/proc/{who}/ns/net", os.O_RDONLY) for who in ("thread-self", self.pid))
        try:
            _enter(theirs)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)
            os.close(theirs)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def running_ad() -> Iterator[Directory]:
    """Provision a domain in a temporary directory and serve it; stop it and remove what it wrote."""
    require("samba", "samba-tool", "unshare", "ip")
    directory = Path(tempfile.mkdtemp(prefix="keymuster-ad-"))
    try:
        directory.chmod(0o755)
        (directory / "share").mkdir()
        names = {"directory": directory, "realm": REALM, "domain": DOMAIN}
        (directory / "hosts").write_text(f"127.0.0.1 localhost {HOST} dc1 lab.test\n")
        (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (directory / "base.conf").write_text("[global]\n")  # else the host's own settings would come in
        (directory / "share.conf").write_text(SHARE.format(**names))
        (directory / "accounts.py").write_text(ACCOUNTS.format(lockout=LOCKOUT_AFTER, passwords=PASSWORDS))
        (directory / "count.py").write_text(COUNT)
        command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", SCRIPT.format(**names)]
        log = directory / "log"
        with server_process(command, log, lambda pid: all(_listens(pid, port) for port in PORTS), START_S) as pid:
            counter = subprocess.Popen(
                ["/usr/bin/python3", str(directory / "count.py"), str(directory / "dc")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            try:
                yield Directory(directory, pid, counter)
            finally:
                counter.communicate()
    finally:
        _end_helpers(directory)
        shutil.rmtree(directory)


def _end_helpers(directory: Path) -> None:
    """Samba's pipe helpers are in no process group of ours, and outlive it: whoever names our directory is ours."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.fsencode(directory) in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def _listens(pid: int, port: int) -> bool:
    """Asked of the kernel, in the process's own network."""
    table = Path(f"/proc/{pid}/net/tcp")
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)
