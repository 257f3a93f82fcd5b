"""What sshd does to its users, and which simulated host does the same."""

from __future__ import annotations

from functools import partial

from appliance.contract import CryptoProfile, HostKeyPolicy, Phase, RootBy, Technology
from tests.peers.rows import Key, Known, Password, Row, Simulated

_row = partial(Row, technology=Technology.UNIX)
_kbd = partial(Simulated, login="keyboard-interactive")
_key = partial(Simulated, login="key")

OK, FAILED = ("password ok",), ("password failed",)
KBD_OK, KBD_FAILED = ("keyboard-interactive ok",), ("keyboard-interactive failed",)
KEY_OK, KEY_FAILED = ("publickey ok",), ("publickey failed",)

_SESSION = {"auth_method": "password|keyboard-interactive|publickey"}
_WHO = {
    **_SESSION,
    "id": r"uid=\d+\(USER\) gid=\d+\(USER\) groups=\d+\(USER\)(,\d+\(\w+\))*",
    "uid": r"\d+",
    "groups": r"USER(,\w+)*",
}
_ID = {
    **_WHO,
    "hostname": r"[\w.-]+",
    "kernel": r"Linux \d+\.\S+ \w+",
    "os": r"\w.* \d.*",
    "os_version": r"\d\S*",
}
_SUDO = {**_ID, "sudo": "all", "sudo_rules": r"\(ALL( : ALL)?\) NOPASSWD: ALL"}
_BY_KEY = {"methods": "publickey"}
_BY_KBD = {"methods": "publickey,keyboard-interactive"}
_TWOFOLD = {"methods": "publickey,password"}
_REFUSED_KEY = {
    "host_key": None,
    "host_key_fingerprint": None,
    "methods": None,
    "kex": None,
    "cipher": None,
    "host_key_refused": r"ssh-ed25519 \S+",
    "host_key_refused_fingerprint": r"SHA256:\S+",
}
_EXPIRED_PASSWORD = r"WARNING: Your password has expired\.\\nPassword change required but no TTY available\."
_CURRENT_PASSWORD = (
    r"You are required to change your password immediately \(administrator enforced\)\.\\n"
    r"Changing password for \w+\.\\nCurrent password:"
)
_OTHER_MARKS = "of a simulated host known_hosts has one line"
_CERTIFICATE = {"host_certificate": r"'\S+' for 127\.\S+(, 127\.\S+)*, signed by SHA256:\S+, valid until \S+ \S+ UTC"}
_REFUSED_CERTIFICATE = {"host_certificate_refused": r"'\S+' for .+, signed by SHA256:\S+, valid until \S+ \S+ UTC"}
_BAD_CERTIFICATES = (
    ("certificate expired", "certificate_expired", r"its certificate has expired on 2020-01-02 00:00 UTC"),
    ("certificate of another", "certificate_of_another", r"its certificate is for another\.example, not for 127\.\S+"),
    (
        "certificate of a stranger",
        "certificate_unknown_ca",
        r"its certificate is signed by an unknown CA, SHA256:\S+",
    ),
)
_NO_LIST = "a simulated host knows the usual MACs"
_ONE_KEY = "a simulated host has one host key, of ed25519"

_LOGINS = (
    _row(name="right password", user="good", reason="PASSED", logons=OK, facts=_ID),
    _row(
        name="wrong password",
        user="good",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("wrong_password"),
        held=Password.WRONG,
    ),
    _row(
        name="unknown user",
        user="nosuchuser",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("unknown_user"),
        held=Password.WRONG,
    ),
    _row(name="empty secret", user="good", reason="SECRET_FIELD_MISSING", submitted=False, held=Password.EMPTY),
    _row(
        name="keyboard-interactive alone",
        user="kbd",
        reason="PASSED",
        logons=KBD_OK,
        simulated=_kbd(),
        facts={**_BY_KBD, **_ID},
    ),
    _row(
        name="wrong password, keyboard-interactive",
        user="kbd",
        reason="BAD_CREDENTIALS",
        logons=KBD_FAILED,
        simulated=_kbd("wrong_password"),
        held=Password.WRONG,
        facts=_BY_KBD,
    ),
    _row(
        name="method not offered",
        user="keyonly",
        reason="SSH_METHOD_NOT_OFFERED",
        submitted=False,
        simulated=Simulated("key_only"),
        held=Password.WRONG,
        says="offered: publickey",
        facts=_BY_KEY,
    ),
    _row(
        name="no credential asked for",
        user="open",
        reason="AUTH_NOT_REQUIRED",
        submitted=False,
        simulated=Simulated("anonymous"),
        says="the server accepts the login without checking a credential",
        facts={"methods": None},
    ),
)

