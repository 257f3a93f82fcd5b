"""Each row of the classification, phase by phase, written from what it means: the second book beside classify.py.

A row that changes there must change here, and for a reason: numbers come from MS-ERREF by name, exceptions from the
libraries by class. `make mutate` holds that no row and no condition can change without a test here that fails.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import Mapping

import aiohttp
import asyncssh
import pytest
from asyncssh.asn1 import ASN1DecodeError
from impacket import nmb, nt_errors, smb3, smbconnection
from impacket.dcerpc.v5.rpcrt import DCERPCException
from impacket.krb5.kerberosv5 import KerberosError

from appliance.classify import classify
from appliance.contract import (
    DEADLINE,
    Evidence,
    Phase,
    Signal,
    SignalKind,
    Technology,
    kerberos_error,
    ntstatus,
    raised,
)

UNIX, WINDOWS = Technology.UNIX, Technology.WINDOWS
Row = Mapping[Phase, str]


def code(technology: Technology, phase: Phase, signal: Signal, *, submitted: bool = True) -> str:
    return classify(technology, Evidence(phase=phase, signal=signal, submitted=submitted)).code


def signal_of(kind: type[BaseException]) -> Signal:
    return raised(kind.__new__(kind))  # its class is all that counts


def by_phase(technology: Technology, signal: Signal, *, submitted: bool = True) -> dict[Phase, str]:
    return {phase: code(technology, phase, signal, submitted=submitted) for phase in Phase}


def row(codes: Mapping[Phase, str]) -> Row:
    """In phases that are not given, what happened is a bug of ours."""
    return {phase: codes.get(phase, "INTERNAL") for phase in Phase}


def always(reason: str) -> Row:
    return dict.fromkeys(Phase, reason)


OUT_OF_TIME = row(
    {
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
)
CUT = row(
    {
        Phase.JUMP: "JUMP_UNREACHABLE",
        Phase.DNS: "DNS_FAILED",
        Phase.TCP: "CONNECTION_RESET",
        Phase.NEGOTIATE: "CONNECTION_RESET",
        Phase.KEX: "CONNECTION_RESET",
        Phase.KDC: "KDC_DROPPED",
        Phase.PERMIT: "CONNECTION_RESET",
        Phase.VAULT: "VAULT_UNREACHABLE",
        Phase.AUTH: "AUTH_DROPPED",
        Phase.PRIVILEGE: "PRIV_CHECK_FAILED",
    }
)
"""The network, the target or the vault: whoever was spoken to."""
CUT_BY_TARGET = {**CUT, Phase.VAULT: "CONNECTION_RESET"}
"""It waits for our answer while we ask the vault for it."""
NO_SSH = row(
    {
        Phase.NEGOTIATE: "SSH_PROTOCOL",
        Phase.KEX: "SSH_PROTOCOL",
        Phase.KDC: "KDC_PROTOCOL",
        Phase.PERMIT: "SSH_PROTOCOL",
        Phase.VAULT: "SSH_PROTOCOL",
        Phase.AUTH: "AUTH_DROPPED",
        Phase.PRIVILEGE: "PRIV_CHECK_FAILED",
    }
)
"""It broke the protocol; a submitted password may have been judged all the same, and a login stands."""
NO_SMB = {phase: "SMB_PROTOCOL" if reason == "SSH_PROTOCOL" else reason for phase, reason in NO_SSH.items()}
UNHEARD_OF = row({Phase.VAULT: "VAULT_BAD_RESPONSE", Phase.AUTH: "AUTH_REFUSED", Phase.PRIVILEGE: "PRIV_CHECK_FAILED"})
"""Never a wrong password."""
ODD_VALUE = {**UNHEARD_OF, Phase.NEGOTIATE: "SMB_PROTOCOL", Phase.KEX: "SMB_PROTOCOL"}
"""While only the host speaks, it is the host's; later it may be ours."""

