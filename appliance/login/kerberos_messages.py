"""Kerberos messages, bytes out and bytes in (RFC 4120, MS-KILE). Pure: no network, the time is an argument.

What is ours in them, and why:
1. AES alone, with the iterations that every domain uses (4,096). A KDC, or whoever poses as one, that asks for RC4 gets
   nothing: a message made with it is the NT hash's worth of guessing, and no iteration count of a stranger's choice
   holds up the event loop.
2. A request for a service ticket carries the checksum that RFC 4120 7.2.2 demands. impacket's has none, and Heimdal's
   KDCs (Samba) refuse it.
3. The host must prove that it could read the ticket (mutual authentication): one that takes any ticket is no success.

What the password made is in `Key`s: they live as long as the login. impacket's own exchanges are not used: they block,
follow whatever name an answer holds, and ask a second time with RC4.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from impacket.krb5 import asn1, constants, crypto, types
from pyasn1.codec.der import decoder, encoder
from pyasn1.type.univ import noValue

from appliance.contract import peer_text

AES128, AES256 = 17, 18
ITERATIONS = 4096
_CHECKSUMS = {AES128: 15, AES256: 16}
_SIZES = {AES128: 16, AES256: 32}

_PA_TGS_REQ, _PA_ENC_TIMESTAMP, _PA_ETYPE_INFO2, _PA_PAC_REQUEST = 1, 2, 19, 128
_KERB_ERR_TYPE_EXTENDED = 3
_REFUSAL_LIMIT = 1 << 13
"""Bytes of an error. They have a few hundred; pyasn1 takes a fifth of a second for 64 KiB of a hostile one."""
_FOREVER = "20370913024805Z"
"""As long as the KDC gives it; what Windows asks for. A time of ours would be as wrong as our clock."""

_AS_TIMESTAMP, _AS_REPLY, _TGS_CHECKSUM, _TGS_AUTHENTICATOR, _TGS_REPLY, _AP_AUTHENTICATOR, _AP_REPLY = (
    1, 3, 6, 7, 8, 11, 12,
)  # fmt: skip
"""Key usages (RFC 4120 7.5.1)."""

_GSS_CHECKSUM = 0x8003
_GSS_FLAGS = 0x02 | 0x04 | 0x20  # mutual, replay detection, integrity
_KRB5_OID = bytes.fromhex("06092a864886f712010202")
_AP_REQ_TOKEN, _AP_REP_TOKEN, _ERROR_TOKEN = b"\x01\x00", b"\x02\x00", b"\x03\x00"

PREAUTH_REQUIRED = 25
PREAUTH_FAILED = 24
SERVICE_UNKNOWN = 7


class KerberosProtocolError(Exception):
    """Bytes that are no answer to what was asked; the text is ours and quotes none of them."""


class NoCommonKeyError(Exception):
    """The account, or the service, has no AES key."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A KRB-ERROR (RFC 4120 5.9.1)."""

    code: int
    clock: float
    """The server's, in Unix seconds. Nobody vouches for it."""
    status: int | None = None
    """The NTSTATUS that a domain controller gives with it, where it does (MS-KILE 2.2.2)."""
    text: str = ""
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    user: str
    realm: str
    """In capitals, as AD has them."""


@dataclass(frozen=True, slots=True)
class Salt:
    """How the account's key is made of its password."""

    etype: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """For one service, with the key that it shares with us. In memory only; nothing here knows how to write it down."""

    client: Client
    raw: Any = field(repr=False)
    key: Any = field(repr=False)


# -- the first exchange: who are you? ----------------------------------------------------------------------------------


def as_request(
    client: Client, nonce: int, padata: tuple[tuple[int, bytes], ...] = (), etypes: tuple[int, ...] = (AES256, AES128)
) -> bytes:
    """Asks for a ticket to ask for tickets with. Without pre-authentication data it holds nothing of the password."""
    request = asn1.AS_REQ()
    pac = asn1.KERB_PA_PAC_REQUEST()
    pac["include-pac"] = True
    _head(request, constants.ApplicationTagNumbers.AS_REQ.value, (*padata, (_PA_PAC_REQUEST, encoder.encode(pac))))
    body = asn1.seq_set(request, "req-body")
    _body(body, client.realm, ("krbtgt", client.realm), nonce, etypes)
    _name(body, "cname", constants.PrincipalNameType.NT_PRINCIPAL.value, client.user)
    return bytes(encoder.encode(request))