_REFUSALS = (
    _row(
        name="a conversation without a question",
        user="trusted",
        reason="AUTH_NOT_REQUIRED",
        submitted=False,
        logons=KBD_OK,
        simulated=_kbd("anonymous"),
        says="the server accepts the login without checking a credential",
        facts=_BY_KBD,
    ),
    _row(
        name="wrong password, refused after a while",
        user="delayed",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("slow_refusal"),
        held=Password.WRONG,
    ),
    _row(
        name="right password, where a refusal takes a while",
        user="delayed",
        reason="PASSED",
        logons=OK,
        simulated="a simulated host is slow whatever it says",
        facts=_ID,
    ),
    _row(
        name="one try, wrong password",
        user="good",
        reason="TOO_MANY_AUTH_FAILURES",
        logons=FAILED,
        simulated=Simulated("one_try"),
        server="one try",
        held=Password.WRONG,
        says="Too many authentication failures",
    ),
    _row(
        name="one try, unauthorised key",
        user="keyed",
        reason="TOO_MANY_AUTH_FAILURES",
        logons=KEY_FAILED,
        simulated=_key("one_try"),
        server="one try",
        held=Key("stranger"),
        says="Too many authentication failures",
    ),
    _row(
        name="one try, right password",
        user="good",
        reason="PASSED",
        logons=OK,
        simulated="a simulated host of that fault has another password",
        server="one try",
        facts=_ID,
    ),
    _row(
        name="refused by the account rules, which say nothing",
        user="barred",
        reason="AUTH_DROPPED",
        logons=FAILED,
        simulated=Simulated("barred"),
    ),
    _row(
        name="refused by the account rules, wrong password",
        user="barred",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("barred"),
        held=Password.WRONG,
    ),
)

_KEYS = (
    *(
        _row(
            name=f"key: {form}",
            user="keyed",
            reason="PASSED",
            logons=KEY_OK,
            simulated=_key(),
            held=Key(form),
            facts=_ID,
        )
        for form in ("plain", "passphrase", "pem")
    ),
    _row(
        name="key alone",
        user="keyonly",
        reason="PASSED",
        logons=KEY_OK,
        simulated="a login by key never meets the fault key_only",
        held=Key("passphrase"),
        facts={**_BY_KEY, **_ID},
    ),
    _row(
        name="unauthorised key",
        user="keyed",
        reason="KEY_REFUSED",
        logons=KEY_FAILED,
        simulated=_key("wrong_password"),
        held=Key("stranger"),
    ),
    _row(
        name="unknown user, key",  # of whom sshd logs no verdict
        user="nosuchuser",
        reason="KEY_REFUSED",
        simulated=_key("unknown_user"),
        held=Key("plain"),
    ),
    *(
        _row(
            name=f"key: {form}, {passphrase} passphrase",
            user="keyed",
            reason="SECRET_PASSPHRASE_WRONG",
            submitted=False,
            simulated=_key(),
            held=Key(form, passphrase),
        )
        for form in ("passphrase", "pem")
        for passphrase in (Password.WRONG, Password.EMPTY)
    ),
    _row(
        name="key: garbage",
        user="keyed",
        reason="SECRET_KEY_UNREADABLE",
        submitted=False,
        simulated=_key(),
        held=Key("garbage"),
    ),
    _row(
        name="a password is wanted besides the key",
        user="twofold",
        reason="PARTIAL_SUCCESS",
        logons=KEY_FAILED,
        simulated=_key("two_methods"),
        held=Key("plain"),
        says="also wants: password",
        facts=_TWOFOLD,
    ),
    _row(
        name="a key is wanted besides the password",
        user="twofold",
        reason="PARTIAL_SUCCESS",
        logons=FAILED,
        simulated=Simulated("two_methods"),
        says="also wants: publickey",
        facts=_TWOFOLD,
    ),
)