RAISED: list[tuple[type[BaseException], Row]] = [
    # -- whoever raises it
    (TimeoutError, OUT_OF_TIME),
    (socket.gaierror, always("DNS_FAILED")),
    (socket.herror, always("DNS_FAILED")),
    (ConnectionResetError, CUT),
    (BrokenPipeError, CUT),
    (EOFError, CUT),
    (asyncio.IncompleteReadError, CUT),
    (OSError, CUT),
    (ssl.SSLCertVerificationError, {**CUT, Phase.VAULT: "VAULT_TLS"}),
    (struct.error, {**NO_SMB, Phase.VAULT: "VAULT_BAD_RESPONSE"}),
    (UnicodeDecodeError, {**NO_SMB, Phase.VAULT: "VAULT_BAD_RESPONSE"}),
    (KeyError, UNHEARD_OF),
    (ValueError, ODD_VALUE),
    (ArithmeticError, ODD_VALUE),
    (OverflowError, ODD_VALUE),
    # -- asyncssh
    (asyncssh.Error, NO_SSH),
    (ASN1DecodeError, NO_SSH),  # it has no row: whatever a library has a name for
    (asyncssh.DisconnectError, CUT_BY_TARGET),
    (asyncssh.ConnectionLost, CUT_BY_TARGET),
    (
        asyncssh.PermissionDenied,
        {**NO_SSH, Phase.AUTH: "BAD_CREDENTIALS", Phase.PRIVILEGE: "PRIV_NO_SHELL"},
    ),
    (asyncssh.PasswordChangeRequired, always("PASSWORD_EXPIRED")),
    (asyncssh.IllegalUserName, always("UNKNOWN_USER")),
    (asyncssh.HostKeyNotVerifiable, always("HOST_KEY_UNKNOWN")),
    (asyncssh.KeyExchangeFailed, always("KEX_NO_MATCH")),
    (asyncssh.CompressionError, NO_SSH),
    (asyncssh.MACError, NO_SSH),
    (asyncssh.ProtocolError, NO_SSH),
    (asyncssh.ProtocolNotSupported, always("SSH_PROTOCOL")),
    (asyncssh.ServiceNotAvailable, always("SSH_PROTOCOL")),
    (asyncssh.ChannelOpenError, always("PRIV_NO_SHELL")),
    (asyncssh.ChannelListenError, always("PRIV_NO_SHELL")),
    (asyncssh.ConfigParseError, always("INTERNAL")),  # we give it no configuration
    (asyncssh.ProcessError, always("PRIV_CHECK_FAILED")),
    (asyncssh.TimeoutError, always("PRIV_TIMEOUT")),
    (asyncssh.KeyImportError, always("SECRET_KEY_UNREADABLE")),
    (asyncssh.KeyExportError, always("SECRET_KEY_UNREADABLE")),
    (asyncssh.KeyGenerationError, always("SECRET_KEY_UNREADABLE")),
    (asyncssh.KeyEncryptionError, always("SECRET_PASSPHRASE_WRONG")),
    # -- impacket: while the vault is asked, it is the host that it waits for
    (nmb.NetBIOSTimeout, {**OUT_OF_TIME, Phase.VAULT: "CONNECTION_RESET"}),
    (nmb.NetBIOSError, CUT_BY_TARGET),
    (smb3.SessionError, {**NO_SMB, Phase.AUTH: "AUTH_REFUSED"}),
    (smbconnection.SessionError, {**NO_SMB, Phase.AUTH: "AUTH_REFUSED"}),
    (KerberosError, always("KRB_POLICY")),
    (DCERPCException, NO_SMB),  # no row
    # -- aiohttp
    (aiohttp.ClientConnectorCertificateError, always("VAULT_TLS")),
    (aiohttp.ClientConnectorSSLError, always("VAULT_TLS")),
    (aiohttp.ServerFingerprintMismatch, always("VAULT_TLS")),
    (aiohttp.ClientConnectorError, always("VAULT_UNREACHABLE")),
    (aiohttp.ServerDisconnectedError, always("VAULT_UNREACHABLE")),
    (aiohttp.ServerTimeoutError, always("VAULT_TIMEOUT")),
    (aiohttp.ClientPayloadError, always("VAULT_BAD_RESPONSE")),  # no row
]

NOTHING_SUBMITTED = {
    "AUTH_TIMEOUT": "KEX_TIMEOUT",
    "AUTH_DROPPED": "CONNECTION_RESET",
    "KDC_TIMEOUT": "KDC_UNREACHABLE",
    "KDC_DROPPED": "KDC_UNREACHABLE",
}
"""What these become where no password has gone out: no login was judged."""


@pytest.mark.parametrize(("kind", "expected"), RAISED)
def test_each_exception_in_each_phase(kind: type[BaseException], expected: Row) -> None:
    assert by_phase(WINDOWS, signal_of(kind)) == expected
    # What a Unix host breaks is SSH, whichever library stumbled over it.
    unix = {phase: "SSH_PROTOCOL" if reason == "SMB_PROTOCOL" else reason for phase, reason in expected.items()}
    assert by_phase(UNIX, signal_of(kind)) == unix
    before = {phase: NOTHING_SUBMITTED.get(reason, reason) for phase, reason in unix.items()}
    assert by_phase(UNIX, signal_of(kind), submitted=False) == before


