"""Evidence to reason: pure, and total over what the libraries can raise.

The order of judgement, stated here and nowhere else:
1. A signal that the adapter has named is the reason: the adapter saw the protocol say so.
2. "The deadline expired" is judged by the phase alone. Where our own event loop lagged, the time-out is ours.
3. An errno, an NTSTATUS or a Kerberos error has its row; some mean another thing after authentication than before it.
4. An exception is looked up by class name, then by its bases, nearest first, then by the library that it belongs to,
   then by what Python calls it. Rows are per phase: a cut connection before the login is the network's, one after a
   submitted password is the login's, one later still leaves the login standing.
5. Whatever is left is INTERNAL before authentication, AUTH_REFUSED or PRIV_CHECK_FAILED after: never a wrong password.
6. A refused password is judged by the second look at the vault too: changed, it was rotated; unchanged, while the vault
   knows by its own heartbeat that it is wrong, it is stale. Otherwise nobody can say whether user or password is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.contract import OUT_OF_SYNC, Evidence, Phase, Reread, Signal, SignalKind, Technology
from appliance.reasons import REASONS, Reason

PhaseRow = Mapping[Phase, str]

_SLOW: PhaseRow = {
    Phase.LEASE: "OWN_OVERLOAD",
    Phase.JUMP: "JUMP_UNREACHABLE",
    Phase.DNS: "DNS_NO_ANSWER",
    Phase.TCP: "TCP_TIMEOUT",
    Phase.NEGOTIATE: "BANNER_TIMEOUT",
    Phase.KEX: "KEX_TIMEOUT",
    Phase.KDC: "KDC_TIMEOUT",
    Phase.PERMIT: "PERMIT_WAIT",
    Phase.VAULT: "VAULT_TIMEOUT",
    Phase.AUTH: "AUTH_TIMEOUT",
    Phase.PRIVILEGE: "PRIV_TIMEOUT",
}
"""What running out of time means, by phase."""

_CUT: PhaseRow = {
    Phase.JUMP: "JUMP_UNREACHABLE",
    Phase.DNS: "DNS_FAILED",
    Phase.TCP: "CONNECTION_RESET",
    Phase.NEGOTIATE: "CONNECTION_RESET",
    Phase.KEX: "CONNECTION_RESET",
    Phase.KDC: "KDC_DROPPED",
    Phase.PERMIT: "CONNECTION_RESET",
    Phase.VAULT: "VAULT_UNREACHABLE",
    Phase.AUTH: "AUTH_DROPPED",
}
"""What a connection that ends under us means, by phase."""

_PEER_CUT: PhaseRow = {**_CUT, Phase.VAULT: "CONNECTION_RESET"}
"""The same, told by a library that speaks to the target only: while the vault is asked, it is the target that hung up."""

_BROKEN_SSH: PhaseRow = {
    **dict.fromkeys((Phase.NEGOTIATE, Phase.KEX, Phase.PERMIT, Phase.VAULT), "SSH_PROTOCOL"),
    Phase.KDC: "KDC_PROTOCOL",
    Phase.AUTH: "AUTH_DROPPED",
}
_BROKEN_SMB: PhaseRow = {
    **dict.fromkeys((Phase.NEGOTIATE, Phase.KEX, Phase.PERMIT, Phase.VAULT), "SMB_PROTOCOL"),
    Phase.KDC: "KDC_PROTOCOL",
    Phase.AUTH: "AUTH_DROPPED",
}
"""A peer that breaks its protocol, by phase."""

_LEFT: PhaseRow = {Phase.AUTH: "AUTH_REFUSED", Phase.PRIVILEGE: "PRIV_CHECK_FAILED", Phase.VAULT: "VAULT_BAD_RESPONSE"}
"""What is left where a row says nothing of the phase."""

_ERRNO: dict[str, str] = {
    "ECONNREFUSED": "PORT_CLOSED",
    "EHOSTUNREACH": "HOST_UNREACHABLE",
    "ENETUNREACH": "HOST_UNREACHABLE",
    "EHOSTDOWN": "HOST_UNREACHABLE",
    "ENETDOWN": "HOST_UNREACHABLE",
    "ENOPROTOOPT": "PORT_FILTERED",
    "EACCES": "PORT_FILTERED",
    "EPERM": "PORT_FILTERED",
    "ETIMEDOUT": "TCP_TIMEOUT",
    "EADDRNOTAVAIL": "SOURCE_ADDRESS",
    "EADDRINUSE": "SOURCE_ADDRESS",
    "EMFILE": "OWN_OVERLOAD",
    "ENFILE": "OWN_OVERLOAD",
    "ENOBUFS": "SOURCE_ADDRESS",
    "EINVAL": "SOURCE_ADDRESS",
    "EAFNOSUPPORT": "SOURCE_ADDRESS",
    "ENOMEM": "OWN_OVERLOAD",
}
"""Errors of `connect`, before anything was said; after that every errno is a cut connection."""

_NTSTATUS: dict[str, str] = {
    "0xc0000016": "SMB_PROTOCOL",  # MORE_PROCESSING_REQUIRED where the exchange should have ended
    "0xc000005e": "NO_LOGON_SERVERS",
    "0xc0000064": "UNKNOWN_USER",
    "0xc000006a": "BAD_CREDENTIALS",  # WRONG_PASSWORD
    "0xc000006d": "BAD_CREDENTIALS",  # LOGON_FAILURE
    "0xc000006e": "ACCOUNT_RESTRICTED",
    "0xc000006f": "LOGON_HOURS",
    "0xc0000070": "WORKSTATION",
    "0xc0000071": "PASSWORD_EXPIRED",
    "0xc0000072": "ACCOUNT_DISABLED",
    "0xc000009a": "SERVER_BUSY",  # INSUFFICIENT_RESOURCES
    "0xc00000bb": "NTLM_DISABLED",  # NOT_SUPPORTED
    "0xc00000c9": "AUTH_DROPPED",  # NETWORK_NAME_DELETED
    "0xc00000ce": "SESSION_LIMIT",  # TOO_MANY_SESSIONS
    "0xc00000d0": "SESSION_LIMIT",  # REQUEST_NOT_ACCEPTED
    "0xc0000133": "CLOCK_SKEW",
    "0xc000015b": "LOGON_TYPE",
    "0xc000018a": "TRUST_BROKEN",  # NO_TRUST_LSA_SECRET
    "0xc000018b": "TRUST_BROKEN",  # NO_TRUST_SAM_ACCOUNT
    "0xc000018c": "TRUST_BROKEN",  # TRUSTED_DOMAIN_FAILURE
    "0xc000018d": "TRUST_BROKEN",  # TRUSTED_RELATIONSHIP_FAILURE
    "0xc0000192": "NETLOGON",  # NETLOGON_NOT_STARTED
    "0xc0000193": "ACCOUNT_EXPIRED",
    "0xc0000199": "ACCOUNT_RESTRICTED",  # NOLOGON_WORKSTATION_TRUST_ACCOUNT
    "0xc0000203": "AUTH_DROPPED",  # USER_SESSION_DELETED
    "0xc0000205": "SERVER_BUSY",  # INSUFF_SERVER_RESOURCES
    "0xc0000224": "PASSWORD_MUST_CHANGE",
    "0xc0000233": "NETLOGON",  # DOMAIN_CONTROLLER_NOT_FOUND
    "0xc0000234": "ACCOUNT_LOCKED",
    "0xc00002fa": "SMARTCARD_REQUIRED",  # SMARTCARD_LOGON_REQUIRED
    "0xc0000413": "AUTH_FIREWALL",  # AUTHENTICATION_FIREWALL_FAILED
    "0xc0000418": "NTLM_DISABLED",  # NTLM_BLOCKED
}
"""NTSTATUS of a session setup (MS-ERREF 2.3.1)."""

_NTSTATUS_PRIVILEGE: dict[str, str] = {
    "0xc0000022": "PRIV_NOT_ADMIN",  # ACCESS_DENIED
    "0xc0000034": "REMOTE_REGISTRY_OFF",  # OBJECT_NAME_NOT_FOUND
    "0xc00000ab": "REMOTE_REGISTRY_OFF",  # INSTANCE_NOT_AVAILABLE
    "0xc00000ac": "REMOTE_REGISTRY_OFF",  # PIPE_NOT_AVAILABLE
    "0xc00000ae": "REMOTE_REGISTRY_OFF",  # PIPE_BUSY
    "0xc00000cc": "ADMIN_SHARE_OFF",  # BAD_NETWORK_NAME
}
"""NTSTATUS of a tree connect or pipe open once the session stands."""

_KERBEROS: dict[str, str] = {
    "1": "ACCOUNT_EXPIRED",  # KDC_ERR_NAME_EXP
    "6": "UNKNOWN_USER",  # KDC_ERR_C_PRINCIPAL_UNKNOWN
    "7": "KRB_SPN",  # KDC_ERR_S_PRINCIPAL_UNKNOWN
    "8": "KRB_SPN",  # KDC_ERR_PRINCIPAL_NOT_UNIQUE
    "9": "KRB_ETYPE",  # KDC_ERR_NULL_KEY
    "12": "KRB_POLICY",  # KDC_ERR_POLICY
    "13": "KRB_POLICY",  # KDC_ERR_BADOPTION
    "14": "KRB_ETYPE",  # KDC_ERR_ETYPE_NOSUPP
    "18": "KRB_REVOKED",  # KDC_ERR_CLIENT_REVOKED
    "21": "KRB_REVOKED",  # KDC_ERR_CLIENT_NOTYET
    "23": "PASSWORD_EXPIRED",  # KDC_ERR_KEY_EXPIRED
    "24": "BAD_CREDENTIALS",  # KDC_ERR_PREAUTH_FAILED
    "29": "KDC_UNREACHABLE",  # KDC_ERR_SVC_UNAVAILABLE
    "31": "BAD_CREDENTIALS",  # KRB_AP_ERR_BAD_INTEGRITY, some KDCs' word for a wrong password
    "33": "KRB_SKEW",  # KRB_AP_ERR_TKT_NYV
    "37": "KRB_SKEW",  # KRB_AP_ERR_SKEW
    "52": "KDC_PROTOCOL",  # KRB_ERR_RESPONSE_TOO_BIG, over TCP
    "60": "KDC_UNREACHABLE",  # KRB_ERR_GENERIC
    "68": "KRB_REALM",  # KDC_ERR_WRONG_REALM
}
"""Errors of a KDC (RFC 4120 7.5.9)."""
_STATUS_SAYS_MORE = ("12", "18", "23")
"""Kerberos errors that stand for several states of an account; a domain controller's NTSTATUS says which."""