_CERTIFICATES = (
    _row(
        name="certificate",
        user="certed",
        reason="PASSED",
        logons=KEY_OK,
        simulated=_key(),
        held=Key("plain", certificate="good"),
        facts={**_ID, "certificate": r"test of SHA256:\S{43}, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"},
    ),
    *(
        _row(
            name=f"certificate: {form}",
            user="certed",
            reason=reason,
            logons=KEY_FAILED,
            simulated=_key(),
            held=Key("plain", certificate=form),
            says=rf"certificate 'test' of authority SHA256:\S{{43}}{says}: .*",
        )
        for form, reason, says in (
            ("expired", "CERT_EXPIRED", r" has not been valid since \d{4}-.* UTC"),
            ("early", "CERT_EXPIRED", r" is not valid before \d{4}-.* UTC"),
            ("elsewhere", "CERT_PRINCIPAL", r" names somebody, and not \w+"),
            ("unknown", "CERT_REFUSED", ""),
        )
    ),
    *(
        _row(
            name=f"certificate: {form}",
            user="certed",
            reason="SECRET_CERTIFICATE_UNUSABLE",
            submitted=False,
            simulated=_key(),
            held=Key("plain", certificate=form),
        )
        for form in ("host", "another", "garbage")
    ),
)

_ACCOUNTS = (
    *(
        _row(
            name=f"account expired, {name}",
            user=user,
            reason="ACCOUNT_EXPIRED",
            logons=logons,
            simulated=Simulated("expired", login=name),
            held=held,
            says=r"Your account has expired; please contact your system administrator\.",
            facts=facts,
        )
        for name, user, held, logons, facts in (
            ("password", "expired", Password.RIGHT, FAILED, {}),
            ("keyboard-interactive", "kbdexpired", Password.RIGHT, KBD_FAILED, _BY_KBD),
            ("key", "expired", Key("plain"), KEY_FAILED, {}),
        )
    ),
    _row(
        name="account expired, wrong password",
        user="expired",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("expired"),
        held=Password.WRONG,
    ),
    _row(
        name="account expired, wrong password, keyboard-interactive",
        user="kbdexpired",
        reason="BAD_CREDENTIALS",
        logons=KBD_FAILED,
        simulated=_kbd("expired"),
        held=Password.WRONG,
        facts=_BY_KBD,
    ),
    _row(
        name="password expired",
        user="mustchange",
        reason="PASSWORD_EXPIRED",
        logons=OK,
        simulated=Simulated("password_expired"),
        says=_EXPIRED_PASSWORD,
        facts=_SESSION,
    ),
    _row(
        name="password expired, key",
        user="mustchange",
        reason="PASSWORD_EXPIRED",
        logons=KEY_OK,
        simulated=_key("password_expired"),
        held=Key("plain"),
        says=_EXPIRED_PASSWORD,
        facts=_SESSION,
    ),
    _row(
        name="password expired, wrong password",
        user="mustchange",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("password_expired"),
        held=Password.WRONG,
    ),
    *(
        _row(
            name=f"password must change, keyboard-interactive ({fault})",
            user="kbdmust",
            reason="PASSWORD_MUST_CHANGE",
            simulated=_kbd(fault),
            says=_CURRENT_PASSWORD,
            facts=_BY_KBD,
        )
        for fault in ("password_expired", "must_change")
    ),
    _row(
        name="locked, and does not say so",
        user="lockout",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated("locked"),
        locked_first=True,
    ),
    _row(
        name="locked by a directory",
        user="lockout",
        reason="BAD_CREDENTIALS",
        logons=FAILED,
        simulated=Simulated(locks=True),
        locked_first=True,
    ),
    _row(
        name="locked, keyboard-interactive",
        user="kbdlockout",
        reason="ACCOUNT_LOCKED",
        submitted=False,
        simulated=_kbd("locked"),
        locked_first=True,
        says=r"The account is locked due to \d+ failed logins\.\\n\(\d+ minutes? left to unlock\)\\nPassword:",
        facts=_BY_KBD,
    ),
    _row(
        name="locked, key",
        user="lockout",
        reason="PASSED",
        logons=KEY_OK,
        simulated="a login by key never meets the fault locked",
        held=Key("plain"),
        locked_first=True,
        facts=_ID,
    ),
)