def salt_of(answer: Refusal | bytes, client: Client) -> Salt:
    """From the answer that asks for pre-authentication; or the reply, where an account needs none: its password is
    proven to the KDC all the same. Raises NoCommonKeyError, KerberosProtocolError.
    """
    with _Reading("what the account's key is made with"):
        if isinstance(answer, Refusal):
            methods = decoder.decode(answer.data, asn1Spec=asn1.METHOD_DATA())[0]
        else:
            methods = decoder.decode(answer, asn1Spec=asn1.AS_REP())[0]["padata"]
        for method in methods:
            if int(method["padata-type"]) != _PA_ETYPE_INFO2:
                continue
            for entry in decoder.decode(method["padata-value"].asOctets(), asn1Spec=asn1.ETYPE_INFO2())[0]:
                etype, params = int(entry["etype"]), entry["s2kparams"]
                if etype not in _SIZES:
                    continue
                if params.hasValue() and struct.unpack(">L", params.asOctets())[0] != ITERATIONS:
                    raise NoCommonKeyError("the account's key wants another number of iterations than 4096")
                given = entry["salt"]
                default = (client.realm + client.user).encode()
                return Salt(etype, given.asOctets() if given.hasValue() else default)
    raise NoCommonKeyError("the account has no AES key")


def key_of(password: str, salt: Salt) -> Any:
    """The account's long-term key (RFC 3962 4). impacket's own takes a tenth of a second in Python."""
    seed = hashlib.pbkdf2_hmac("sha1", password.encode(), salt.value, ITERATIONS, _SIZES[salt.etype])
    profile = crypto._enctype_table[salt.etype]  # noqa: SLF001 - impacket gives no other way to it
    return profile.derive(crypto.Key(salt.etype, seed), b"kerberos")


def timestamp(key: Any, now: float) -> tuple[int, bytes]:
    """The proof of the password: the time, encrypted with the account's key."""
    stamp = asn1.PA_ENC_TS_ENC()
    stamp["patimestamp"], stamp["pausec"] = _time(now)
    sealed = asn1.EncryptedData()
    _seal(sealed, key, _AS_TIMESTAMP, encoder.encode(stamp))
    return _PA_ENC_TIMESTAMP, bytes(encoder.encode(sealed))


def read_as_reply(data: bytes, client: Client, key: Any, nonce: int) -> Ticket:
    """The ticket to ask for tickets with. Raises KerberosProtocolError."""
    return _read_reply(data, asn1.AS_REP(), client, key, _AS_REPLY, nonce, ("krbtgt", client.realm))


# -- the second exchange: a ticket for a service -----------------------------------------------------------------------


def tgs_request(granting: Ticket, service: tuple[str, str], nonce: int, now: float) -> bytes:
    realm = granting.client.realm
    bare = asn1.KDC_REQ_BODY()
    _body(bare, realm, service, nonce, (AES256, AES128))
    proof = asn1.AP_REQ()
    _ap_request(proof, granting, now, _TGS_AUTHENTICATOR, _checksum(granting.key, encoder.encode(bare)), mutual=False)
    request = asn1.TGS_REQ()
    _head(request, constants.ApplicationTagNumbers.TGS_REQ.value, ((_PA_TGS_REQ, encoder.encode(proof)),))
    _body(asn1.seq_set(request, "req-body"), realm, service, nonce, (AES256, AES128))
    return bytes(encoder.encode(request))


def _checksum(key: Any, data: bytes) -> tuple[int, bytes]:
    kind = _CHECKSUMS[key.enctype]
    return kind, crypto.make_checksum(kind, key, _TGS_CHECKSUM, data)


def read_tgs_reply(data: bytes, granting: Ticket, service: tuple[str, str], nonce: int) -> Ticket:
    """Raises KerberosProtocolError; a referral to another realm is none of ours to follow, and one too."""
    return _read_reply(data, asn1.TGS_REP(), granting.client, granting.key, _TGS_REPLY, nonce, service)