_EXCEPTIONS: dict[str, str | PhaseRow] = {
    # -- time and connection, whoever raises it ------------------------------------------------------------------------
    "builtins.TimeoutError": _SLOW,
    "socket.gaierror": "DNS_FAILED",
    "socket.herror": "DNS_FAILED",
    "builtins.EOFError": _CUT,  # asyncio's IncompleteReadError too
    "builtins.OSError": _CUT,  # ConnectionError too
    "ssl.SSLError": {**_CUT, Phase.VAULT: "VAULT_TLS"},
    "struct.error": {**_BROKEN_SMB, Phase.VAULT: "VAULT_BAD_RESPONSE"},
    "builtins.UnicodeDecodeError": {**_BROKEN_SMB, Phase.VAULT: "VAULT_BAD_RESPONSE"},  # an identification in Latin-1
    # -- asyncssh ------------------------------------------------------------------------------------------------------
    "asyncssh.misc.DisconnectError": _PEER_CUT,  # ConnectionLost too
    "asyncssh.misc.PermissionDenied": {
        **_BROKEN_SSH,
        Phase.AUTH: "BAD_CREDENTIALS",
        Phase.PRIVILEGE: "PRIV_NO_SHELL",
    },
    "asyncssh.misc.PasswordChangeRequired": "PASSWORD_EXPIRED",
    "asyncssh.misc.IllegalUserName": "UNKNOWN_USER",
    "asyncssh.misc.HostKeyNotVerifiable": "HOST_KEY_UNKNOWN",
    "asyncssh.misc.KeyExchangeFailed": "KEX_NO_MATCH",
    "asyncssh.misc.CompressionError": _BROKEN_SSH,
    "asyncssh.misc.MACError": _BROKEN_SSH,
    "asyncssh.misc.ProtocolError": _BROKEN_SSH,
    "asyncssh.misc.ProtocolNotSupported": "SSH_PROTOCOL",
    "asyncssh.misc.ServiceNotAvailable": "SSH_PROTOCOL",
    "asyncssh.misc.ChannelOpenError": "PRIV_NO_SHELL",
    "asyncssh.misc.ChannelListenError": "PRIV_NO_SHELL",
    "asyncssh.config.ConfigParseError": "INTERNAL",
    "asyncssh.process.ProcessError": "PRIV_CHECK_FAILED",
    "asyncssh.process.TimeoutError": "PRIV_TIMEOUT",
    "asyncssh.public_key.KeyImportError": "SECRET_KEY_UNREADABLE",
    "asyncssh.public_key.KeyExportError": "SECRET_KEY_UNREADABLE",
    "asyncssh.public_key.KeyGenerationError": "SECRET_KEY_UNREADABLE",
    "asyncssh.pbe.KeyEncryptionError": "SECRET_PASSPHRASE_WRONG",
    # -- impacket ------------------------------------------------------------------------------------------------------
    "impacket.nmb.NetBIOSTimeout": {**_SLOW, Phase.VAULT: "CONNECTION_RESET"},
    "impacket.nmb.NetBIOSError": _PEER_CUT,
    "impacket.smb3.SessionError": {**_BROKEN_SMB, Phase.AUTH: "AUTH_REFUSED"},
    "impacket.smbconnection.SessionError": {**_BROKEN_SMB, Phase.AUTH: "AUTH_REFUSED"},
    "impacket.krb5.kerberosv5.KerberosError": "KRB_POLICY",
    # -- aiohttp: only ever the vault's ----------------------------------------------------------------------------------
    "aiohttp.client_exceptions.ClientSSLError": "VAULT_TLS",
    "aiohttp.client_exceptions.ServerFingerprintMismatch": "VAULT_TLS",
    "aiohttp.client_exceptions.ClientConnectionError": "VAULT_UNREACHABLE",
    "aiohttp.client_exceptions.ServerTimeoutError": "VAULT_TIMEOUT",
}

