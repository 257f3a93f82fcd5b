"""The faults of an estate, as data: what a host, its account or its secret does wrong, by name.

A fault is a row of `HOST_FAULTS`; everything else reads the row's columns and never the name. Where a host, its
account in a directory and its system each have a fault, the one that a login meets first is the truth (`foremost`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from targets.smb.sealing import AES_128_CCM, AES_128_GCM
from targets.smb.status import Status

UNIX, WINDOWS = frozenset({"unix"}), frozenset({"windows"})
BOTH = UNIX | WINDOWS


FREE, OWN, SU = "free", "own", "su"
"""How a login becomes root: by sudo without a password, by sudo with the user's own, by su with root's."""
ANY_ROOT = frozenset({FREE, OWN, SU})


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
    TURNS_AWAY = "turns away"
    """The fault's words are said at once, and the connection ends; so for the first `turned_away` connections."""
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
    DEVICE = "device"
    """A switch or router: what it runs are words of its own."""


class Stage(StrEnum):
    """A step of a login, as its host sees it."""

    BANNER = "banner"
    """Before the host has said anything."""
    KEX = "kex"
    """After its banner or dialect, before the key exchange or the challenge."""
    LOGIN = "login"
    """A credential has come; no verdict on it yet."""
    COMMAND = "command"
    """The login stands; nothing has been answered since."""


_STAGES = tuple(Stage)


class Manner(StrEnum):
    """What happens at a stage that is troubled."""

    CUTS = "cuts"
    STALLS = "stalls"
    LAGS = "lags"
    """It goes on after LAG_S."""
    DRIPS = "drips"
    """It goes on, but what it says comes a byte every DRIP_S."""
    HALF_CLOSES = "half closes"
    """It says that it will say no more, and hears on."""
    NAGS = "nags"
    """Keep-alives come, every NAG_S, and nothing else (SMB)."""
    PENDS = "pends"
    """That the answer will come is said every NAG_S, and it never does (SMB)."""


LAG_S = 0.4
"""Seconds that a slow host takes longer: more than a good one ever does, and less than anybody's deadline."""
NAG_S = 0.3
DRIP_S = 0.5


@dataclass(frozen=True, slots=True)
class Trouble:
    stage: Stage
    manner: Manner


class Certificate(StrEnum):
    """The certificate in which an SSH host shows its key to clients that ask for one; it is known by its CA alone."""

    VALID = "valid"
    EXPIRED = "expired"
    OF_ANOTHER = "of another"
    """For a host of another name."""
    OF_A_STRANGER = "of a stranger"
    """Signed by a CA that nobody knows."""
    MISSING = "missing"
    """It shows none."""


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
    UNAVAILABLE = "unavailable"
    """Its values are answered with 503."""
    SLOW = "slow"
    """Its values come later than anybody waits."""
    OUT_OF_SYNC = "out_of_sync"
    """The vault's last heartbeat has failed."""


_READABLE = {SecretState.READABLE, SecretState.COMMENT, SecretState.OUT_OF_SYNC}