_SESSIONS = (
    _row(
        name="nologin",
        user="noshell",
        reason="PRIV_NO_SHELL",
        logons=OK,
        simulated=Simulated("nologin"),
        says=r"This account is currently not available\.",
        facts=_SESSION,
    ),
    _row(
        name="no session",
        user="sessionless",
        reason="PRIV_NO_SHELL",
        logons=OK,
        simulated=Simulated("no_session"),
        says="open failed",
        facts=_SESSION,
    ),
    _row(
        name="forced command",
        user="forced",
        reason="PRIV_FORCED_COMMAND",
        logons=OK,
        simulated=Simulated("forced_command"),
        facts=_SESSION,
    ),
    *(
        _row(
            name=f"{shell} as login shell",
            user=f"by{shell}",
            reason="PASSED",
            logons=OK,
            simulated="a simulated host has one shell",
            sudo=True,
            facts=_SUDO,
        )
        for shell in ("ash", "bash", "csh")
    ),
    _row(name="sudo", user="admin", reason="PASSED", logons=OK, sudo=True, facts=_SUDO),
    _row(
        name="sudo wants a password",
        user="helper",
        reason="PRIV_SUDO_PASSWORD",
        logons=OK,
        simulated=Simulated("no_sudo"),
        sudo=True,
        says="sudo: a password is required",
        facts=_ID,
    ),
    _row(
        name="no sudoer, before a password is asked for",  # `sudo -n` says no more to him than to a sudoer
        user="good",
        reason="PRIV_SUDO_PASSWORD",
        logons=OK,
        simulated=Simulated("no_sudo"),
        sudo=True,
        says="sudo: a password is required",
        facts=_ID,
    ),
    _row(
        name="no sudoer",
        user="outsider",
        reason="PRIV_NO_SUDO",
        logons=OK,
        simulated=Simulated("no_sudoer"),
        sudo=True,
        says=r"Sorry, user \w+ may not run sudo on \S+\.",
        facts=_ID,
    ),
    _row(
        name="sudo for one command",
        user="clerk",
        reason="PRIV_NOT_ROOT",
        logons=OK,
        simulated=Simulated("sudo_one_command"),
        sudo=True,
        says=r"User \w+ may run the following commands on \S+:\\n    \(root\) NOPASSWD: /usr/bin/true",
        facts={**_ID, "sudo_rules": r"\(root\) NOPASSWD: /usr/bin/true"},
    ),
    _row(
        name="no sudo to be found",
        user="bare",
        reason="PRIV_NO_SUDO",
        logons=OK,
        simulated=Simulated("sudo_missing"),
        sudo=True,
        says="sh: 1: sudo: not found",
        facts=_ID,
    ),
)

_sudo = partial(_row, logons=OK, sudo=True, root=RootBy.SUDO)
_su = partial(_row, logons=OK, root=RootBy.SU)
_OWN = partial(Simulated, root="own")
_SU = partial(Simulated, root="su")