_LIBRARIES: dict[str, str | PhaseRow] = {
    "asyncssh": _BROKEN_SSH,
    "impacket": _BROKEN_SMB,
    "aiohttp": "VAULT_BAD_RESPONSE",
}
"""Whatever else a library has a name for: it could make no sense of what its peer sent."""

_ODD_VALUES: PhaseRow = dict.fromkeys((Phase.NEGOTIATE, Phase.KEX), "SMB_PROTOCOL")
_UNNAMED: dict[str, PhaseRow] = {
    "builtins.ValueError": _ODD_VALUES,
    "builtins.ArithmeticError": _ODD_VALUES,  # OverflowError too
}
"""What has no library's name: Python's own words for a peer's keys and numbers, while nothing else is worked with."""


def classify(technology: Technology, evidence: Evidence) -> Reason:
    """The reason for what an attempt saw. Never raises for evidence that the contract can carry."""
    code = _code(technology, evidence)
    if code in ("BAD_CREDENTIALS", "STALE_IN_VAULT") and evidence.reread is Reread.CHANGED:
        code = "ROTATED_MID_SCAN"
    elif code == "BAD_CREDENTIALS" and evidence.reread is Reread.UNCHANGED and OUT_OF_SYNC in evidence.facts:
        code = "STALE_IN_VAULT"
    return REASONS.get(code, REASONS["INTERNAL"])