@dataclass(frozen=True, slots=True)
class HostFault:
    name: str
    meaning: str
    port: Port = Port.OPEN
    says: bytes = b""
    """What a port says that is not what it should be."""
    turned_away: int | None = None
    """After so many connections the port is open; None: never."""
    passwords: bool = True
    """False: neither `password` nor `keyboard-interactive` is offered."""
    right_secret: bool = True
    """False: what the vault holds is not what the host takes."""
    former_secret: bool = False
    """What the vault holds is the account's previous password."""
    known: bool = True
    """False: there is no such user."""
    known_host_key: bool = True
    """False: the host shows another key than those who know it expect."""
    certificate: Certificate | None = None
    revoked_host_key: bool = False
    """Who knows the host's key knows that it is revoked."""
    trouble: Trouble | None = None
    notice: str = ""
    """What an SSH host says of the account: of a locked one in front of its prompt, else to the right credential."""
    wants_new_password: bool = False
    """An SSH host answers the right password by asking for a new one."""
    hangs_up: bool = False
    """An SSH host ends the connection instead of taking the right credential, without a word."""
    one_try: bool = False
    """An SSH host ends the connection with the first refusal, and says that there were too many."""
    two_methods: bool = False
    """An SSH host wants a key and a password; either alone is a partial success."""
    sudo: bool = True
    sudoer: bool = True
    """False: the user is not among the sudoers."""
    sudo_rule: str = "(ALL : ALL) NOPASSWD: ALL"
    """The user's entry, as `sudo -l` prints it."""
    requiretty: bool = False
    """sudo wants a terminal."""
    root_asks: str = ""
    """What sudo or su asks for instead of the password."""
    right_root: bool = True
    """False: sudo, or su, takes no password that the vault has."""
    su_admits: bool = True
    """False: su turns the user away unasked."""
    root_secret: SecretState = SecretState.READABLE
    """Of root's password."""
    roots: frozenset[str] = ANY_ROOT
    """The ways to root that can show it."""
    session: Session = Session.SHELL
    opens_session: bool = True
    second_factor: bool = False
    """`keyboard-interactive` is offered, and asks for a code."""
    sudo_installed: bool = True
    kex: tuple[str, ...] = ()
    """The only key exchanges it knows; empty: the usual ones."""
    ssh_ciphers: tuple[str, ...] = ()
    """Likewise."""
    sha1_host_key: bool = False
    """An SSH host has an RSA key, and signs with SHA-1 only."""
    secret: SecretState = SecretState.READABLE
    technologies: frozenset[str] = BOTH
    status: Status = Status.SUCCESS
    """What the right password is answered with."""
    judges: bool = True
    """False: the status is the answer to whatever comes, unlooked at and uncounted."""
    ntlm: Status = Status.SUCCESS
    """What the first NTLM message is answered with, instead of a challenge."""
    offers_ntlm: bool = True
    """Among its ways to log in, as it lists them before it is asked for one."""
    locked: bool = False
    """No password is taken; the status is the answer to a wrong one too."""
    guest: bool = False
    """Whoever is not known is let in as a guest."""
    anonymous: bool = False
    """Who is not known gets an anonymous session; over SSH, whoever comes is let in unasked."""
    admin_share: Status = Status.SUCCESS
    """Of C$ too."""
    administrator: bool = True
    """The account is in Administrators, whatever its token is worth."""
    tells_members: bool | None = None
    """Who is in Administrators, to who is none; None: as its system does."""
    service_control: bool = True
    """The service control manager can be opened."""
    registry: bool = True
    """HKEY_LOCAL_MACHINE can be opened."""
    registry_pipe: tuple[Status, ...] = (Status.SUCCESS,)
    """What the registry's pipe is answered with, one opening after the other; the last one from then on."""
    smb1: bool = False
    """Speaks nothing newer."""
    signing: bool = False
    """Takes no unsigned message."""
    encrypts: bool = False
    """Takes no message of a session that is not encrypted."""
    ciphers: tuple[int, ...] = (AES_128_GCM, AES_128_CCM)
    """Of SMB encryption, those it knows, best first."""

    @property
    def shows(self) -> Stage:
        """The stage at which a login meets it."""
        if (self.port is not Port.OPEN and self.turned_away is None) or self.smb1:
            return Stage.BANNER
        if self.trouble is not None and self.trouble.manner is not Manner.LAGS:
            return self.trouble.stage
        if self.ntlm != Status.SUCCESS or not self.offers_ntlm:
            return Stage.KEX
        if self.certificate not in (None, Certificate.VALID) or self.revoked_host_key:
            return Stage.KEX
        if (
            self.kex
            or self.ssh_ciphers
            or self.sha1_host_key
            or not self.known_host_key
            or self.anonymous
            or self.second_factor
            or not self.passwords
        ):
            return Stage.KEX
        if self.secret not in _READABLE:
            return Stage.KEX
        refused = self.status != Status.SUCCESS or not self.known or not self.right_secret
        return Stage.LOGIN if refused or self.notice or self.two_methods or self.hangs_up else Stage.COMMAND

    @property
    def known_otherwise(self) -> bool:
        """What is known of its host key is another thing than the key itself."""
        return self.revoked_host_key or self.certificate is not None or not self.known_host_key

    @property
    def spares_keys(self) -> bool:
        """A login by key does not meet it."""
        return not self.passwords or self.locked or self.wants_new_password