# -- with the host -----------------------------------------------------------------------------------------------------


def ap_request(ticket: Ticket, now: float) -> bytes:
    """The token that a host takes for a login (RFC 4121 4.1)."""
    request = asn1.AP_REQ()
    flags = struct.pack("<L16sL", 16, b"", _GSS_FLAGS)
    _ap_request(request, ticket, now, _AP_AUTHENTICATOR, (_GSS_CHECKSUM, flags), mutual=True)
    token = _KRB5_OID + _AP_REQ_TOKEN + bytes(encoder.encode(request))
    return b"\x60" + _length(len(token)) + token


def read_ap_reply(token: bytes, ticket: Ticket, now: float) -> bytes | Refusal:
    """The session key that host and we now share, proven by the time that the ticket's request held; or its refusal.
    Raises KerberosProtocolError.
    """
    with _Reading("the host's answer to the ticket"):
        inner = _unwrapped(token)
        kind, message = inner[:2], inner[2:]
        if kind == _ERROR_TOKEN:
            return read_refusal(message)
        if kind != _AP_REP_TOKEN:
            raise KerberosProtocolError("the host answers a ticket with what is no AP-REP")
        reply = decoder.decode(message, asn1Spec=asn1.AP_REP())[0]
        part = decoder.decode(_opened(reply["enc-part"], ticket.key, _AP_REPLY), asn1Spec=asn1.EncAPRepPart())[0]
        if (str(part["ctime"]), int(part["cusec"])) != _time(now):
            raise KerberosProtocolError("the host's answer belongs to another request")
        subkey = part["subkey"]
        return bytes(subkey["keyvalue"].asOctets() if subkey.hasValue() else ticket.key.contents)


# -- all of them -------------------------------------------------------------------------------------------------------


