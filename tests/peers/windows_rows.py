"""What Samba does to its users, and which simulated host does the same."""

from __future__ import annotations

from functools import partial

from appliance.contract import Phase, Selection, Technology
from tests.peers.rows import Hash, Password, Row, Simulated

_row = partial(Row, technology=Technology.WINDOWS, server="plain")

_ADMIN = dict.fromkeys(("admin_share", "disk_share", "service_control", "remote_registry"), "yes")
# A user who is no administrator: to the registry Samba lets him, Windows does not.
_USER = {**dict.fromkeys(("admin_share", "disk_share"), "no"), "service_control": "yes", "remote_registry": "yes|no"}
_REFUSED = r"ADMIN\$: 0xc0000022{}; C\$: 0xc0000022(; winreg: error 5)?"
_WHO_IS_ADMINISTRATOR = r"( \(members: RPC fault 0x00000005\))?"  # which Windows tells to administrators only
_ENCRYPTED = {"encryption": "required"}
_SIGNED = {"signing": "required"}
_ONE_FAULT = "a host of an estate has one fault, and this would be two"

PROTECTION = {
    "plain": (Simulated(), {}),
    "strict": (Simulated("signing"), _SIGNED),
    "sealed": (Simulated("encryption"), {}),
}
"""Servers by what they demand of a session, with the facts that tell so before one stands."""

_LOGINS = tuple(
    row
    for server, (simulated, facts) in PROTECTION.items()
    for row in (
        _row(
            name=f"administrator ({server})",
            user="smbadmin",
            reason="PASSED",
            logons=("OK",),
            simulated=simulated,
            server=server,
            facts={**facts, **(_ENCRYPTED if server == "sealed" else {}), **_ADMIN},
        ),
        _row(
            name=f"wrong password ({server})",
            user="smbwrong",
            reason="BAD_CREDENTIALS",
            logons=("WRONG_PASSWORD",),
            simulated=simulated if simulated.fault != "none" else Simulated("wrong_password"),
            server=server,
            held=Password.WRONG,
            says="0xc000006d",
            facts=facts,
        ),
    )
)

_STATES = {
    # fault: user, reason, what Samba logs, what it says
    "disabled": ("smbdisabled", "ACCOUNT_DISABLED", "ACCOUNT_DISABLED", "0xc0000072"),
    "expired": ("smbexpired", "ACCOUNT_EXPIRED", "ACCOUNT_EXPIRED", "0xc0000193"),
    "locked": ("smblocked", "ACCOUNT_LOCKED", "ACCOUNT_LOCKED_OUT", "0xc0000234"),
    "must_change": ("smbmust", "PASSWORD_MUST_CHANGE", "PASSWORD_MUST_CHANGE", "0xc0000224"),
    "password_expired": ("smbstale", "PASSWORD_EXPIRED", "PASSWORD_EXPIRED", "0xc0000071"),
    "logon_hours": ("smbhours", "LOGON_HOURS", "INVALID_LOGON_HOURS", "0xc000006f"),
    "workstation": ("smbstation", "WORKSTATION", "INVALID_WORKSTATION", "0xc0000070"),
    "no_admin": ("smbgood", "PRIV_NOT_ADMIN", "OK", _REFUSED.format(_WHO_IS_ADMINISTRATOR)),
    "uac_filtered": (
        *("smbfiltered", "PRIV_UAC_FILTERED", "OK"),
        _REFUSED.format(", though the account is in Administrators"),
    ),
}
_IN = frozenset({"no_admin", "uac_filtered"})
"""Those that a login gets by."""

_RIGHT = tuple(
    _row(
        name=f"{fault} ({server})",
        user=user,
        reason=reason,
        logons=(logged,),
        simulated=Simulated(fault) if server == "plain" else _ONE_FAULT,
        server=server,
        says=says,
        facts={
            **facts,
            **(_ENCRYPTED if (server, logged) == ("sealed", "OK") else {}),
            **(_USER if fault in _IN else {}),
        },
    )
    for fault, (user, reason, logged, says) in _STATES.items()
    for server, (_, facts) in PROTECTION.items()
)
# A state of the account is told to who knows its password; only that it is locked is told to anybody.
_WRONG = tuple(
    _row(
        name=f"{fault}, wrong password",
        user=user,
        reason="ACCOUNT_LOCKED" if fault == "locked" else "BAD_CREDENTIALS",
        logons=(logged if fault == "locked" else "WRONG_PASSWORD",),
        simulated=Simulated(fault),
        held=Password.WRONG,
        says=says if fault == "locked" else "0xc000006d",
    )
    for fault, (user, _, logged, says) in _STATES.items()
    if fault not in _IN
)