_ROOT = (
    _sudo(
        name="sudo with the login's password",
        user="helper",
        reason="PASSED",
        simulated=_OWN(),
        facts={**_ID, "sudo": "password"},
    ),
    _sudo(
        name="sudo with a password, which it does not ask for",
        user="admin",
        reason="PASSED",
        root_asked=False,
        facts=_SUDO,
    ),
    _sudo(
        name="sudo on a terminal, after its lecture",
        user="seated",
        reason="PASSED",
        simulated=_OWN("sudo_tty"),
        facts={**_ID, "sudo": "password"},
    ),
    _row(
        name="sudo without a password, on a terminal",
        user="seatedfree",
        reason="PASSED",
        logons=OK,
        simulated=Simulated("sudo_tty"),
        sudo=True,
        facts=_SUDO,
    ),
    _sudo(
        name="sudo refuses the password",  # and PAM counts the second try, which sudo begins at once
        user="sudowrong",
        reason="PRIV_SUDO_REFUSED",
        simulated=_OWN("sudo_refuses"),
        root_held=Password.WRONG,
        tallied=2,
        says=r"Sorry, try again\.(\\n.*)?",
        facts=_ID,
    ),
    _sudo(
        name="sudo takes the password, of no sudoer",
        user="good",
        reason="PRIV_NO_SUDO",
        simulated="a simulated sudo says so unasked",
        says=r"\w+ is not in the sudoers file\..*",
        facts=_ID,
    ),
    _sudo(
        name="no sudoer, with a password at hand",
        user="outsider",
        reason="PRIV_NO_SUDO",
        simulated=_OWN("no_sudoer"),
        root_asked=False,
        says=r"Sorry, user \w+ may not run sudo on \S+\.",
        facts=_ID,
    ),
    _sudo(
        name="sudo asks for root's password, and has it",
        user="ruled",
        reason="PASSED",
        simulated="a simulated sudo asks for the user's own password",
        root_user="root",
        facts={**_ID, "sudo": "password"},
    ),
    _sudo(
        name="sudo asks for something else",  # of which PAM counts that it was left open
        user="ruled",
        reason="PRIV_PROMPT_UNKNOWN",
        simulated=_OWN("root_asks_code"),
        tallied=1,
        says=r"\[keymuster\] password of root:|Verification code:",
        facts=_ID,
    ),
    _su(name="su", user="good", reason="PASSED", simulated=_SU(), facts={**_ID, "su": "password"}),
    _su(
        name="su refuses the password",
        user="helper",
        reason="PRIV_SU_REFUSED",
        simulated=_SU("root_wrong_password"),
        root_held=Password.WRONG,
        tallied=1,
        says=r"su: (Permission denied|Authentication failure)",
        facts=_ID,
    ),
    _su(
        name="su turns the user away",
        user="unwheeled",
        reason="PRIV_NO_SU",
        simulated=_SU("su_denied"),
        root_asked=False,
        says="su: (Permission denied|Authentication failure)",
        facts=_ID,
    ),
)