def _code(technology: Technology, evidence: Evidence) -> str:
    signal, phase = evidence.signal, evidence.phase
    match signal.kind:
        case SignalKind.OK:
            return "PASSED"
        case SignalKind.NAMED:
            return signal.name
        case SignalKind.DEADLINE:
            return (
                "OWN_OVERLOAD" if "loop_lag_ms" in evidence.facts else _unsubmitted(_by_phase(_SLOW, phase), evidence)
            )
        case SignalKind.ERRNO:
            return _errno(signal, evidence)
        case SignalKind.NTSTATUS:
            return _unsubmitted(_ntstatus(signal.name, phase), evidence)
        case SignalKind.KERBEROS:
            return _unsubmitted(_kerberos(signal.name), evidence)
        case SignalKind.EXCEPTION:
            return _unsubmitted(_exception(technology, signal, phase), evidence)


_BEFORE = {
    "AUTH_TIMEOUT": "KEX_TIMEOUT",
    "AUTH_DROPPED": "CONNECTION_RESET",
    "KDC_TIMEOUT": "KDC_UNREACHABLE",
    "KDC_DROPPED": "KDC_UNREACHABLE",
    "KRB_SPN": "KRB_REALM",  # before the password, the only service that was asked for is the realm's own
}


def _unsubmitted(code: str, evidence: Evidence) -> str:
    """Nothing was sent yet: the fault lies in what came before the login."""
    if evidence.submitted:
        return code
    return _BEFORE.get(code, code)