def read_refusal(data: bytes) -> Refusal:
    """Raises KerberosProtocolError."""
    if len(data) > _REFUSAL_LIMIT:
        raise KerberosProtocolError(f"an error of {len(data)} bytes")
    with _Reading("the error"):
        error = decoder.decode(data, asn1Spec=asn1.KRB_ERROR())[0]
        clock = datetime.strptime(str(error["stime"]), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
        more = error["e-data"].asOctets() if error["e-data"].hasValue() else b""
        text = peer_text(error["e-text"].asOctets()) if error["e-text"].hasValue() else ""
        return Refusal(int(error["error-code"]), clock, _status(more), text, more)


def is_refusal(data: bytes) -> bool:
    return data[:1] == b"\x7e"


def new_nonce() -> int:
    return secrets.randbits(31)


def _status(data: bytes) -> int | None:
    """The NTSTATUS in an error's data: a KERB-ERROR-DATA, or Samba's, which is a list of one such."""
    for spec, kind, value in (
        (asn1.KERB_ERROR_DATA(), "data-type", "data-value"),
        (asn1.METHOD_DATA(), "padata-type", "padata-value"),
    ):
        try:
            decoded = decoder.decode(data, asn1Spec=spec)[0]
            for entry in decoded if isinstance(decoded, asn1.METHOD_DATA) else (decoded,):
                if int(entry[kind]) == _KERB_ERR_TYPE_EXTENDED and len(entry[value].asOctets()) == 12:
                    return int.from_bytes(entry[value].asOctets()[:4], "little")
        except Exception:  # noqa: BLE001, S112 - of another form, or a stranger's: then there is no status in it
            continue
    return None


def _head(request: Any, kind: int, padata: tuple[tuple[int, bytes], ...]) -> None:
    request["pvno"], request["msg-type"] = 5, kind
    request["padata"] = noValue
    for place, (number, value) in enumerate(padata):
        request["padata"][place] = noValue
        request["padata"][place]["padata-type"] = number
        request["padata"][place]["padata-value"] = value


def _body(body: Any, realm: str, service: tuple[str, str], nonce: int, etypes: tuple[int, ...]) -> None:
    """No option is asked for: a ticket that can be neither forwarded nor renewed is all that a login needs."""
    body["kdc-options"] = constants.encodeFlags([])
    body["realm"] = realm
    _name(body, "sname", constants.PrincipalNameType.NT_SRV_INST.value, *service)
    body["till"], body["nonce"] = _FOREVER, nonce
    asn1.seq_set_iter(body, "etype", etypes)


def _name(into: Any, field_name: str, kind: int, *parts: str) -> None:
    name = asn1.seq_set(into, field_name)
    name["name-type"] = kind
    asn1.seq_set_iter(name, "name-string", [part.encode() for part in parts])


def _ap_request(
    request: Any, ticket: Ticket, now: float, usage: int, checksum: tuple[int, bytes], *, mutual: bool
) -> None:
    who = asn1.Authenticator()
    who["authenticator-vno"], who["crealm"] = 5, ticket.client.realm
    _name(who, "cname", constants.PrincipalNameType.NT_PRINCIPAL.value, ticket.client.user)
    who["cksum"] = noValue
    who["cksum"]["cksumtype"], who["cksum"]["checksum"] = checksum
    who["ctime"], who["cusec"] = _time(now)
    request["pvno"], request["msg-type"] = 5, constants.ApplicationTagNumbers.AP_REQ.value
    options = [constants.APOptions.mutual_required.value] if mutual else []
    request["ap-options"] = constants.encodeFlags(options)
    asn1.seq_set(request, "ticket", ticket.raw.to_asn1)
    request["authenticator"] = noValue
    _seal(request["authenticator"], ticket.key, usage, encoder.encode(who))


def _seal(into: Any, key: Any, usage: int, data: bytes) -> None:
    into["etype"] = key.enctype
    into["cipher"] = crypto.encrypt(key, usage, data, secrets.token_bytes(16))


def _opened(part: Any, key: Any, usage: int) -> bytes:
    if int(part["etype"]) != key.enctype:
        raise KerberosProtocolError("an answer is encrypted in another way than was asked for")
    return bytes(crypto.decrypt(key, usage, part["cipher"].asOctets()))


def _read_reply(
    data: bytes, spec: Any, client: Client, key: Any, usage: int, nonce: int, service: tuple[str, str]
) -> Ticket:
    with _Reading("the ticket"):
        reply = decoder.decode(data, asn1Spec=spec)[0]
        plain = _opened(reply["enc-part"], key, usage)
        # Some KDCs give either kind the other's tag (RFC 4120 5.4.2).
        inner = asn1.EncASRepPart() if plain[:1] == b"\x79" else asn1.EncTGSRepPart()
        part = decoder.decode(plain, asn1Spec=inner)[0]
        if int(part["nonce"]) != nonce:
            raise KerberosProtocolError("an answer belongs to another request")
        named = tuple(str(name) for name in part["sname"]["name-string"])
        if tuple(map(str.lower, named)) != tuple(map(str.lower, service)):
            raise KerberosProtocolError(f"a ticket for {peer_text('/'.join(named))} instead of {'/'.join(service)}")
        kind = int(part["key"]["keytype"])
        if kind not in _SIZES:
            raise NoCommonKeyError("the service has no AES key")
        ticket = types.Ticket().from_asn1(reply["ticket"])
        return Ticket(client, ticket, crypto.Key(kind, part["key"]["keyvalue"].asOctets()))


def _time(now: float) -> tuple[str, int]:
    """Seconds as Kerberos writes them, and the microseconds beside them."""
    moment = datetime.fromtimestamp(now, UTC)
    return moment.strftime("%Y%m%d%H%M%SZ"), moment.microsecond


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def _unwrapped(token: bytes) -> bytes:
    """The inside of a GSS token of Kerberos, its two octets of kind first (RFC 2743 3.1)."""
    skip = 2 + (token[1] & 0x7F if token[1] & 0x80 else 0)
    if token[:1] != b"\x60" or not token[skip:].startswith(_KRB5_OID):
        raise KerberosProtocolError("the host answers a ticket with what is no token of Kerberos")
    return token[skip + len(_KRB5_OID) :]


class _Reading:
    """Whatever a parser raises on bytes it cannot read, in one word; the text of its own could quote them."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, KerberosProtocolError | NoCommonKeyError):
            raise KerberosProtocolError(f"{self._what} cannot be read ({type(error).__name__})") from None
