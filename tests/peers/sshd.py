"""Real OpenSSH servers with accounts in every state, each in a mount namespace of its own: this machine's, and one of
9.8 or later, which keeps those away for a while who have failed (PerSourcePenalties).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers.environments import PLACE
from tests.peers.private import (
    ADDRESSES,
    LOCKOUT_AFTER,
    Account,
    children,
    free_port,
    hashed,
    occurrences,
    prepare,
    require,
    server,
    wait_for,
)

PASSPHRASE = "Key-Pass-1"
DELAY_S = 1.5
"""What PAM makes of a refusal of the user `delayed`."""
LOCKABLE = "lockout:kbdlockout"
"""Accounts that pam_faillock looks after."""

ACCOUNTS = [
    Account("good", "Good-Pw-1", 40001),
    Account("admin", "Admin-Pw-1", 40002),  # sudo without a password
    Account("helper", "Helper-Pw-1", 40003),  # sudo with a password
    Account("clerk", "Clerk-Pw-1", 40004),  # sudo for one command only
    Account("expired", "Expired-Pw-1", 40005, expire="18000"),
    Account("mustchange", "Must-Pw-1", 40006, changed=0),
    Account("noshell", "Noshell-Pw-1", 40007, login_shell="/usr/sbin/nologin"),
    Account("forced", "Forced-Pw-1", 40008),
    Account("kbd", "Kbd-Pw-1", 40009),  # keyboard-interactive only
    Account("kbdmust", "Kbdmust-Pw-1", 40010, changed=0),
    Account("kbdexpired", "Kbdexpired-Pw-1", 40011, expire="18000"),
    Account("keyonly", "", 40012),
    Account("keyed", "Keyed-Pw-1", 40019),
    Account("twofold", "Twofold-Pw-1", 40013),  # wants a key and a password
    Account("open", None, 40014),
    Account("lockout", "Lockout-Pw-1", 40015),
    Account("kbdlockout", "Kbdlockout-Pw-1", 40016),
    Account("outsider", "Outsider-Pw-1", 40017),  # no sudo, and is told so without a password
    Account("bare", "Bare-Pw-1", 40018),  # finds no sudo
    Account("delayed", "Delayed-Pw-1", 40023),  # a refusal takes its time
    Account("trusted", "Trusted-Pw-1", 40024),  # PAM asks nothing of it
    Account("barred", "Barred-Pw-1", 40025),  # PAM's account rules refuse it, and say nothing
    Account("byash", "Byash-Pw-1", 40020, login_shell="/home/byash/ash"),  # busybox's
    Account("bybash", "Bybash-Pw-1", 40021, login_shell="/bin/bash"),
    Account("bycsh", "Bycsh-Pw-1", 40022, login_shell="/bin/csh"),
    Account("jumper", "Jumper-Pw-1", 40030, login_shell="/usr/sbin/nologin"),
    Account("walled", "Walled-Pw-1", 40031),  # connects nobody to other hosts
    Account("ruled", "Ruled-Pw-1", 40040),  # sudo with root's password
    Account("seated", "Seated-Pw-1", 40041),  # sudo with a password, on a terminal
    Account("seatedfree", "Seatedfree-Pw-1", 40042),  # sudo without one, on a terminal
    Account("unwheeled", "Unwheeled-Pw-1", 40043),  # may not use su
    Account("certed", "", 40044),  # no key of its own, and certificates
    Account("sudowrong", "Sudowrong-Pw-1", 40045),
    Account("sessionless", "Sessionless-Pw-1", 40046),
]

SUDOERS = """\
root ALL=(ALL:ALL) ALL
admin,byash,bybash,bycsh ALL=(ALL) NOPASSWD: ALL
helper ALL=(ALL) ALL
clerk ALL=(root) NOPASSWD: /usr/bin/true
Defaults:outsider listpw=never
ruled ALL=(ALL) ALL
Defaults:ruled rootpw
seated ALL=(ALL) ALL
Defaults:seated requiretty, lecture=always
seatedfree ALL=(ALL) NOPASSWD: ALL
Defaults:seatedfree requiretty
sudowrong ALL=(ALL) ALL
"""

CONFIG = """\
{listen}
HostKey {directory}/host_ed25519
HostKey {directory}/host_rsa
PidFile none
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PubkeyAuthentication yes
PermitRootLogin no
AuthorizedKeysFile /home/%u/authorized_keys
StrictModes no
MaxAuthTries 6
LoginGraceTime 20
LogLevel VERBOSE
UseDNS no
PrintMotd no
PrintLastLog no
Match User trusted,kbd,kbdmust,kbdexpired,kbdlockout
  PasswordAuthentication no
