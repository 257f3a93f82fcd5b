"""A real OpenSSH server with accounts in every state, in a mount namespace of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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
    Account("ruled", "Ruled-Pw-1", 40020),  # sudo with root's password
    Account("seated", "Seated-Pw-1", 40021),  # sudo with a password, on a terminal
    Account("seatedfree", "Seatedfree-Pw-1", 40022),  # sudo without one, on a terminal
    Account("unwheeled", "Unwheeled-Pw-1", 40024),  # may not use su
    Account("certed", "", 40028),  # no key of its own, and certificates
    Account("sudowrong", "Sudowrong-Pw-1", 40026),
]

SUDOERS = """\
root ALL=(ALL:ALL) ALL
admin ALL=(ALL) NOPASSWD: ALL
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
Port {port}
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
MaxStartups 1000
LoginGraceTime 20
LogLevel VERBOSE
UseDNS no
PrintMotd no
PrintLastLog no
Match User kbd,kbdmust,kbdexpired,kbdlockout
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
Match User bare
  SetEnv PATH=/home/bare/bin
"""
OUTDATED = "KexAlgorithms=diffie-hellman-group1-sha1"

PAM = f"""\
auth     [success=1 default=ignore]   pam_succeed_if.so quiet user notin {LOCKABLE}
auth     required   pam_faillock.so preauth deny={LOCKOUT_AFTER} nodelay
auth     sufficient   pam_unix.so nodelay nullok
auth     [default=die]   pam_faillock.so authfail deny={LOCKOUT_AFTER} nodelay
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
    pid: int
    outdated_port: int
    """Where a second server answers, which knows one outdated key exchange, and so takes no login of ours."""
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

    def host_key(self, kind: str = "ed25519") -> str:
        """A host key as `type base64`."""
        return " ".join((self.directory / f"host_{kind}.pub").read_text().split()[:2])

    def tally(self) -> int:
        """How many failures sudo and su have counted, once no connection has a process any more."""
        wait_for(lambda: not children(self.pid), "sshd to end all connections")
        command = ["faillock", "--dir", str(self.directory / "tally")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return sum(line.rstrip().endswith(" V") for line in said.splitlines())

    def logons(self, user: str, *, since: int = 0) -> list[Logon]:
        """The verdicts on a user that follow byte `since` of the log, once no connection has a process any more."""
        wait_for(lambda: not children(self.pid), "sshd to end all connections")
        found = occurrences(self.log, r"^(Accepted|Failed|Partial) (\S+) for (?:invalid user )?(\S+) from ")
        verdicts = [Logon(m[3], m[2], m[1] == "Accepted") for m in found if m.start() >= since]
        return [v for v in verdicts if v.user == user and v.method != "none"]


@contextmanager
def running_sshd() -> Iterator[Sshd]:
    """Start sshd on free ports of ADDRESSES; stop it, and remove all it has written, at the end."""
    require("sshd", "ssh-keygen", "unshare", "openssl", "sudo", "faillock")
    directory = Path(tempfile.mkdtemp(prefix="keymuster-sshd-"))
    try:
        prologue = prepare(directory, ACCOUNTS)
        _write_keys(directory)
        port, outdated, log = free_port(), free_port(), directory / "sshd.log"
        (directory / "etc" / "sudoers").write_text(SUDOERS)
        (directory / "etc" / "pam.d" / "sshd").write_text(PAM)
        _let_become_root(directory)
        config = directory / "sshd_config"
        listen = "\n".join(f"ListenAddress {address}" for address in ADDRESSES)
        config.write_text(CONFIG.format(port=port, directory=directory, listen=listen))
        run = f"exec /usr/sbin/sshd -D -f {config} -E"
        second = f"{run} {log}.outdated -p {outdated} -o {OUTDATED}"
        with (
            server(prologue, f"{run} {log}", [port], log) as pid,
            server(prologue, second, [outdated], log.with_name(f"{log.name}.outdated")),
        ):
            passwords = {a.name: a.password or "" for a in ACCOUNTS} | {"root": ROOT_PASSWORD}
            yield Sshd("127.0.0.1", port, directory, log, pid, outdated, passwords)
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
    authorised = "".join((directory / f"key_{k}.pub").read_text() for k in ("plain", "passphrase", "pem"))
    for account in ACCOUNTS:
        (directory / "home" / account.name / "authorized_keys").write_text(authorised)
    programs = directory / "home" / "bare" / "bin"
    programs.mkdir()
    for program in ("id", "env"):
        (programs / program).symlink_to(f"/usr/bin/{program}")


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