_STRANGERS = (
    _row(
        name="unknown user",
        user="nosuchuser",
        reason="BAD_CREDENTIALS",
        logons=("NO_SUCH_USER",),
        simulated=Simulated("unknown_user"),
        server="shareless",
        held=Password.WRONG,
        says="0xc000006d",
    ),
    _row(
        name="unknown user, signed",
        user="nosuchuser",
        reason="BAD_CREDENTIALS",
        logons=("NO_SUCH_USER",),
        simulated=_ONE_FAULT,
        server="strict",
        held=Password.WRONG,
        says="0xc000006d",
        facts=_SIGNED,
    ),
    _row(
        name="guest",
        user="nosuchuser",
        reason="GUEST_SESSION",
        logons=("NO_SUCH_USER",),
        simulated=Simulated("guest"),
        held=Password.WRONG,
        says="the session carries the guest flag",
    ),
    *(
        _row(
            name=f"guest for a wrong {what}",
            user="smbwrong",
            reason="GUEST_SESSION",
            logons=("WRONG_PASSWORD",),
            simulated=Simulated("guest", login=login),
            server="guests",
            held=held,
            says="the session carries the guest flag",
        )
        for what, held, login in (("password", Password.WRONG, "password"), ("NT hash", Hash.WRONG, "nt-hash"))
    ),
    _row(
        name="a right password where others are guests",
        user="smbadmin",
        reason="PASSED",
        logons=("OK",),
        server="guests",
        facts=_ADMIN,
    ),
    # What makes an anonymous session is never sent.
    _row(name="empty secret", user="smbgood", reason="SECRET_FIELD_MISSING", held=Password.EMPTY, submitted=False),
    _row(name="no user", user="", reason="SECRET_FIELD_MISSING", submitted=False),
    _row(name="neither user nor secret", user="", reason="SECRET_FIELD_MISSING", held=Password.EMPTY, submitted=False),
)

_SERVERS = (
    *(
        _row(
            name=f"administrator of domain {domain or 'none'}, {selection}",
            user="smbadmin",
            reason="PASSED",
            logons=("OK",),
            domain=domain,
            selection=selection,
            facts=_ADMIN,
        )
        for domain, selection in (("ANY", Selection.USER_SELECTED), ("", Selection.LOCAL), ("own", Selection.IP))
    ),
    _row(
        name="locked by a directory",
        user="smblockout",
        reason="ACCOUNT_LOCKED",
        logons=("ACCOUNT_LOCKED_OUT",),
        simulated=Simulated(locks=True),
        locked_first=True,
        says="0xc0000234",
    ),
    _row(
        name="SMB 1 alone",
        user="smbadmin",
        reason="SMB1_ONLY",
        simulated=Simulated("smb1_only"),
        server="old",
        submitted=False,
        ends_in=Phase.NEGOTIATE,
        facts=dict.fromkeys(("dialect", "signing", "netbios_host", "netbios_domain", "dns_host", "dns_domain")),
    ),
    *(
        _row(
            name=f"no dialect after {dialect}",
            user="smbadmin",
            reason="PASSED",
            logons=("OK",),
            simulated=Simulated(system=system),
            server=server,
            facts={"dialect": dialect.replace(".", r"\."), **_ADMIN},
        )
        for dialect, system, server in (("2.1", "server-2008-r2", "smb210"), ("3.0.2", "server-2012-r2", "smb302"))
    ),
    *(
        _row(
            name=f"no dialect after {dialect}, signing disabled",
            user="smbadmin",
            reason="PASSED",
            logons=("OK",),
            simulated="no Windows that an estate has ends there",
            server=server,
            facts={"dialect": dialect.replace(".", r"\."), **_ADMIN},
        )
        for dialect, server in (("2.0.2", "smb202"), ("3.0", "smb300"))
    ),
    _row(
        name="a cipher that impacket has not",
        user="smbadmin",
        reason="ENCRYPTION_REQUIRED",
        logons=("OK",),
        simulated=Simulated("encryption_gcm"),
        server="gcm",
        says="0xc0000022",
    ),
    _row(
        name="no ADMIN$",
        user="smbadmin",
        reason="ADMIN_SHARE_OFF",
        logons=("OK",),
        simulated=Simulated("no_admin_share"),
        server="shareless",
        says=r"ADMIN\$: 0xc00000cc; C\$: 0xc00000cc",
        facts={**_ADMIN, "admin_share": "off", "disk_share": "off"},
    ),
    _row(
        name="no remote registry",
        user="smbadmin",
        reason="REMOTE_REGISTRY_OFF",
        logons=("OK",),
        simulated=Simulated("registry_off"),
        server="pipeless",
        says=r"winreg: 0xc0000034(; svcctl: 0xc0000034)?",
        facts={**_ADMIN, "remote_registry": "off", "service_control": "yes|unclear"},
    ),
)