_HTTP = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TLS_ALERT = bytes.fromhex("15030100020216")
"""Fatal, record_overflow: what OpenSSL answers to plain text."""


def _windows(name: str, meaning: str, status: Status) -> HostFault:
    """A state of the account that Windows alone knows."""
    return HostFault(name, meaning, status=status, technologies=WINDOWS)


def _unjudged(name: str, meaning: str, status: Status) -> HostFault:
    """A state of the host that it tells instead of a verdict on the password."""
    return HostFault(name, meaning, status=status, judges=False, technologies=WINDOWS)


def _certified(name: str, meaning: str, certificate: Certificate) -> HostFault:
    return HostFault(name, meaning, certificate=certificate, technologies=UNIX)


def _troubled(name: str, meaning: str, stage: Stage, manner: Manner, technologies: frozenset[str] = BOTH) -> HostFault:
    return HostFault(name, meaning, trouble=Trouble(stage, manner), technologies=technologies)


HOST_FAULTS = {
    f.name: f
    for f in (
        HostFault("none", "everything works"),
        # -- the port --
        HostFault("closed", "nothing listens on the port", port=Port.CLOSED),
        HostFault("silent", "takes the connection and says nothing", port=Port.SILENT),
        HostFault("reset", "cuts every connection at once", port=Port.RESET),
        HostFault("garbage", "says something that is no protocol", port=Port.GREETS, says=b"\x07\x00????????\r\n"),
        HostFault("ftp", "an FTP server", port=Port.GREETS, says=b"220 (vsFTPd 3.0.5)\r\n"),
        HostFault("http", "a web server", port=Port.ANSWERS, says=_HTTP),
        HostFault("tls", "a TLS server", port=Port.ANSWERS, says=_TLS_ALERT),
        HostFault(
            "penalty",
            "turns the scanner away, as sshd does by PerSourcePenalties",
            port=Port.TURNS_AWAY,
            says=b"Not allowed at this time\r\n",
            technologies=UNIX,
        ),
        HostFault(
            "throttled",
            "turns the first connection away, as sshd does by MaxStartups",
            port=Port.TURNS_AWAY,
            says=b"Exceeded MaxStartups\r\n",
            turned_away=1,
            technologies=UNIX,
        ),
        HostFault("drip", "sends its banner a byte at a time", port=Port.DRIPS, technologies=UNIX),
        # -- cut, stuck or slow on the way --
        _troubled("reset_after_banner", "cuts the connection after its first words", Stage.KEX, Manner.CUTS),
        _troubled("reset_at_login", "cuts the connection when a password comes", Stage.LOGIN, Manner.CUTS),
        _troubled("reset_at_command", "cuts the connection once logged in", Stage.COMMAND, Manner.CUTS),
        _troubled("stalled_kex", "says nothing more after its first words", Stage.KEX, Manner.STALLS),
        _troubled("stalled_login", "never judges the password", Stage.LOGIN, Manner.STALLS),
        _troubled("stalled_command", "logs in, and answers nothing more", Stage.COMMAND, Manner.STALLS),
        _troubled("keepalive_login", "sends keep-alives, and no verdict", Stage.LOGIN, Manner.NAGS, WINDOWS),
        _troubled("pending_login", "says that a verdict will come, for ever", Stage.LOGIN, Manner.PENDS, WINDOWS),
        _troubled("pending_command", "logs in, and answers later, for ever", Stage.COMMAND, Manner.PENDS, WINDOWS),
        _troubled("drip_kex", "sends its key exchange or challenge a byte at a time", Stage.KEX, Manner.DRIPS),
        _troubled("half_close", "ends its half of the connection after its first words", Stage.KEX, Manner.HALF_CLOSES),
        _troubled("slow_banner", "takes its time for its first words", Stage.BANNER, Manner.LAGS),
        _troubled("slow_kex", "takes its time for the key exchange or challenge", Stage.KEX, Manner.LAGS),
        _troubled("slow_login", "takes its time to judge the password", Stage.LOGIN, Manner.LAGS),
        _troubled("slow_command", "takes its time once logged in", Stage.COMMAND, Manner.LAGS),
        # -- what the host asks for --
        HostFault("old_kex", "knows one outdated key exchange", kex=("diffie-hellman-group1-sha1",), technologies=UNIX),
        HostFault("old_cipher", "knows one outdated cipher", ssh_ciphers=("aes128-cbc",), technologies=UNIX),
        HostFault(
            "sha1_host_key", "has an RSA host key, and signs with SHA-1 only", sha1_host_key=True, technologies=UNIX
        ),
        HostFault("changed_host_key", "shows another key than before", known_host_key=False, technologies=UNIX),
        HostFault("revoked_host_key", "shows a key that is revoked", revoked_host_key=True, technologies=UNIX),
        _certified("certified", "shows a certificate, and is known by its CA alone", Certificate.VALID),
        _certified("certificate_expired", "shows a certificate that has expired", Certificate.EXPIRED),
        _certified("certificate_of_another", "shows a certificate for another name", Certificate.OF_ANOTHER),
        _certified("certificate_unknown_ca", "shows a certificate of an unknown CA", Certificate.OF_A_STRANGER),
        _certified("certificate_missing", "shows no certificate, and is known by its CA alone", Certificate.MISSING),
        HostFault("key_only", "offers no method that takes a password", passwords=False, technologies=UNIX),
        HostFault("mfa", "asks for a code", passwords=False, second_factor=True, technologies=UNIX),
        HostFault("two_methods", "wants a key and a password", two_methods=True, technologies=UNIX),
        HostFault("smb1_only", "speaks nothing newer than SMB 1", smb1=True, technologies=WINDOWS),
        HostFault(
            "signing",
            "takes no unsigned message, which a good client does not notice",
            signing=True,
            technologies=WINDOWS,
        ),
        HostFault(
            "encryption", "takes only encrypted sessions, as good clients can", encrypts=True, technologies=WINDOWS
        ),
        HostFault(
            "encryption_gcm",
            "takes only sessions encrypted with a cipher that impacket has not",
            encrypts=True,
            ciphers=(AES_128_GCM,),
            technologies=WINDOWS,
        ),
        # -- the account --
        HostFault("wrong_password", "the vault's secret is not the account's", right_secret=False),
        HostFault(
            "slow_refusal",
            "takes its time to refuse what the vault holds",
            right_secret=False,
            trouble=Trouble(Stage.LOGIN, Manner.LAGS),
            technologies=UNIX,
        ),
        HostFault(
            "one_try",
            "allows one try, and the vault's secret is not the account's",
            right_secret=False,
            one_try=True,
            technologies=UNIX,
        ),
        HostFault("barred", "hangs up on the right credential without a word", hangs_up=True, technologies=UNIX),
        HostFault(
            "old_password", "the vault holds the account's previous password", right_secret=False, former_secret=True
        ),
        HostFault("unknown_user", "there is no such user, and the host does not say so", known=False),
        HostFault(
            "no_such_user",
            "there is no such user, as the host says",
            known=False,
            status=Status.NO_SUCH_USER,
            technologies=WINDOWS,
        ),
        HostFault(
            "locked",
            "the account is locked out",
            status=Status.ACCOUNT_LOCKED_OUT,
            locked=True,
            notice="The account is locked due to 3 failed logins.\n(10 minutes left to unlock)\n",
        ),
        HostFault(
            "expired",
            "the account has expired",
            status=Status.ACCOUNT_EXPIRED,
            notice="Your account has expired; please contact your system administrator.\n",
        ),
        HostFault(
            "password_expired", "the password has expired", status=Status.PASSWORD_EXPIRED, session=Session.EXPIRED
        ),
        HostFault(
            "must_change",
            "the password must be changed first",
            status=Status.PASSWORD_MUST_CHANGE,
            wants_new_password=True,
        ),
        _windows("disabled", "the account is disabled", Status.ACCOUNT_DISABLED),
        _windows("logon_hours", "the account may not log on at this hour", Status.INVALID_LOGON_HOURS),
        _windows("workstation", "the account may not log on from here", Status.INVALID_WORKSTATION),
        _windows("logon_type", "the account has no right to log on over the network", Status.LOGON_TYPE_NOT_GRANTED),
        _windows("restricted", "a policy keeps the account from this logon", Status.ACCOUNT_RESTRICTION),
        _windows("smartcard", "the account must use a smart card", Status.SMARTCARD_LOGON_REQUIRED),
        _windows("auth_firewall", "selective authentication keeps it out", Status.AUTHENTICATION_FIREWALL_FAILED),
        # -- what the host says instead of a verdict --
        _unjudged("ntlm_disabled", "refuses every answer by NTLM", Status.NOT_SUPPORTED),
        _unjudged("ntlm_blocked", "says that NTLM is blocked", Status.NTLM_BLOCKED),
        HostFault("ntlm_refused", "refuses to begin with NTLM", ntlm=Status.NOT_SUPPORTED, technologies=WINDOWS),
        HostFault("kerberos_only", "offers no NTLM at all", offers_ntlm=False, technologies=WINDOWS),
        _unjudged("no_logon_servers", "finds no domain controller", Status.NO_LOGON_SERVERS),
        _unjudged("trust_broken", "has lost its domain's trust", Status.TRUSTED_RELATIONSHIP_FAILURE),
        _unjudged("netlogon", "has no logon service running", Status.NETLOGON_NOT_STARTED),
        _unjudged("clock_skew", "has another time than its domain", Status.TIME_DIFFERENCE_AT_DC),
        _unjudged("session_limit", "has no session left", Status.REQUEST_NOT_ACCEPTED),
        _unjudged("server_busy", "lacks resources", Status.INSUFF_SERVER_RESOURCES),
        HostFault("guest", "maps a wrong password to a guest", right_secret=False, guest=True, technologies=WINDOWS),
        HostFault("anonymous", "lets anybody in, as nobody", right_secret=False, anonymous=True),
        # -- what the login may do --
        HostFault(
            "no_sudo",
            "logs in, but sudo wants a password",
            sudo=False,
            roots=frozenset({FREE}),
            technologies=UNIX,
        ),
        HostFault(
            "no_sudoer",
            "logs in, but may not use sudo",
            sudoer=False,
            roots=frozenset({FREE, OWN}),
            technologies=UNIX,
        ),
        HostFault(
            "sudo_one_command",
            "logs in, but sudo runs one command only",
            sudo_rule="(root) NOPASSWD: /usr/bin/true",
            roots=frozenset({FREE}),
            technologies=UNIX,
        ),
        HostFault(
            "sudo_missing",
            "logs in, but has no sudo",
            sudo_installed=False,
            roots=frozenset({FREE, OWN}),
            technologies=UNIX,
        ),
        HostFault(
            "sudo_tty",
            "has a sudo that wants a terminal, as good clients can have",
            requiretty=True,
            roots=frozenset({FREE, OWN}),
            technologies=UNIX,
        ),
        HostFault(
            "sudo_refuses",
            "logs in, and sudo does not take the same password",
            right_root=False,
            roots=frozenset({OWN}),
            technologies=UNIX,
        ),
        HostFault(
            "root_asks_code",
            "logs in, and asks for a code on the way to root",
            root_asks="Verification code: ",
            roots=frozenset({OWN, SU}),
            technologies=UNIX,
        ),
        HostFault(
            "root_wrong_password",
            "logs in, and the vault's root password is not root's",
            right_root=False,
            roots=frozenset({SU}),
            technologies=UNIX,
        ),
        HostFault(
            "root_secret_missing",
            "logs in, and the vault has no secret for root",
            root_secret=SecretState.MISSING,
            roots=frozenset({SU}),
            technologies=UNIX,
        ),
        HostFault(
            "su_denied",
            "logs in, but may not use su",
            su_admits=False,
            roots=frozenset({SU}),
            technologies=UNIX,
        ),
        HostFault("no_session", "logs in, but opens no session", opens_session=False, technologies=UNIX),
        HostFault("nologin", "logs in, but has no shell", session=Session.NOLOGIN, technologies=UNIX),
        HostFault("forced_command", "logs in to one fixed command", session=Session.FORCED, technologies=UNIX),
        HostFault("network_device", "logs in to a device without a shell", session=Session.DEVICE, technologies=UNIX),
        HostFault(
            "no_admin",
            "logs in, but is no administrator",
            admin_share=Status.ACCESS_DENIED,
            administrator=False,
            registry=False,
            technologies=WINDOWS,
        ),
        HostFault(
            "uac_filtered",
            "gives a local administrator a user's token, and tells that he is one",
            admin_share=Status.ACCESS_DENIED,
            registry=False,
            tells_members=True,
            technologies=WINDOWS,
        ),
        HostFault(
            "uac_hidden",
            "gives a local administrator a user's token, and keeps to itself that he is one",
            admin_share=Status.ACCESS_DENIED,
            registry=False,
            tells_members=False,
            technologies=WINDOWS,
        ),
        HostFault("no_admin_share", "has no ADMIN$", admin_share=Status.BAD_NETWORK_NAME, technologies=WINDOWS),
        HostFault("no_services", "does not open its service manager", service_control=False, technologies=WINDOWS),
        HostFault("no_registry", "does not open its registry", registry=False, technologies=WINDOWS),
        HostFault(
            "registry_off",
            "has its remote registry switched off",
            registry_pipe=(Status.OBJECT_NAME_NOT_FOUND,),
            technologies=WINDOWS,
        ),
        HostFault(
            "registry_starting",
            "starts its remote registry when it is asked for, which a good client waits for",
            registry_pipe=(Status.PIPE_NOT_AVAILABLE, Status.SUCCESS),
            technologies=WINDOWS,
        ),
        HostFault(
            "registry_stuck",
            "never comes to have its remote registry started",
            registry_pipe=(Status.PIPE_NOT_AVAILABLE,),
            technologies=WINDOWS,
        ),
        # -- the secret --
        HostFault("secret_missing", "the vault has no secret of that name", secret=SecretState.MISSING),
        HostFault("secret_inactive", "the secret has been deactivated", secret=SecretState.INACTIVE),
        HostFault("secret_ambiguous", "two secrets bear the name", secret=SecretState.AMBIGUOUS),
        HostFault("secret_forbidden", "the scanner's user may not view the secret", secret=SecretState.FORBIDDEN),
        HostFault("secret_comment", "the secret is shown only with a comment", secret=SecretState.COMMENT),
        HostFault("secret_503", "the vault answers 503 for the secret", secret=SecretState.UNAVAILABLE),
        HostFault("secret_slow", "the vault does not answer for the secret in time", secret=SecretState.SLOW),
        HostFault(
            "secret_stale",
            "the vault's secret is not the account's, and its heartbeat has noticed",
            right_secret=False,
            secret=SecretState.OUT_OF_SYNC,
        ),
    )
}


def foremost(host: HostFault, account: HostFault | None, system: HostFault | None) -> HostFault:
    """Of a host's own fault, its directory account's and its system's: the one that a login meets first."""
    if account is not None and _STAGES.index(host.shows) >= _STAGES.index(Stage.LOGIN):
        return account
    if system is not None and host.shows is Stage.COMMAND:
        return system
    return host
