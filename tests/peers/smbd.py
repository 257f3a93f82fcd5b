"""Real Samba servers with accounts in every state, in a mount namespace of their own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.private import ADDRESSES, LOCKOUT_AFTER, Account, free_port, prepare, require, server, wait_for

PASSWORDS = {
    name: f"Pw-{name}-1"
    for name in (
        "smbgood",
        "smbwrong",
        "smbadmin",
        "smbdisabled",
        "smbexpired",
        "smblocked",
        "smbmust",
        "smblockout",
        "smbhours",
        "smbstation",
        "smbstale",
        "smbhash",
        "smbfiltered",
        "vm_scan_account",
    )
}

_ACCOUNTS = [
    Account(name, "", 41001 + number, login_shell="/usr/sbin/nologin") for number, name in enumerate(sorted(PASSWORDS))
]

VARIANTS = {
    # On every loopback address, so that it plays as many hosts as a benchmark wants.
    "plain": "map to guest = Bad User\n  bind interfaces only = no\n  hosts allow = 127.",
    "guests": "map to guest = Bad Password",
    "strict": "map to guest = Never\n  server signing = mandatory",
    "sealed": "map to guest = Never\n  server smb encrypt = required",
    "gcm": "server smb encrypt = required\n  server smb3 encryption algorithms = AES-128-GCM",
    "smb302": "server max protocol = SMB3_02",
    "smb210": "server max protocol = SMB2_10",
    # Which Samba cannot be told for SMB 2 and 3: what is signed is answered signed all the same.
    "smb300": "server signing = disabled\n  server max protocol = SMB3_00",
    "smb202": "server signing = disabled\n  server min protocol = SMB2_02\n  server max protocol = SMB2_02",
    "shareless": "",
    # Without the helpers there is no registry, and no service control, which needs it.
    "pipeless": "rpc start on demand helpers = no",
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
  admin users = smbadmin smbhash vm_scan_account
  {variant}
[noguests]
  path = {directory}/share
"""
ADMIN_SHARES = """\
[ADMIN$]
  path = {directory}/share
  valid users = smbadmin smbhash vm_scan_account
[C$]
  path = {directory}/share
  valid users = smbadmin smbhash vm_scan_account
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
net -s {config} sam set workstations smbstation ELSEWHERE >/dev/null 2>&1
edit -P 'maximum password age' -C 864000000
/usr/bin/python3 -c '
from samba.dcerpc import security
from samba.samba3 import param, passdb
settings = param.get_context()
settings.load("{config}")
accounts = passdb.PDB(settings.get("passdb backend"))
for name, state, value in (("smbhours", "hours", [0] * 21), ("smbstale", "pass_last_set_time", 1)):
    account = accounts.getsampwnam(name)
    setattr(account, state, value)
    accounts.update_sam_account(account)
administrators = security.dom_sid("S-1-5-32-544")
group = passdb.Groupmap()
group.gid, group.sid, group.sid_name_use, group.nt_name, group.comment = 41999, administrators, 4, "Administrators", ""
accounts.add_group_mapping_entry(group)
accounts.add_aliasmem(administrators, accounts.getsampwnam("smbfiltered").user_sid)
'
"""
"""Makes the accounts of one server; the others get copies. No program of Samba's sets logon hours or the age of a
password, or an administrator where no winbindd runs, so that falls to the module which Debian's samba brings along.
What ADMIN$ makes of an administrator is another matter: `smbfiltered` is one whom it refuses, as UAC has it.
"""


STOP = """\
stop() {{
  helpers=$(cat {pids} 2>/dev/null || true)
  kill $pids $helpers 2>/dev/null || true
  for helper in $helpers; do while kill -0 $helper 2>/dev/null; do sleep 0.05; done; done
}}
trap stop TERM
wait
wait
"""
"""Ends the servers, and what serves their pipes: helpers that each starts when first asked, and does not end."""


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
    directory.chmod(0o711)  # the registry's helper goes to its files as the user who asks
    try:
        prologue = prepare(directory, _ACCOUNTS)
        servers, script = {}, []
        for name in VARIANTS:
            servers[name] = found = _lay_out(directory, name)
            config, first = found.directory / "smb.conf", directory / "plain"
            if found.directory == first:
                adds = "\n".join(f"add {user} '{password}'" for user, password in PASSWORDS.items())
                script.append(SETUP.format(config=config, adds=adds, lockout=LOCKOUT_AFTER))
            else:
                script.append(f"cp -a {first}/private {first}/state {found.directory}")
        for found in servers.values():
            start = f"smbd -F --no-process-group -s {found.directory}/smb.conf -l {found.directory}"
            script.append(f'{start} & pids="${{pids:-}} $!"')
        script.append(STOP.format(pids=directory / "*" / "pid" / "samba-dcerpcd.pid"))
        with server(prologue, "\n".join(script), [s.port for s in servers.values()], servers["plain"].log):
            yield servers
    finally:
        shutil.rmtree(directory)


def _lay_out(parent: Path, variant: str) -> Smbd:
    directory = parent / variant
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "bind", "share"):
        (directory / name).mkdir(parents=True, mode=0o755)
    (directory / "private").chmod(0o700)
    directory.chmod(0o755)
    port = free_port()
    interfaces = " ".join(f"{address}/8" for address in ADDRESSES)
    config = CONFIG if variant == "shareless" else CONFIG + ADMIN_SHARES
    settings = {"port": port, "directory": directory, "variant": VARIANTS[variant], "interfaces": interfaces}
    (directory / "smb.conf").write_text(config.format(**settings))
    return Smbd("127.0.0.1", port, directory, directory / "log.smbd", dict(PASSWORDS))
