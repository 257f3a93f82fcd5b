"""Real Samba servers with accounts in every state, in a mount namespace of their own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.private import ADDRESSES, Account, free_port, prepare, require, server, wait_for

PASSWORDS = {
    name: f"Pw-{name}-1"
    for name in (
        "smbgood",
        "smbadmin",
        "smbdisabled",
        "smbexpired",
        "smblocked",
        "smbmust",
        "smblockout",
        "vm_scan_account",
    )
}
LOCKOUT_AFTER = 3
"""Bad passwords after which Samba locks an account."""

_ACCOUNTS = [
    Account(name, "", 41001 + number, login_shell="/usr/sbin/nologin") for number, name in enumerate(sorted(PASSWORDS))
]

VARIANTS = {
    # On every loopback address, so that it plays as many hosts as a benchmark wants.
    "plain": "map to guest = Bad User\n  bind interfaces only = no\n  hosts allow = 127.",
    "strict": "map to guest = Never\n  server signing = mandatory",
    "sealed": "map to guest = Never\n  server smb encrypt = required",
    "old": "map to guest = Never\n  server max protocol = NT1\n  server min protocol = NT1",
}
"""Servers by name, and what sets them apart."""

CONFIG = """\
[global]
  workgroup = LABWG
  netbios name = LABSMB
  server role = standalone server
  interfaces = {interfaces}
  bind interfaces only = yes
  smb ports = {port}
  disable netbios = yes
  private dir = {directory}/private
  lock directory = {directory}/lock
  state directory = {directory}/state
  cache directory = {directory}/cache
  pid directory = {directory}/pid
  ncalrpc dir = {directory}/ncalrpc
  binddns dir = {directory}/bind
  log level = 0 auth_json_audit:3
  max log size = 0
  passdb backend = tdbsam:{directory}/private/passdb.tdb
  guest account = nobody
  load printers = no
  printcap name = /dev/null
  disable spoolss = yes
  server min protocol = SMB2
  admin users = smbadmin vm_scan_account
  {variant}
[ADMIN$]
  path = {directory}/share
  valid users = smbadmin vm_scan_account
[noguests]
  path = {directory}/share
"""

SETUP = """\
add() {{ printf '%s\\n%s\\n' "$2" "$2" | smbpasswd -c {config} -s -a "$1" >/dev/null; }}
{adds}
edit() {{ pdbedit -s {config} "$@" >/dev/null 2>&1; }}
edit -P 'bad lockout attempt' -C {lockout}
edit -P 'lockout duration' -C 10
edit -u smbdisabled -c '[D]' -r
edit -u smbexpired -K 1 -r
edit -u smblocked -c '[L]' -r
net -s {config} sam set pwdmustchangenow smbmust yes >/dev/null 2>&1
"""


@dataclass(frozen=True, slots=True)
class Logon:
    """One verdict as Samba's audit log has it."""

    user: str
    status: str

    @property
    def ok(self) -> bool:
        return self.status == "NT_STATUS_OK"


@dataclass(frozen=True, slots=True)
class Smbd:
    host: str
    port: int
    directory: Path
    log: Path
    passwords: dict[str, str] = field(default_factory=dict)

    def logons(self, user: str) -> list[Logon]:
        """The verdicts on a user so far. Samba logs a verdict before it sends it."""
        return [v for v in self._audit() if v.user == user]

    def await_logons(self, user: str, count: int) -> list[Logon]:
        """The verdicts on a user, once at least so many are logged."""
        wait_for(lambda: len(self.logons(user)) >= count, f"Samba to log {count} logons of {user}")
        return self.logons(user)

    def _audit(self) -> Iterator[Logon]:
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else ():
            start = line.find('{"timestamp"')
            if start < 0:
                continue
            event = json.loads(line[start:])
            if event["type"] == "Authentication":
                yield Logon(event["Authentication"]["clientAccount"] or "", event["Authentication"]["status"])


@contextmanager
def running_smbd() -> Iterator[dict[str, Smbd]]:
    """Start one smbd for each of VARIANTS on free ports of 127.0.0.1; stop them and remove what they wrote."""
    require("smbd", "smbpasswd", "pdbedit", "net", "unshare")
    directory = Path(tempfile.mkdtemp(prefix="keymuster-smbd-"))
    try:
        prologue = prepare(directory, _ACCOUNTS)
        servers, script = {}, []
        for name, variant in VARIANTS.items():
            servers[name] = found = _lay_out(directory / name, variant)
            config = found.directory / "smb.conf"
            adds = "\n".join(f"add {user} '{password}'" for user, password in PASSWORDS.items())
            script.append(SETUP.format(config=config, adds=adds, lockout=LOCKOUT_AFTER))
            script.append(f'smbd -F --no-process-group -s {config} -l {found.directory} & pids="${{pids:-}} $!"')
        script.append("trap 'kill $pids' TERM\nwait\nwait")
        with server(prologue, "\n".join(script), [s.port for s in servers.values()], servers["plain"].log):
            yield servers
    finally:
        shutil.rmtree(directory)


def _lay_out(directory: Path, variant: str) -> Smbd:
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "bind", "share"):
        (directory / name).mkdir(parents=True, mode=0o755)
    (directory / "private").chmod(0o700)
    directory.chmod(0o755)
    port = free_port()
    interfaces = " ".join(f"{address}/8" for address in ADDRESSES)
    config = CONFIG.format(port=port, directory=directory, variant=variant, interfaces=interfaces)
    (directory / "smb.conf").write_text(config)
    return Smbd("127.0.0.1", port, directory, directory / "log.smbd", dict(PASSWORDS))
