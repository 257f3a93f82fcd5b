"""What a host makes of a Kerberos ticket: only one that has read it is believed, and no refusal is a wrong password."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from impacket.krb5 import asn1, crypto, types
from pyasn1.codec.der import encoder
from pyasn1.type.univ import noValue

from appliance.contract import Failure, Phase, named
from appliance.login.kerberos_messages import Client, Ticket, read_ap_reply
from appliance.login.smb_session import SmbSession, UnprovenSessionError, Verdict
from appliance.login.smb_ticket import UnprovenHostError, present, refusal
from tests.unit.login.kdc import REALM, USER, Kdc

NOW = 1_800_000_000.25
KEY, SUBKEY = b"K" * 32, b"U" * 32
OID = bytes.fromhex("06092a864886f712010202")
LOGON_FAILURE, MORE_PROCESSING = 0xC000006D, 0xC0000016


def ticket() -> Ticket:
    raw = asn1.Ticket()
    raw["tkt-vno"], raw["realm"] = 5, REALM
    name = asn1.seq_set(raw, "sname")
    name["name-type"] = 2
    asn1.seq_set_iter(name, "name-string", ("cifs", "host.lab.test"))
    raw["enc-part"] = noValue
    raw["enc-part"]["etype"], raw["enc-part"]["cipher"] = 18, b"opaque"
    from_kdc = types.Ticket().from_asn1(raw)
    return Ticket(Client(USER, REALM), from_kdc, crypto.Key(18, KEY))


def wrapped(kind: bytes, message: bytes) -> bytes:
    inner = OID + kind + message
    return b"\x60\x82" + len(inner).to_bytes(2, "big") + inner


def reply(
    *, key: bytes = KEY, seconds: str = "20270115080000Z", micro: int = 250000, subkey: bytes | None = SUBKEY
) -> bytes:
    part = asn1.EncAPRepPart()
    part["ctime"], part["cusec"] = seconds, micro
    if subkey is not None:
        part["subkey"] = noValue
        part["subkey"]["keytype"], part["subkey"]["keyvalue"] = 18, subkey
    message = asn1.AP_REP()
    message["pvno"], message["msg-type"] = 5, 15
    message["enc-part"] = noValue
    message["enc-part"]["etype"] = 18
    message["enc-part"]["cipher"] = crypto.encrypt(crypto.Key(18, key), 12, encoder.encode(part), b"c" * 16)
    return wrapped(b"\x02\x00", encoder.encode(message))


class Host:
    """Stands in for a session: takes the ticket and says this."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.key = b""
        self.token = b""

    def present(self, token: bytes, proof: Callable[[bytes], bytes]) -> Verdict:
        self.token = token
        self.key = proof(self._says)
        return Verdict(0)


@pytest.mark.parametrize(("subkey", "expected"), [(SUBKEY, SUBKEY), (None, KEY)])
def test_a_host_that_has_read_the_ticket_shares_a_key(subkey: bytes | None, expected: bytes) -> None:
    host = Host(reply(subkey=subkey))
    assert present(cast("SmbSession", host), ticket(), NOW) == Verdict(0)
    assert host.key == expected
    assert host.token.startswith(b"\x60")
    assert KEY not in host.token


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"\x60",
        b"\x60\x03abc",
        reply(key=b"G" * 32),
        reply(micro=1),
        reply(seconds="20270115080001Z"),
        wrapped(b"\x01\x00", b""),
        wrapped(b"\x03\x00", Kdc().refusal(41)),
    ],
    ids=[
        "nothing",
        "a byte",
        "no Kerberos",
        "another's key",
        "another time",
        "a second later",
        "a request",
        "an error",
    ],
)
def test_a_host_that_has_not_is_none_that_we_log_in_to(says: bytes) -> None:
    with pytest.raises(UnprovenHostError):
        present(cast("SmbSession", Host(says)), ticket(), NOW)


def test_nor_is_one_that_signs_with_another_key() -> None:
    class Forger(Host):
        def present(self, token: bytes, proof: Callable[[bytes], bytes]) -> Verdict:
            super().present(token, proof)
            raise UnprovenSessionError("an answer is signed with another key")

    with pytest.raises(UnprovenHostError, match="signed with another key"):
        present(cast("SmbSession", Forger(reply())), ticket(), NOW)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        *((Verdict(status), "KRB_TICKET_REFUSED") for status in (LOGON_FAILURE, MORE_PROCESSING, 0xC000006A)),
        *((Verdict(status), "KRB_TICKET_REFUSED") for status in (0xC0000064, 0xC000000D, 0xC00000BB)),
        (Verdict(MORE_PROCESSING, token=b"no Kerberos"), "KRB_TICKET_REFUSED"),
        (Verdict(MORE_PROCESSING, token=wrapped(b"\x03\x00", Kdc().refusal(41))), "KRB_TICKET_REFUSED"),
        *(
            (Verdict(MORE_PROCESSING, token=wrapped(b"\x03\x00", Kdc().refusal(code))), "CLOCK_SKEW")
            for code in (32, 33, 34, 37)
        ),
    ],
)
def test_no_refusal_of_a_ticket_is_a_wrong_password(verdict: Verdict, reason: str) -> None:
    failure = refusal(verdict, ticket(), NOW)
    assert isinstance(failure, Failure)
    assert (failure.phase, failure.signal) == (Phase.AUTH, named(reason))
    assert f"0x{verdict.status:08x}" in failure.text


@pytest.mark.parametrize("status", [0, 0xC000015B, 0xC0000022, 0xC0000413])
def test_other_verdicts_mean_what_they_mean_with_ntlm(status: int) -> None:
    assert refusal(Verdict(status), ticket(), NOW) is None


def test_the_reply_is_read_in_any_form_of_length() -> None:
    token = reply()
    assert token[1] == 0x82
    assert read_ap_reply(token, ticket(), NOW) == SUBKEY
