"""The hosts that rows are held against: real servers of this machine, and the simulated ones of an estate.

The estate is served by a process of its own, as users start it, and has one host for each row that has a counterpart;
what that host counted is in the estate's metrics.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from appliance.contract import RootBy, Target, Technology
from appliance.vault.credential import Credential
from orchestrator.known_hosts import HostMarks, KnownHosts
from orchestrator.marked import Marked
from targets import estate, spec
from targets.material import Material, host_key, public_line
from targets.ssh.host_keys import user_ca
from tests.acceptance.lab import Lab, running_lab
from tests.peers.private import LOCKOUT_AFTER
from tests.peers.rows import CA_KNOWN, Hash, Key, Known, Password, Row, Simulated, credential
from tests.peers.smbd import Smbd
from tests.peers.sshd import PASSPHRASE, Sshd

SEED = 11


class Host(Protocol):
    """What the attempts of a row are made at."""

    address: str
    port: int
    user: str
    name: str
    """Windows: its NetBIOS name, which is its domain's too."""
    locks: bool
    """It counts wrong passwords, and locks the account for them."""

    @property
    def host_key(self) -> str:
        """Unix: the one it shows to a client that knows none."""
        ...

    def credential(self) -> Credential:
        """What the vault holds for the user."""
        ...

    def known(self) -> tuple[str, ...]:
        """What has been seen of it before."""
        ...

    def marked(self) -> Marked:
        """What certificate authorities and revocations say of it."""
        ...

    def logons(self) -> list[str]:
        """The verdicts since this was asked last."""
        ...

    def worded(self, logons: Sequence[str]) -> list[str]:
        """A row's verdicts in this host's words."""
        ...

    def root_password(self) -> str:
        """What is at hand for sudo or su."""
        ...

    def root_failures(self) -> int:
        """What it has counted on the way to root since it was made."""
        ...

    def tallied(self, row: Row) -> int:
        """What it ought to have counted."""
        ...


# -- real --------------------------------------------------------------------------------------------------------------


class OpenSsh:
    name = ""
    locks = True

    def __init__(self, sshd: Sshd, row: Row) -> None:
        self._sshd, self._row = sshd, row
        self.address, self.user = sshd.host, row.user
        self.port = sshd.other_ports[row.server] if row.server else sshd.port
        self._since = sshd.now()
        self._asked_for = row.root_user or (row.user if row.root is not RootBy.SU else "root")
        self._tally = sshd.tally() if row.root else 0

    @property
    def host_key(self) -> str:
        return self._sshd.host_key()

    def credential(self) -> Credential:
        def key(form: str) -> tuple[bytes, str]:
            return self._sshd.key(form), PASSPHRASE if form in ("passphrase", "pem") else ""

        return credential(self._row.held, self._sshd.passwords.get(self.user, ""), key, self._sshd.certificate)

    def known(self) -> tuple[str, ...]:
        match self._row.known:
            case Known.NOTHING | Known.ITS_CA | Known.REVOKED | Known.REVOKED_CA:
                return ()
            case Known.ITS_KEY | Known.ITS_KEY_AND_CA:
                return (self._sshd.host_key(),)
            case Known.ITS_RSA_KEY:
                return (self._sshd.host_key("rsa"),)
            case Known.ANOTHER_KEY:
                return (self._sshd.public_key("stranger"),)

    def marked(self) -> Marked:
        known, ca, names = self._row.known, self._sshd.host_ca, f"[{self.address}]:{self.port}"
        lines = [f"@cert-authority {names} {ca}"] if known in CA_KNOWN else []
        if known is Known.REVOKED:
            lines.append(f"@revoked * {self._sshd.host_key()}")
        if known is Known.REVOKED_CA:
            lines.append(f"@revoked * {ca}")
        return HostMarks(lines).of(Target(address=self.address), self.port)

    def logons(self) -> list[str]:
        found = self._sshd.logons(self.user, since=self._since)
        self._since = self._sshd.now()
        return [f"{logon.method.removesuffix('/pam')} {'ok' if logon.ok else 'failed'}" for logon in found]

    def worded(self, logons: Sequence[str]) -> list[str]:
        return list(logons)

    def root_password(self) -> str:
        return self._row.root_held.given(self._sshd.passwords.get(self._asked_for, ""))

    def root_failures(self) -> int:
        return self._sshd.tally() - self._tally

    def tallied(self, row: Row) -> int:
        return row.tallied


class Samba:
    name = "LABSMB"
    host_key = ""
    locks = True

    def __init__(self, smbd: Smbd, row: Row) -> None:
        self._smbd, self._row = smbd, row
        self.address, self.port, self.user = smbd.host, smbd.port, row.user
        self._seen = len(smbd.logons(self.user))

    def credential(self) -> Credential:
        assert isinstance(self._row.held, Password | Hash)
        return Credential(password=self._row.held.given(self._smbd.passwords.get(self.user, "any")))

    def known(self) -> tuple[str, ...]:
        return ()

    def marked(self) -> Marked:
        return Marked()

    def logons(self) -> list[str]:
        found = self._smbd.logons(self.user)[self._seen :]
        self._seen += len(found)
        return [logon.status.removeprefix("NT_STATUS_") for logon in found]

    def worded(self, logons: Sequence[str]) -> list[str]:
        return list(logons)

    def root_password(self) -> str:
        return ""

    def root_failures(self) -> int:
        return 0

    def tallied(self, row: Row) -> int:
        return row.tallied


# -- simulated ---------------------------------------------------------------------------------------------------------