_HOST_KEYS = (
    *(
        _row(
            name=f"known host key, {policy}",
            user="good",
            reason="PASSED",
            logons=OK,
            host_keys=policy,
            known=Known.ITS_KEY,
            facts=_ID,
        )
        for policy in HostKeyPolicy
    ),
    *(
        _row(
            name=f"known host key of another type, {policy}",
            user="good",
            reason="PASSED",
            logons=OK,
            simulated=_ONE_KEY,
            host_keys=policy,
            known=Known.ITS_RSA_KEY,
            facts={"host_key": r"ssh-rsa \S+", **_ID},
        )
        for policy in HostKeyPolicy
    ),
    *(
        _row(
            name=f"changed host key, {policy}",
            user="good",
            reason="HOST_KEY_CHANGED",
            submitted=False,
            simulated=Simulated("changed_host_key"),
            host_keys=policy,
            known=Known.ANOTHER_KEY,
            ends_in=Phase.KEX,
            facts=_REFUSED_KEY,
        )
        for policy in (HostKeyPolicy.PINNED, HostKeyPolicy.TOFU)
    ),
    _row(
        name="changed host key, any",
        user="good",
        reason="PASSED",
        logons=OK,
        simulated=Simulated("changed_host_key"),
        host_keys=HostKeyPolicy.ANY,
        known=Known.ANOTHER_KEY,
        facts=_ID,
    ),
    _row(
        name="unknown host key, pinned",
        user="good",
        reason="HOST_KEY_UNKNOWN",
        submitted=False,
        host_keys=HostKeyPolicy.PINNED,
        ends_in=Phase.KEX,
        facts=_REFUSED_KEY,
    ),
    *(
        _row(
            name=f"revoked host key, {policy}",
            user="good",
            reason="HOST_KEY_REVOKED",
            submitted=False,
            simulated=Simulated("revoked_host_key"),
            host_keys=policy,
            known=Known.REVOKED,
            ends_in=Phase.KEX,
            says=r"SHA256:\S+ is revoked",
            facts=_REFUSED_KEY,
        )
        for policy in HostKeyPolicy
    ),
    *(
        _row(
            name=f"certified host key, {policy}",
            user="good",
            reason="PASSED",
            logons=OK,
            simulated=Simulated("certified"),
            server="certified",
            host_keys=policy,
            known=Known.ITS_CA,
            facts={**_CERTIFICATE, **_ID},
        )
        for policy in HostKeyPolicy
    ),
    _row(
        name="certified host key, of which the key is revoked",
        user="good",
        reason="HOST_KEY_REVOKED",
        submitted=False,
        simulated=_OTHER_MARKS,
        server="certified",
        known=Known.REVOKED,
        ends_in=Phase.KEX,
        says=r"SHA256:\S+ is revoked",
        facts={**_REFUSED_KEY, **_REFUSED_CERTIFICATE},
    ),
    _row(
        name="certified host key, of which the CA is revoked",
        user="good",
        reason="HOST_KEY_REVOKED",
        submitted=False,
        simulated=_OTHER_MARKS,
        server="certified",
        host_keys=HostKeyPolicy.ANY,
        known=Known.REVOKED_CA,
        ends_in=Phase.KEX,
        says=r"SHA256:\S+, the CA of its certificate, is revoked",
        facts={**_REFUSED_KEY, **_REFUSED_CERTIFICATE},
    ),
    *(
        _row(
            name=f"{server}, {policy}",
            user="good",
            reason="HOST_KEY_UNKNOWN",
            submitted=False,
            simulated=Simulated(fault),
            server=server,
            host_keys=policy,
            known=Known.ITS_CA,
            ends_in=Phase.KEX,
            says=rf"SHA256:\S+; {says}",
            facts={**_REFUSED_KEY, **_REFUSED_CERTIFICATE, "host_certificate_fault": says},
        )
        for server, fault, says in _BAD_CERTIFICATES
        for policy in (HostKeyPolicy.PINNED, HostKeyPolicy.TOFU)
    ),
    *(
        _row(
            name=f"{server}, any",
            user="good",
            reason="PASSED",
            logons=OK,
            simulated=Simulated(fault),
            server=server,
            host_keys=HostKeyPolicy.ANY,
            known=Known.ITS_CA,
            facts={**_REFUSED_CERTIFICATE, "host_certificate_fault": says, **_ID},
        )
        for server, fault, says in _BAD_CERTIFICATES
    ),
    _row(
        name="certificate expired, key known",
        user="good",
        reason="PASSED",
        logons=OK,
        simulated=_OTHER_MARKS,
        server="certificate expired",
        host_keys=HostKeyPolicy.PINNED,
        known=Known.ITS_KEY_AND_CA,
        facts={**_REFUSED_CERTIFICATE, "host_certificate_fault": r"its certificate has expired .*", **_ID},
    ),
    *(
        _row(
            name=f"no certificate where a CA answers, {policy}",
            user="good",
            reason="HOST_KEY_UNKNOWN",
            submitted=False,
            simulated=Simulated("certificate_missing"),
            host_keys=policy,
            known=Known.ITS_CA,
            ends_in=Phase.KEX,
            says=r"SHA256:\S+; it shows no certificate, and a CA is known for 127\.\S+",
            facts=_REFUSED_KEY,
        )
        for policy in (HostKeyPolicy.PINNED, HostKeyPolicy.TOFU)
    ),
)