def _errno(signal: Signal, evidence: Evidence) -> str:
    if evidence.phase is Phase.TCP:
        return _ERRNO.get(signal.name, "CONNECTION_RESET")
    return _unsubmitted(_by_phase(_CUT, evidence.phase), evidence)


def _ntstatus(name: str, phase: Phase) -> str:
    if phase is Phase.PRIVILEGE:
        return _NTSTATUS_PRIVILEGE.get(name, "PRIV_CHECK_FAILED")
    if name in _NTSTATUS:
        return _NTSTATUS[name]
    return "AUTH_REFUSED" if phase is Phase.AUTH else "SMB_PROTOCOL"


def _kerberos(name: str) -> str:
    code, _, status = name.partition("/")
    told = _NTSTATUS.get(status) if code in _STATUS_SAYS_MORE else None
    return told or _KERBEROS.get(code, "AUTH_REFUSED")


def _exception(technology: Technology, signal: Signal, phase: Phase) -> str:
    names = (signal.name, *signal.bases)
    libraries = (_LIBRARIES.get(name.partition(".")[0]) for name in names)
    rows = (*map(_EXCEPTIONS.get, names), *libraries, *map(_UNNAMED.get, names))
    row = next((row for row in rows if row is not None), _LEFT)
    return row if isinstance(row, str) else _protocol(technology, _by_phase(row, phase))


def _protocol(technology: Technology, code: str) -> str:
    """`struct.error` and the like are raised on both sides; the technology says whose protocol was broken."""
    return "SSH_PROTOCOL" if code == "SMB_PROTOCOL" and technology is Technology.UNIX else code


def _by_phase(row: PhaseRow, phase: Phase) -> str:
    return row.get(phase) or _LEFT.get(phase, "INTERNAL")