def test_running_out_of_time_in_each_phase() -> None:
    assert by_phase(UNIX, DEADLINE) == OUT_OF_TIME
    late = {phase: Evidence(phase=phase, signal=DEADLINE, facts={"loop_lag_ms": "4100"}) for phase in Phase}
    assert {phase: classify(WINDOWS, evidence).code for phase, evidence in late.items()} == always("OWN_OVERLOAD")


DIALLED = {
    "ECONNREFUSED": "PORT_CLOSED",
    "EHOSTUNREACH": "HOST_UNREACHABLE",
    "ENETUNREACH": "HOST_UNREACHABLE",
    "EHOSTDOWN": "HOST_UNREACHABLE",
    "ENETDOWN": "HOST_UNREACHABLE",
    # What Linux makes of ICMP: protocol unreachable, and the three kinds of "administratively prohibited".
    "ENOPROTOOPT": "PORT_FILTERED",
    "EACCES": "PORT_FILTERED",
    "EPERM": "PORT_FILTERED",
    "ETIMEDOUT": "TCP_TIMEOUT",
    # Ours: no such address, no port, no descriptor, no buffer, no memory left; an address of the wrong kind, or of a
    # family that this machine has not.
    "EADDRNOTAVAIL": "SOURCE_ADDRESS",
    "EADDRINUSE": "SOURCE_ADDRESS",
    "EMFILE": "OWN_OVERLOAD",
    "ENFILE": "OWN_OVERLOAD",
    "ENOBUFS": "SOURCE_ADDRESS",
    "EINVAL": "SOURCE_ADDRESS",
    "EAFNOSUPPORT": "SOURCE_ADDRESS",
    "ENOMEM": "OWN_OVERLOAD",
}


def test_each_errno_of_a_dial_and_later() -> None:
    for name in errno.errorcode.values():
        signal = Signal(kind=SignalKind.ERRNO, name=name)
        expected = {**CUT, Phase.TCP: DIALLED.get(name, "CONNECTION_RESET")}
        assert by_phase(UNIX, signal) == expected, name
        before = {phase: NOTHING_SUBMITTED.get(reason, reason) for phase, reason in expected.items()}
        assert by_phase(UNIX, signal, submitted=False) == before, name


SESSION_SETUP = {
    "STATUS_LOGON_FAILURE": "BAD_CREDENTIALS",
    "STATUS_WRONG_PASSWORD": "BAD_CREDENTIALS",
    "STATUS_NO_SUCH_USER": "UNKNOWN_USER",
    "STATUS_ACCOUNT_LOCKED_OUT": "ACCOUNT_LOCKED",
    "STATUS_ACCOUNT_DISABLED": "ACCOUNT_DISABLED",
    "STATUS_ACCOUNT_EXPIRED": "ACCOUNT_EXPIRED",
    "STATUS_ACCOUNT_RESTRICTION": "ACCOUNT_RESTRICTED",
    "STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT": "ACCOUNT_RESTRICTED",  # a computer's account, not a user's
    "STATUS_PASSWORD_EXPIRED": "PASSWORD_EXPIRED",
    "STATUS_PASSWORD_MUST_CHANGE": "PASSWORD_MUST_CHANGE",
    "STATUS_INVALID_LOGON_HOURS": "LOGON_HOURS",
    "STATUS_INVALID_WORKSTATION": "WORKSTATION",
    "STATUS_LOGON_TYPE_NOT_GRANTED": "LOGON_TYPE",
    "STATUS_NO_TRUST_LSA_SECRET": "TRUST_BROKEN",
    "STATUS_NO_TRUST_SAM_ACCOUNT": "TRUST_BROKEN",
    "STATUS_TRUSTED_DOMAIN_FAILURE": "TRUST_BROKEN",
    "STATUS_TRUSTED_RELATIONSHIP_FAILURE": "TRUST_BROKEN",
    "STATUS_NO_LOGON_SERVERS": "NO_LOGON_SERVERS",
    "STATUS_NETLOGON_NOT_STARTED": "NETLOGON",
    "STATUS_DOMAIN_CONTROLLER_NOT_FOUND": "NETLOGON",
    "STATUS_AUTHENTICATION_FIREWALL_FAILED": "AUTH_FIREWALL",
    "STATUS_SMARTCARD_LOGON_REQUIRED": "SMARTCARD_REQUIRED",
    "STATUS_NOT_SUPPORTED": "NTLM_DISABLED",
    "STATUS_NTLM_BLOCKED": "NTLM_DISABLED",
    "STATUS_TIME_DIFFERENCE_AT_DC": "CLOCK_SKEW",
    "STATUS_REQUEST_NOT_ACCEPTED": "SESSION_LIMIT",
    "STATUS_TOO_MANY_SESSIONS": "SESSION_LIMIT",
    "STATUS_INSUFFICIENT_RESOURCES": "SERVER_BUSY",
    "STATUS_INSUFF_SERVER_RESOURCES": "SERVER_BUSY",
    "STATUS_NETWORK_NAME_DELETED": "AUTH_DROPPED",
    "STATUS_USER_SESSION_DELETED": "AUTH_DROPPED",
    "STATUS_MORE_PROCESSING_REQUIRED": "SMB_PROTOCOL",  # the answer was our last word
}
TREE_CONNECT = {
    "STATUS_ACCESS_DENIED": "PRIV_NOT_ADMIN",
    "STATUS_INSTANCE_NOT_AVAILABLE": "REMOTE_REGISTRY_OFF",
    "STATUS_PIPE_NOT_AVAILABLE": "REMOTE_REGISTRY_OFF",
    "STATUS_PIPE_BUSY": "REMOTE_REGISTRY_OFF",
    "STATUS_OBJECT_NAME_NOT_FOUND": "REMOTE_REGISTRY_OFF",
    "STATUS_BAD_NETWORK_NAME": "ADMIN_SHARE_OFF",
}
STATUSES = {name: status for status, (name, _) in nt_errors.ERROR_MESSAGES.items()}
"""MS-ERREF 2.3.1, by name."""