class SimulatedHost:
    def __init__(
        self, lab: Lab, what: estate.Estate, row: Row, address: str, known_hosts: KnownHosts | None = None
    ) -> None:
        assert isinstance(row.simulated, Simulated)
        self._lab, self._estate, self._row, self._host = lab, what, row, what.hosts[address]
        self._known_hosts = known_hosts
        self.address, self.user, self.name = address, row.user and self._host.user, self._host.name
        self.port = int(lab.ready["ssh_port" if row.technology is Technology.UNIX else "smb_port"])
        self.locks = row.simulated.locks
        self._seen = len(self._logons())

    @property
    def host_key(self) -> str:
        return public_line(host_key(self._estate.seed, self.address))

    def credential(self) -> Credential:
        held, material = self._row.held, self._estate.secrets[self._host.secret].material
        if not (self._host.fault.right_secret and self._host.fault.known):
            # The estate's own vault has just what the row wants: something that does not open the account.
            right = Hash.LOWER if isinstance(held, Hash) else Password.RIGHT
            held = Key("passphrase") if isinstance(held, Key) else right
        return credential(held, material.password, lambda form: _key(material, form), self._certificate)

    def _certificate(self, form: str) -> bytes:
        if form == "garbage":
            return b"ssh-ed25519-cert-v01@openssh.com AAAA"
        ours = asyncssh.import_private_key(user_ca(self._estate))
        key = asyncssh.import_private_key(_key(self._estate.secrets[self._host.secret].material, "plain")[0])
        ca, now = asyncssh.generate_private_key("ssh-ed25519") if form == "unknown" else ours, int(time.time())
        dates = {"expired": (now - 7200, now - 3600), "early": (now + 3600, now + 7200)}
        after, before = dates.get(form, (now - 3600, now + 3600))
        if form == "host":
            return ca.generate_host_certificate(key, "test", principals=[self.user]).export_certificate()
        signed = asyncssh.generate_private_key("ssh-ed25519") if form == "another" else key
        names = ["somebody"] if form == "elsewhere" else [self.user]
        made = ca.generate_user_certificate(signed, "test", principals=names, valid_after=after, valid_before=before)
        return made.export_certificate()

    def known(self) -> tuple[str, ...]:
        if self._row.known is Known.NOTHING or self._known_hosts is None:
            return ()
        return tuple(self._known_hosts.of(Target(address=self.address), self.port))

    def marked(self) -> Marked:
        if self._row.known is Known.NOTHING or self._known_hosts is None:
            return Marked()
        return HostMarks(self._known_hosts.marks).of(Target(address=self.address), self.port)

    def logons(self) -> list[str]:
        found = self._logons()[self._seen :]
        self._seen += len(found)
        return found

    def root_password(self) -> str:
        row, secrets = self._row, self._estate.secrets
        name = self._host.root_secret if row.root is RootBy.SU else self._host.secret
        right = secrets[name].material.password if name in secrets else ""
        # The estate's own vault has just what the row wants: something that root is not.
        return right if not self._host.fault.right_root else row.root_held.given(right)

    def root_failures(self) -> int:
        return sum(not logon["ok"] for logon in self._counted() if logon["method"] in ("sudo", "su"))

    def tallied(self, row: Row) -> int:
        return int(row.reason in ("PRIV_SUDO_REFUSED", "PRIV_SU_REFUSED"))  # it counts answers, not what is left open

    def _counted(self) -> list[dict[str, Any]]:
        counted: list[dict[str, Any]] = self._lab.metrics()["hosts"][self.address]["logons"]
        return counted

    def _logons(self) -> list[str]:
        logons = [logon for logon in self._counted() if logon["method"] not in ("sudo", "su")]
        if self._row.technology is Technology.WINDOWS:
            return ["OK" if logon["ok"] else "FAILED" for logon in logons]
        return [f"{logon['method']} {'ok' if logon['ok'] else 'failed'}" for logon in logons]

    def worded(self, logons: Sequence[str]) -> list[str]:
        if self._row.technology is Technology.WINDOWS:
            return ["OK" if logon == "OK" else "FAILED" for logon in logons]
        return list(logons)


def _key(material: Material, form: str) -> tuple[bytes, str]:
    """An account's key as it may lie in a vault, and what opens it."""
    if form == "passphrase":
        return material.private_key_file(), material.passphrase
    key = Ed25519PrivateKey.from_private_bytes(material.private_bytes)
    if form == "plain":
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), ""
    locked = BestAvailableEncryption(material.passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked), material.passphrase


class Estate:
    def __init__(self, lab: Lab, what: estate.Estate, addresses: dict[str, str]) -> None:
        self._lab, self._estate, self._addresses = lab, what, addresses
        self._known_hosts = KnownHosts.read(Path(lab.ready["known_hosts"]))

    def host(self, row: Row) -> Host:
        return SimulatedHost(self._lab, self._estate, row, self._addresses[row.id], self._known_hosts)


@contextmanager
def serving(rows: Sequence[Row], directory: Path) -> Iterator[Estate]:
    """An estate with a host for each of the rows, served until the context is left."""
    text = f"seed = {SEED}\n" + "".join(_group(number, row) for number, row in enumerate(rows))
    what = estate.build(spec.parse(text))
    addresses = dict(zip((row.id for row in rows), what.hosts, strict=True))
    with running_lab(directory, text) as lab:
        yield Estate(lab, what, addresses)


def _group(number: int, row: Row) -> str:
    how = row.simulated
    assert isinstance(how, Simulated)
    account = f"DIRECTORY{number}" if how.locks else "local"
    directory = f'[[directories]]\nname = "{account}"\nthreshold = {LOCKOUT_AFTER}\n' if how.locks else ""
    lines = {"technology": row.technology, "fault": how.fault, "login": how.login, "account": account}
    if how.root != "free":
        lines["root"] = how.root
    if how.system:
        lines["system"] = how.system
    return directory + "[[hosts]]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items())