Match User keyonly
  PasswordAuthentication no
  KbdInteractiveAuthentication no
Match User certed
  AuthorizedKeysFile none
  TrustedUserCAKeys {directory}/key_authority.pub
Match User twofold
  AuthenticationMethods publickey,password password,publickey
Match User forced
  ForceCommand echo this host is looked after
Match User open
  PermitEmptyPasswords yes
Match User walled
  AllowTcpForwarding no
Match User sessionless
  MaxSessions 0
Match User bare
  SetEnv PATH=/home/bare/bin
"""
OTHERS: Mapping[str, str] = {
    "outdated": "KexAlgorithms=diffie-hellman-group1-sha1",
    "outdated cipher": "Ciphers=aes128-cbc",
    "outdated MAC": "Ciphers=aes128-ctr -o MACs=hmac-md5",
    "SHA-1 host key": "HostKeyAlgorithms=ssh-rsa",
    "group exchange": "KexAlgorithms=diffie-hellman-group-exchange-sha256",
    "new key exchange": "KexAlgorithms=sntrup761x25519-sha512@openssh.com",
    "crowded": "MaxStartups=1:100:1",
    "one try": "MaxAuthTries=1",
    "no keys": "PubkeyAuthentication=no",
    "certified": "HostCertificate={directory}/certificate_valid.pub",
    "certificate expired": "HostCertificate={directory}/certificate_expired.pub",
    "certificate of another": "HostCertificate={directory}/certificate_another.pub",
    "certificate of a stranger": "HostCertificate={directory}/certificate_stranger.pub",
}
"""Further servers, each on a port of its own, and the option in which they differ."""
NEWER: Mapping[str, str] = {
    "penalties": '"PerSourcePenalties=authfail:4s noauth:1s min:1s max:60s"',
    "long penalties": '"PerSourcePenalties=authfail:12s noauth:1s min:1s max:60s"',
    "crowded": "MaxStartups=1:100:1",
}
"""Likewise, of the newer OpenSSH."""
ROOT = PLACE / "openssh"
"""Where `newer_openssh.sh` has unpacked that: a root directory of its own."""

PAM = f"""\
auth     [success=1 default=ignore]   pam_succeed_if.so quiet user != delayed
auth     optional   pam_faildelay.so delay={round(DELAY_S * 1e6)}
auth     sufficient   pam_succeed_if.so quiet user = trusted
auth     [success=1 default=ignore]   pam_succeed_if.so quiet user notin {LOCKABLE}
auth     required   pam_faillock.so preauth deny={LOCKOUT_AFTER} nodelay
auth     sufficient   pam_unix.so nodelay nullok
auth     [default=die]   pam_faillock.so authfail deny={LOCKOUT_AFTER} nodelay
account  required   pam_succeed_if.so quiet user != barred
account  required   pam_unix.so
session  required   pam_permit.so
password required   pam_unix.so
"""


ROOT_PASSWORD = "Root-Pw-1"
PAM_ROOT = """\
{first}auth     required   pam_faillock.so preauth deny=99 nodelay even_deny_root dir={tally}
auth     sufficient   pam_unix.so nodelay
auth     [default=die]   pam_faillock.so authfail deny=99 nodelay even_deny_root dir={tally}
account  required   pam_unix.so
session  required   pam_permit.so
"""
"""Of sudo and su: what they count is theirs alone."""
DENIES = "auth     requisite   pam_succeed_if.so quiet ruser != unwheeled\n"


@dataclass(frozen=True, slots=True)
class Logon:
    """One verdict as sshd logged it."""

    user: str
    method: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Sshd:
    host: str
    port: int
    directory: Path
    log: Path
    """Of all of them."""
    pids: tuple[int, ...]
    other_ports: Mapping[str, int]
    """Where the further servers answer, by their names in OTHERS."""
    passwords: dict[str, str] = field(default_factory=dict)

    def key(self, name: str) -> bytes:
        """A client's private key: `plain`, `passphrase` (both ed25519), `pem` (RSA) or `stranger` (not authorised)."""
        return (self.directory / f"key_{name}").read_bytes()

    def certificate(self, form: str) -> bytes:
        """One for `certed` (tests.peers.rows.Key)."""
        return (self.directory / f"cert_{form}-cert.pub").read_bytes() if form != "garbage" else b"ssh-ed25519 AAAA"

    def public_key(self, name: str) -> str:
        """That of one of these keys, as `type base64`."""
        return " ".join((self.directory / f"key_{name}.pub").read_text().split()[:2])

    @property
    def host_ca(self) -> str:
        """The CA of the certified servers, as `type base64`."""
        return " ".join((self.directory / "host_ca.pub").read_text().split()[:2])

    def host_key(self, kind: str = "ed25519") -> str:
        """A host key as `type base64`."""
        return " ".join((self.directory / f"host_{kind}.pub").read_text().split()[:2])

    def tally(self) -> int:
        """How many failures sudo and su have counted, once no connection has a process any more."""
        self._end_all()
        command = ["faillock", "--dir", str(self.directory / "tally")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sum(line.rstrip().endswith(" V") for line in said.splitlines())

    def now(self) -> int:
        """The end of the log, for `logons`. The client is told a verdict before it is logged: what is over for the
        client may yet have its line written.
        """
        self._end_all()
        return self.log.stat().st_size

    def logons(self, user: str, *, since: int = 0) -> list[Logon]:
        """The verdicts on a user that follow byte `since` of the log, once no connection has a process any more."""
        self._end_all()
        found = occurrences(self.log, r"^(Accepted|Failed|Partial) (\S+) for (?:invalid user )?(\S+) from ")
        verdicts = [Logon(m[3], m[2], m[1] == "Accepted") for m in found if m.start() >= since]
        return [v for v in verdicts if v.user == user and v.method != "none"]

    def _end_all(self) -> None:
        wait_for(lambda: not any(map(children, self.pids)), "sshd to end all connections")


@contextmanager
def running_sshd(*, newer: bool = False) -> Iterator[Sshd]:
    """Start sshd on free ports of ADDRESSES; stop it, and remove all it has written, at the end."""
    require("sshd", "ssh-keygen", "unshare", "openssl", "sudo", "faillock", "busybox", "csh")
    if newer and not (ROOT / "usr" / "sbin" / "sshd").exists():
        pytest.fail(
            f"no OpenSSH of 9.8 or later in {ROOT}: `make test` unpacks one from Debian's archive, as root and with a "
            "network; tests/peers/newer_openssh.sh says why it cannot",
            pytrace=False,
        )
    directory = Path(tempfile.mkdtemp(prefix="keymuster-sshd-"))
    try:
        prologue = prepare(directory, ACCOUNTS)
        _write_keys(directory)
        port, log = free_port(), directory / "sshd.log"
        differing = NEWER if newer else OTHERS
        others = {name: free_port() for name in differing}
        (directory / "etc" / "sudoers").write_text(SUDOERS)
        (directory / "etc" / "pam.d" / "sshd").write_text(PAM)
        _let_become_root(directory)
        seen = Path("/peer") if newer else directory
        listen = "\n".join(f"ListenAddress {address}" for address in ADDRESSES)
        config = CONFIG.format(directory=seen, listen=listen)
        (directory / "sshd_config").write_text(config)
        entering = f"{_entering(directory)}exec chroot {ROOT}" if newer else "exec"
        run = f"{entering} /usr/sbin/sshd -D -f {seen}/sshd_config -E {seen}/sshd.log"
        with ExitStack() as servers:

            def start(port: int, option: str) -> int:
                # Of these two sshd takes the last value that it is given, of all others the first.
                usual = ["MaxStartups=1000", *(["PerSourcePenalties=no"] if newer else [])]
                given = [o for o in usual if o.split("=")[0] not in option] + ([option] if option else [])
                script = " ".join([run, f"-p {port}", *(f"-o {o.format(directory=seen)}" for o in given)])
                return servers.enter_context(server(prologue, script, [port], log))

            pids = [start(port, ""), *(start(others[name], option) for name, option in differing.items())]
            passwords = {a.name: a.password or "" for a in ACCOUNTS} | {"root": ROOT_PASSWORD}
            yield Sshd("127.0.0.1", port, directory, log, tuple(pids), others, passwords)
    finally:
        shutil.rmtree(directory)


def _let_become_root(directory: Path) -> None:
    tally, etc = directory / "tally", directory / "etc"
    tally.mkdir(mode=0o755)
    (etc / "pam.d" / "sudo").write_text(PAM_ROOT.format(first="", tally=tally))
    (etc / "pam.d" / "su").write_text(PAM_ROOT.format(first=DENIES, tally=tally))
    shadow = etc / "shadow"
    others = [line for line in shadow.read_text().splitlines() if not line.startswith("root:")]
    shadow.write_text("\n".join([f"root:{hashed(ROOT_PASSWORD)}:20000:0:99999:7:::", *others]) + "\n")


def _entering(directory: Path) -> str:
    """What puts the directory's files, and what a server needs of this machine, into ROOT."""
    etc = "".join(f"mount --bind /etc/{f} {ROOT}/etc/{f}\n" for f in ("passwd", "group", "shadow", "pam.d"))
    return (
        f"{etc}mount --rbind /dev {ROOT}/dev\nmount --rbind /proc {ROOT}/proc\nmount --bind /home {ROOT}/home\n"
        f"mount --bind {directory} {ROOT}/peer\nmount --bind /run {ROOT}/run\nmount --bind /var/log {ROOT}/var/log\n"
    )


def _write_keys(directory: Path) -> None:
    def make(name: str, *options: str, passphrase: str = "") -> None:
        subprocess.run(
            ["ssh-keygen", "-q", "-N", passphrase, "-C", name, "-f", str(directory / name), *options], check=True
        )

    make("host_ed25519", "-t", "ed25519")
    make("host_rsa", "-t", "rsa", "-b", "2048")
    make("key_plain", "-t", "ed25519")
    make("key_passphrase", "-t", "ed25519", passphrase=PASSPHRASE)
    make("key_pem", "-t", "rsa", "-b", "2048", "-m", "PEM", passphrase=PASSPHRASE)
    make("key_stranger", "-t", "ed25519")
    make("key_authority", "-t", "ed25519")
    _certify(directory)
    make("host_ca", "-t", "ed25519")
    make("strange_ca", "-t", "ed25519")

    def certify(name: str, ca: str, principals: str, validity: str) -> None:
        key = shutil.copy(directory / "host_ed25519.pub", directory / name)
        command = ["ssh-keygen", "-q", "-s", str(directory / ca), "-h", "-I", name, "-n", principals, "-V", validity]
        subprocess.run([*command, str(key)], check=True)
        (directory / f"{name}-cert.pub").rename(directory / f"certificate_{name}.pub")

    ours = ",".join(ADDRESSES)
    certify("valid", "host_ca", ours, "-1h:+1d")
    certify("expired", "host_ca", ours, "20200101000000Z:20200102000000Z")
    certify("another", "host_ca", "another.example", "-1h:+1d")
    certify("stranger", "strange_ca", ours, "-1h:+1d")
    authorised = "".join((directory / f"key_{k}.pub").read_text() for k in ("plain", "passphrase", "pem"))
    for account in ACCOUNTS:
        (directory / "home" / account.name / "authorized_keys").write_text(authorised)
    programs = directory / "home" / "bare" / "bin"
    programs.mkdir()
    for program in ("sh", "id", "uname", "cat"):
        (programs / program).symlink_to(f"/usr/bin/{program}")
    (directory / "home" / "byash" / "ash").symlink_to("/bin/busybox")


def _certify(directory: Path) -> None:
    """Certificates of the key `plain`."""
    for form, *options in (
        ("good", "-V", "-1h:+1h"),
        ("expired", "-V", "20200101:20200102"),
        ("early", "-V", "+1h:+2h"),
        ("elsewhere", "-n", "somebody"),
        ("unknown",),
        ("host", "-h"),
        ("another",),
    ):
        authority = "key_stranger" if form == "unknown" else "key_authority"
        public = directory / f"cert_{form}.pub"
        shutil.copy(directory / f"key_{'stranger' if form == 'another' else 'plain'}.pub", public)
        names = [] if "-n" in options else ["-n", "certed"]
        sign = ["ssh-keygen", "-q", "-s", str(directory / authority), "-I", "test", *names, *options, str(public)]
        subprocess.run(sign, check=True)
