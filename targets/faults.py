"""The faults of an estate, as data: what a host, a secret or the vault does wrong, by name.

A host's fault is a row of `HOST_FAULTS`; everything else reads the row's columns and never the name. Faults of the
vault (`VAULT_FAULTS`) are orders that can be given and withdrawn while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from targets.smb.status import Status

UNIX, WINDOWS = frozenset({"unix"}), frozenset({"windows"})
BOTH = UNIX | WINDOWS


class Port(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    """The host's port is one that nobody listens on: the connection is refused by the kernel."""
    SILENT = "silent"
    """The connection is taken and no byte is ever sent."""
    RESET = "reset"
    """The connection is taken and cut at once."""
    GREETS = "greets"
    """The fault's words are said at once, whoever comes."""
    ANSWERS = "answers"
    """The fault's words are the answer to whatever comes; then the connection ends."""
    DRIPS = "drips"
    """An SSH banner comes, a byte at a time, slower than anybody waits."""


class Session(StrEnum):
    """What a Unix login is given."""

    SHELL = "shell"
    NOLOGIN = "nologin"
    """`/usr/sbin/nologin` is its shell."""
    FORCED = "forced"
    """A forced command answers, whatever is asked."""
    EXPIRED = "expired"
    """sshd lets an expired password in, and refuses every command."""


class SecretState(StrEnum):
    """How a secret stands in the vault."""

    READABLE = "readable"
    MISSING = "missing"
    INACTIVE = "inactive"
    AMBIGUOUS = "ambiguous"
    """A second secret of the same name exists in another folder."""
    FORBIDDEN = "forbidden"
    """It can be found (role permission List) but not viewed."""
    COMMENT = "comment"
    """It is only shown to who says why."""


@dataclass(frozen=True, slots=True)
class HostFault:
    name: str
    meaning: str
    port: Port = Port.OPEN
    says: bytes = b""
    """What a port says that is not what it should be."""
    passwords: bool = True
    """False: neither `password` nor `keyboard-interactive` is offered."""
    right_secret: bool = True
    """False: what the vault holds is not what the host takes."""
    sudo: bool = True
    sudoer: bool = True
    """False: the user is not among the sudoers."""
    session: Session = Session.SHELL
    second_factor: bool = False
    """`keyboard-interactive` is offered, and asks for a code."""
    drops_logins: bool = False
    """The connection is cut when a password comes."""
    kex: tuple[str, ...] = ()
    """The only key exchanges it knows; empty: the usual ones."""
    secret: SecretState = SecretState.READABLE
    technologies: frozenset[str] = BOTH
    status: Status = Status.SUCCESS
    """What the right password is answered with."""
    locked: bool = False
    """The status is the answer to a wrong password too."""
    guest: bool = False
    """Whoever is not known is let in as a guest."""
    admin_share: Status = Status.SUCCESS
    smb1: bool = False
    """Speaks nothing newer."""
    signing: bool = False
    """Takes no unsigned message."""


_HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TLS_ALERT = bytes.fromhex("15030100020216")
"""Fatal, record_overflow: what OpenSSL answers to plain text."""


def _account(name: str, meaning: str, status: Status, *, locked: bool = False) -> HostFault:
    """A state of the host's account."""
    return HostFault(name, meaning, status=status, locked=locked, technologies=WINDOWS)