_HASHES = (
    *(
        _row(
            name=f"NT hash ({held})",
            user="smbhash",
            reason="PASSED",
            logons=("OK",),
            simulated=Simulated(login="nt-hash"),
            held=held,
            facts=_ADMIN,
        )
        for held in (Hash.LOWER, Hash.UPPER, Hash.WITH_LM)
    ),
    _row(
        name="NT hash of another password",
        user="smbwrong",
        reason="BAD_CREDENTIALS",
        logons=("WRONG_PASSWORD",),
        simulated=Simulated("wrong_password", login="nt-hash"),
        held=Hash.WRONG,
        says="0xc000006d",
    ),
    *(
        _row(
            name=f"NT hash ({server})",
            user="smbhash",
            reason="PASSED",
            logons=("OK",),
            simulated=Simulated(simulated.fault, login="nt-hash"),
            server=server,
            held=Hash.LOWER,
            facts={**facts, **(_ENCRYPTED if server == "sealed" else {}), **_ADMIN},
        )
        for server, (simulated, facts) in PROTECTION.items()
        if server != "plain"
    ),
    # What makes no answer is never sent.
    _row(
        name="a password where an NT hash should be",
        user="smblockout",
        reason="SECRET_HASH_UNREADABLE",
        held=Hash.GARBAGE,
        submitted=False,
    ),
    _row(
        name="the NT hash of no password",
        user="smbgood",
        reason="SECRET_FIELD_MISSING",
        held=Hash.EMPTY,
        submitted=False,
    ),
)

WINDOWS_ROWS: tuple[Row, ...] = (*_LOGINS, *_HASHES, *_RIGHT, *_WRONG, *_STRANGERS, *_SERVERS)

WINDOWS_WITHOUT_SERVER = {
    "old_password": "Samba remembers no passwords outside of a domain; to a login it is a wrong one",
    "no_such_user": "Samba says LOGON_FAILURE to whom it does not know",
    "logon_type": "a right that Windows knows, and Samba does not",
    "anonymous": "Samba makes such a session for an empty user name, which is never sent",
    "uac_hidden": "Samba tells any user who is in Administrators",
    "no_services": "Samba lets everybody connect to its service control",
    "no_registry": "Samba lets everybody read its registry",
    "registry_starting": "Samba starts what serves a pipe before it answers",
    "registry_stuck": "Samba starts what serves a pipe before it answers",
    **dict.fromkeys(("restricted", "smartcard", "auth_firewall"), "a state that accounts of a domain have"),
    **dict.fromkeys(("no_logon_servers", "trust_broken", "netlogon", "clock_skew"), "it takes a domain to lose it"),
    **dict.fromkeys(
        ("ntlm_disabled", "ntlm_blocked", "ntlm_refused", "kerberos_only"),
        "without NTLM, Samba by itself lets nobody in",
    ),
    **dict.fromkeys(("session_limit", "server_busy"), "Samba has no such limit by itself"),
}
"""Faults of an SMB host that no row holds against Samba, and why."""