def test_each_status_in_each_phase() -> None:
    """One without a row says that it was refused, and never a wrong password."""
    assert SESSION_SETUP.keys() | TREE_CONNECT.keys() <= STATUSES.keys()
    for name, status in STATUSES.items():
        reason = SESSION_SETUP.get(name, "SMB_PROTOCOL")
        expected = {
            **always(reason),
            Phase.AUTH: SESSION_SETUP.get(name, "AUTH_REFUSED"),
            Phase.PRIVILEGE: TREE_CONNECT.get(name, "PRIV_CHECK_FAILED"),
        }
        assert by_phase(WINDOWS, ntstatus(status)) == expected, name


def test_a_session_that_a_server_ends_before_the_password_is_a_cut_connection() -> None:
    for name in ("STATUS_NETWORK_NAME_DELETED", "STATUS_USER_SESSION_DELETED"):
        assert code(WINDOWS, Phase.NEGOTIATE, ntstatus(STATUSES[name]), submitted=False) == "CONNECTION_RESET"


KDC_ERRORS = {
    1: "ACCOUNT_EXPIRED",
    6: "UNKNOWN_USER",
    7: "KRB_SPN",
    8: "KRB_SPN",
    9: "KRB_ETYPE",
    12: "KRB_POLICY",
    13: "KRB_POLICY",
    14: "KRB_ETYPE",
    18: "KRB_REVOKED",
    21: "KRB_REVOKED",
    23: "PASSWORD_EXPIRED",
    24: "BAD_CREDENTIALS",
    29: "KDC_UNREACHABLE",
    31: "BAD_CREDENTIALS",
    33: "KRB_SKEW",
    37: "KRB_SKEW",
    52: "KDC_PROTOCOL",
    60: "KDC_UNREACHABLE",
    68: "KRB_REALM",
}


def test_each_error_of_a_domain_controller() -> None:
    for error in range(100):
        reason = KDC_ERRORS.get(error, "AUTH_REFUSED")
        assert by_phase(WINDOWS, kerberos_error(error)) == always(reason), error
        before = "KRB_REALM" if reason == "KRB_SPN" else reason  # no other service has been asked for by then
        assert by_phase(WINDOWS, kerberos_error(error), submitted=False) == always(before), error


def test_a_status_says_more_than_an_error_that_stands_for_several() -> None:
    for name, reason in SESSION_SETUP.items():
        for error, by_itself in KDC_ERRORS.items():
            expected = reason if error in (12, 18, 23) else by_itself
            assert code(WINDOWS, Phase.KDC, kerberos_error(error, STATUSES[name])) == expected, (name, error)
    assert code(WINDOWS, Phase.KDC, kerberos_error(18, 0xC0000001)) == "KRB_REVOKED"