HOST_FAULTS = {
    f.name: f
    for f in (
        HostFault("none", "everything works"),
        HostFault("closed", "nothing listens on the port", port=Port.CLOSED),
        HostFault("silent", "takes the connection and says nothing", port=Port.SILENT),
        HostFault("reset", "cuts every connection at once", port=Port.RESET),
        HostFault("garbage", "says something that is no protocol", port=Port.GREETS, says=b"\x07\x00????????\r\n"),
        HostFault("ftp", "an FTP server", port=Port.GREETS, says=b"220 (vsFTPd 3.0.5)\r\n"),
        HostFault("http", "a web server", port=Port.ANSWERS, says=_HTTP),
        HostFault("tls", "a TLS server", port=Port.ANSWERS, says=_TLS_ALERT),
        HostFault("drip", "sends its banner a byte at a time", port=Port.DRIPS, technologies=UNIX),
        HostFault("wrong_password", "the vault's secret is not the account's", right_secret=False),
        HostFault("key_only", "offers no method that takes a password", passwords=False, technologies=UNIX),
        HostFault("no_sudo", "logs in, but sudo wants a password", sudo=False, technologies=UNIX),
        HostFault("no_sudoer", "logs in, but may not use sudo", sudoer=False, technologies=UNIX),
        HostFault("nologin", "logs in, but has no shell", session=Session.NOLOGIN, technologies=UNIX),
        HostFault("forced_command", "logs in to one fixed command", session=Session.FORCED, technologies=UNIX),
        HostFault("mfa", "asks for a code", passwords=False, second_factor=True, technologies=UNIX),
        HostFault("drops_logins", "cuts the connection when a password comes", drops_logins=True, technologies=UNIX),
        HostFault("old_kex", "knows one outdated key exchange", kex=("diffie-hellman-group1-sha1",), technologies=UNIX),
        HostFault("no_admin", "logs in, but ADMIN$ is refused", admin_share=Status.ACCESS_DENIED, technologies=WINDOWS),
        HostFault("no_admin_share", "has no ADMIN$", admin_share=Status.BAD_NETWORK_NAME, technologies=WINDOWS),
        _account("disabled", "the account is disabled", Status.ACCOUNT_DISABLED),
        _account("locked", "the account is locked out", Status.ACCOUNT_LOCKED_OUT, locked=True),
        _account("expired", "the account has expired", Status.ACCOUNT_EXPIRED),
        HostFault(
            "password_expired", "the password has expired", status=Status.PASSWORD_EXPIRED, session=Session.EXPIRED
        ),
        _account("must_change", "the password must be changed first", Status.PASSWORD_MUST_CHANGE),
        _account("logon_hours", "the account may not log on at this hour", Status.INVALID_LOGON_HOURS),
        _account("workstation", "the account may not log on from here", Status.INVALID_WORKSTATION),
        _account("logon_type", "the account has no right to log on over the network", Status.LOGON_TYPE_NOT_GRANTED),
        HostFault("guest", "maps a wrong password to a guest", right_secret=False, guest=True, technologies=WINDOWS),
        HostFault("smb1_only", "speaks nothing newer than SMB 1", smb1=True, technologies=WINDOWS),
        HostFault(
            "signing",
            "takes no unsigned message, which a good client does not notice",
            signing=True,
            technologies=WINDOWS,
        ),
        HostFault("secret_missing", "the vault has no secret of that name", secret=SecretState.MISSING),
        HostFault("secret_inactive", "the secret has been deactivated", secret=SecretState.INACTIVE),
        HostFault("secret_ambiguous", "two secrets bear the name", secret=SecretState.AMBIGUOUS),
        HostFault("secret_forbidden", "the scanner's user may not view the secret", secret=SecretState.FORBIDDEN),
        HostFault("secret_comment", "the secret is shown only with a comment", secret=SecretState.COMMENT),
    )
}


class Scope(StrEnum):
    """Which requests a vault fault meets."""

    ALL = "all"
    GRANT = "grant"
    API = "api"


@dataclass(frozen=True, slots=True)
class Reply:
    """A canned answer that takes the place of the real one."""

    scope: Scope
    status: int
    body: str
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class VaultFault:
    name: str
    meaning: str
    replies: tuple[Reply, ...] = ()
    slow: bool = False
    """Answers are held back by the estate's `vault.slow` seconds."""
    throttled: bool = False
    """Replies carry `Retry-After` with the estate's `vault.retry_after` seconds."""
    expires_tokens: bool = False
    """An event rather than a state: at the order, every token issued so far is dead."""


EXPIRED = '{"message": "Authentication failed or expired token."}'
REFUSED = '{"error": "Login failed."}'
_HTML = "<!DOCTYPE html><html><head><title>Secret Server</title></head><body>{}</body></html>"

VAULT_FAULTS = {
    f.name: f
    for f in (
        VaultFault("down", "503 to everything", (Reply(Scope.ALL, 503, _HTML.format("Unavailable"), "text/html"),)),
        VaultFault("error", "500 to every API call", (Reply(Scope.API, 500, '{"message": "An error has occurred."}'),)),
        VaultFault("slow", "answers late", slow=True),
        VaultFault("refuse", "refuses every login", (Reply(Scope.GRANT, 400, REFUSED),)),
        VaultFault("expire_tokens", "tokens issued so far are dead; new ones live", expires_tokens=True),
        VaultFault("dead_tokens", "every token counts as expired", (Reply(Scope.API, 403, EXPIRED),)),
        VaultFault(
            "ip_blocked",
            "this source address is not allowed",
            (
                Reply(Scope.GRANT, 400, REFUSED),
                Reply(Scope.API, 403, '{"message": "Access is not allowed from this IP address."}'),
            ),
        ),
        VaultFault(
            "forbidden",
            "the user's role has no right to the API",
            (Reply(Scope.API, 403, '{"message": "You do not have permission to perform this operation."}'),),
        ),
        VaultFault("html", "200 with a web page", (Reply(Scope.ALL, 200, _HTML.format("Log in"), "text/html"),)),
        VaultFault(
            "throttled",
            "429 with Retry-After",
            (Reply(Scope.ALL, 429, '{"message": "Too many requests."}'),),
            throttled=True,
        ),
    )
}