_NO_MATCH = dict.fromkeys(("host_key", "host_key_fingerprint", "methods", "kex", "cipher"))


def _algorithms(
    server: str, fault: str, kind: str, offered: dict[str, str], agreed: dict[str, str | None]
) -> list[Row]:
    """A server that only the profile `legacy` agrees with."""
    simulated = Simulated(fault) if fault else _NO_LIST
    only = {**offered, "crypto_needed": "legacy"}
    rows = [
        _row(
            name=f"{server}, {profile}",
            user="good",
            reason="KEX_NO_MATCH",
            submitted=False,
            simulated=simulated,
            server=server,
            crypto=profile,
            ends_in=Phase.KEX,
            says=f"the profile legacy would do; no common {kind}: the host offers \\S+",
            facts={**_NO_MATCH, **only},
        )
        for profile in (CryptoProfile.MODERN, CryptoProfile.COMPAT)
    ]
    legacy = "a simulated host's RSA key is not known to its estate" if fault == "sha1_host_key" else simulated
    rows.append(
        _row(
            name=f"{server}, legacy",
            user="good",
            reason="PASSED",
            logons=OK,
            simulated=legacy,
            server=server,
            crypto=CryptoProfile.LEGACY,
            known=Known.ITS_RSA_KEY if fault == "sha1_host_key" else Known.NOTHING,
            facts={**only, **agreed, **_ID},
        )
    )
    return rows


_ALGORITHMS = (
    *_algorithms(
        "outdated",
        "old_kex",
        "key exchange",
        {"kex_offered": "diffie-hellman-group1-sha1"},
        {"kex": "diffie-hellman-group1-sha1"},
    ),
    *_algorithms(
        "outdated cipher",
        "old_cipher",
        "cipher",
        {"ciphers_offered": "aes128-cbc"},
        {"cipher": "aes128-cbc", "mac": r"hmac-sha2-256-etm@openssh\.com"},
    ),
    *_algorithms(
        "outdated MAC",
        "",
        "MAC",
        {"ciphers_offered": "aes128-ctr", "macs_offered": "hmac-md5"},
        {"cipher": "aes128-ctr", "mac": "hmac-md5"},
    ),
    *_algorithms(
        "SHA-1 host key",
        "sha1_host_key",
        "host key algorithm",
        {"host_keys_offered": "ssh-rsa"},
        {"host_key": r"ssh-rsa \S+"},
    ),
    _row(
        name="group exchange",
        user="good",
        reason="PASSED",
        logons=OK,
        simulated="asyncssh's servers choose among the groups that have a name",
        server="group exchange",
        facts={
            "crypto_needed": "modern",
            "kex_offered": "diffie-hellman-group-exchange-sha256",
            "kex": "diffie-hellman-group-exchange-sha256",
            **_ID,
        },
    ),
    _row(
        name="new key exchange",
        user="good",
        reason="KEX_NO_MATCH",
        submitted=False,
        simulated="it is one that asyncssh has not",
        server="new key exchange",
        crypto=CryptoProfile.LEGACY,
        ends_in=Phase.KEX,
        says="no profile would do; no common key exchange: the host offers sntrup761x25519-sha512@openssh.com",
        facts={**_NO_MATCH, "crypto_needed": "none", "kex_offered": r"sntrup761x25519-sha512@openssh\.com"},
    ),
)

UNIX_ROWS: tuple[Row, ...] = (
    *_LOGINS,
    *_REFUSALS,
    *_KEYS,
    *_CERTIFICATES,
    *_ACCOUNTS,
    *_SESSIONS,
    *_ROOT,
    *_HOST_KEYS,
    *_ALGORITHMS,
)

UNIX_WITHOUT_SERVER = {
    "must_change": "sshd asks for a new password by keyboard-interactive only; other servers refuse a password so",
    "old_password": "sshd remembers no passwords; to a login it is a wrong one",
    "mfa": "none of Debian's PAM modules asks for a code",
    "network_device": "a switch",
}
"""Faults of an SSH host that no row holds against sshd for a login by password, and why."""
