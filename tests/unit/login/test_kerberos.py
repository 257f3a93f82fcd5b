"""Tickets from a domain controller that misbehaves: a reason for each way, in time, and the password goes out once."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from impacket.krb5 import crypto

from appliance.classify import classify
from appliance.contract import Evidence, Failure, KdcPlace, KerberosTerms, Technology
from appliance.login import kerberos_kdc
from appliance.login.dial import Sources, dial
from appliance.login.kerberos import Tickets
from appliance.login.kerberos_messages import (
    Client,
    KerberosProtocolError,
    NoCommonKeyError,
    Refusal,
    Salt,
    Ticket,
    key_of,
    read_ap_reply,
    read_refusal,
    read_tgs_reply,
    salt_of,
)
from appliance.login.resolver import Resolver
from appliance.login.smb import smb_login
from appliance.phases import PhaseLedger
from appliance.reasons import REASONS, counts_towards_lockout
from appliance.vault.credential import Credential
from tests.cancellation.hanging import Stage, silent_after
from tests.peers.attempt import make_job
from tests.unit.login.kdc import (
    ASK,
    HOST,
    PASSWORD,
    PROVE,
    REALM,
    SALT,
    SERVICE,
    USER,
    Answer,
    Kdc,
    closing,
    dripping,
    empty,
    half_a_length,
    half_an_answer,
    http,
    huge,
    says,
    serving,
    silent,
)

TIME_LIMIT = 1.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kerberos_kdc, "ANSWER_S", TIME_LIMIT)
    monkeypatch.setattr(kerberos_kdc, "CONNECT_S", TIME_LIMIT)


def anywhere(_: str) -> bool:
    return True


def tickets_of(
    *ports: int,
    allow: Callable[[str], bool] = anywhere,
    clock: Callable[[], float] = time.time,
    host: str = "127.0.0.1",
) -> Tickets:
    places = tuple(KdcPlace(host=host, port=port) for port in ports)
    terms = KerberosTerms(required=True, realm=REALM, kdcs=places, host=HOST)
    return Tickets(USER, terms, kerberos_kdc.Kdc(places, allow), clock)


async def log_in(tickets: Tickets, password: str = PASSWORD) -> Ticket | Failure:
    return await tickets.ask() or await tickets.ticket(Credential(password=password))


def reason(tickets: Tickets, failure: Ticket | Failure) -> str:
    assert isinstance(failure, Failure)
    evidence = Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=tickets.submitted)
    return classify(Technology.WINDOWS, evidence).code


async def test_a_ticket_for_the_host() -> None:
    async with serving(Kdc()) as kdc:
        tickets = tickets_of(kdc.port)
        assert await tickets.ask() is None
        assert (tickets.submitted, tickets.accepted) == (False, False)
        ticket = await tickets.ticket(Credential(password=PASSWORD))
    assert isinstance(ticket, Ticket)
    assert ticket.key.contents == kdc.ticket.contents
    assert (tickets.submitted, tickets.accepted) == (True, True)
    assert kdc.heard == [ASK, PROVE, SERVICE]
    assert tickets.facts() == {
        "authentication": "Kerberos",
        "realm": REALM,
        "service": f"cifs/{HOST}",
        "kdc": f"127.0.0.1:{kdc.port}",
    }
    assert not any(PASSWORD.encode() in message for message in kdc.requests)
    assert "key" not in repr(ticket)


async def test_a_wrong_password_is_sent_once() -> None:
    async with serving(Kdc()) as kdc:
        tickets = tickets_of(kdc.port)
        assert reason(tickets, await log_in(tickets, "not it")) == "BAD_CREDENTIALS"
    assert kdc.heard == [ASK, PROVE]
    assert (tickets.submitted, tickets.accepted) == (True, False)


# -- what is wrong, by exchange: before the password, with it, and after it was taken -----------------------------

FAULTS: dict[str, tuple[Answer, dict[str, str]]] = {
    name: (answer, dict(zip((ASK, PROVE, SERVICE), reasons, strict=True)))
    for name, answer, reasons in (
        ("silent", silent, ("KDC_UNREACHABLE", "KDC_TIMEOUT", "KDC_UNREACHABLE")),
        ("drip by drip", dripping, ("KDC_UNREACHABLE", "KDC_TIMEOUT", "KDC_UNREACHABLE")),
        ("closes at once", closing, ("KDC_UNREACHABLE", "KDC_DROPPED", "KDC_UNREACHABLE")),
        ("closes within the length", half_a_length, ("KDC_UNREACHABLE", "KDC_DROPPED", "KDC_UNREACHABLE")),
        ("closes within the answer", half_an_answer, ("KDC_UNREACHABLE", "KDC_DROPPED", "KDC_UNREACHABLE")),
        ("huge length", huge, ("KDC_PROTOCOL",) * 3),
        ("no length", empty, ("KDC_PROTOCOL",) * 3),
        ("a huge error", says(Kdc().refusal(25, bytes(9000))), ("KDC_PROTOCOL",) * 3),
        ("HTTP", http, ("KDC_PROTOCOL",) * 3),
        ("garbage", says(b"garbage"), ("KDC_PROTOCOL",) * 3),
        ("the beginning of an error", says(b"\x7e\x03\x30\x01\x00"), ("KDC_PROTOCOL",) * 3),
        ("nested without end", says(b"\x7e\x80" + b"\x30\x80" * 30_000), ("KDC_PROTOCOL",) * 3),
    )
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("exchange", [ASK, PROVE, SERVICE])
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_has_its_reason_in_time(exchange: str, fault: str) -> None:
    answer, reasons = FAULTS[fault]
    async with serving(Kdc(faults={exchange: answer})) as kdc:
        tickets = tickets_of(kdc.port)
        began = time.monotonic()
        failure = await log_in(tickets)
        assert time.monotonic() - began < TIME_LIMIT + 20
        with anyio.fail_after(20):
            await kdc.released.wait()
    assert reason(tickets, failure) == reasons[exchange]
    assert kdc.heard == [ASK, PROVE, SERVICE][: [ASK, PROVE, SERVICE].index(exchange) + 1]  # nothing is tried again
    assert tickets.submitted == (exchange != ASK)
    assert tickets.accepted == (exchange == SERVICE)
    assert isinstance(failure, Failure)
    assert failure.text


@pytest.mark.parametrize(
    ("code", "before", "with_proof", "after"),
    [
        (7, "KRB_REALM", "KRB_SPN", "KRB_SPN"),
        (14, "KRB_ETYPE", "KRB_ETYPE", "KRB_ETYPE"),
        (18, "KRB_REVOKED", "KRB_REVOKED", "KRB_REVOKED"),
        (37, "KRB_SKEW", "KRB_SKEW", "KRB_SKEW"),
        (99, "AUTH_REFUSED", "AUTH_REFUSED", "AUTH_REFUSED"),
    ],
)
async def test_each_refusal_has_its_reason(code: int, before: str, with_proof: str, after: str) -> None:
    for exchange, expected in ((ASK, before), (PROVE, with_proof), (SERVICE, after)):
        kdc = Kdc()
        kdc.faults[exchange] = says(kdc.refusal(code, text="go away\x1b[2J"))
        async with serving(kdc):
            tickets = tickets_of(kdc.port)
            failure = await log_in(tickets)
        assert reason(tickets, failure) == expected
        assert isinstance(failure, Failure)
        assert "\x1b" not in failure.text
        assert kdc.heard[-1] == exchange


async def test_another_demand_for_proof_is_not_met() -> None:
    kdc = Kdc()
    kdc.faults[PROVE] = says(kdc.refusal(25))
    async with serving(kdc):
        tickets = tickets_of(kdc.port)
        failure = await log_in(tickets)
    assert kdc.heard == [ASK, PROVE]
    assert reason(tickets, failure) == "AUTH_REFUSED"


@pytest.mark.parametrize(
    ("etype_info", "expected"),
    [
        (((23, None, None),), "KRB_ETYPE"),
        ((), "KRB_ETYPE"),
        (((18, SALT, b"\0\0\xff\xff"),), "KRB_ETYPE"),  # as many rounds as a stranger likes
        (((18, SALT, b"\xff\xff\xff\xff"),), "KRB_ETYPE"),
        (((18, SALT, b"\0"),), "KDC_PROTOCOL"),
        (((18, SALT, b"\0\0\x10\0"),), ""),
        (((23, None, None), (17, SALT, None)), ""),
        (((18, None, None),), ""),  # the salt that goes without saying
    ],
)
async def test_what_a_key_may_be_made_with(
    etype_info: tuple[tuple[int, bytes | None, bytes | None], ...], expected: str
) -> None:
    async with serving(Kdc(etype_info=etype_info)) as kdc:
        tickets = tickets_of(kdc.port)
        ended = await log_in(tickets)
    if expected:
        assert reason(tickets, ended) == expected
        assert kdc.heard == [ASK]
        assert not tickets.submitted
    else:
        assert isinstance(ended, Ticket)


async def test_an_account_that_needs_no_proof_gives_it_all_the_same() -> None:
    """Else a wrong password would show as an answer that cannot be read, and count nowhere."""
    kdc = Kdc()
    request = await _proof_request(kdc)
    kdc.faults[ASK] = says(kdc._answer(request)[1])
    async with serving(kdc):
        tickets = tickets_of(kdc.port)
        assert isinstance(await log_in(tickets), Ticket)
        wrong = tickets_of(kdc.port)
        assert reason(wrong, await log_in(wrong, "not it")) == "BAD_CREDENTIALS"
    assert kdc.heard == [ASK, PROVE, SERVICE, ASK, PROVE]


async def _proof_request(kdc: Kdc) -> bytes:
    async with serving(kdc):
        await log_in(tickets_of(kdc.port))
    request = kdc.requests[1]
    kdc.heard.clear()
    return request


@pytest.mark.parametrize("exchange", [PROVE, SERVICE])
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"nonce": 1}, "KDC_PROTOCOL"),
        ({"service": ("cifs", "other.lab.test")}, "KDC_PROTOCOL"),
        ({"service": ("krbtgt", "OTHER.TEST")}, "KDC_PROTOCOL"),
        ({"key": kerberos_kdc}, "KDC_PROTOCOL"),
        ({"etype": 23}, "KDC_PROTOCOL"),
        ({"keytype": 23}, "KRB_ETYPE"),
        ({"tag": "as"}, ""),
        ({"tag": "tgs"}, ""),
    ],
)
async def test_a_reply_that_is_not_to_this_request(exchange: str, wrong: dict[str, object], expected: str) -> None:
    if "key" in wrong:  # a stranger's, who does not know the password
        wrong = {"key": key_of("a guess", Salt(18, SALT))}
    async with serving(Kdc(wrong={exchange: wrong})) as kdc:
        tickets = tickets_of(kdc.port)
        ended = await log_in(tickets)
    if expected:
        assert reason(tickets, ended) == expected
        assert tickets.accepted == (exchange == SERVICE)
    else:
        assert isinstance(ended, Ticket)


# -- which controller --------------------------------------------------------------------------------------------------


async def test_the_first_that_takes_the_connection_is_the_only_one_that_is_asked() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # it does not listen
        async with serving(Kdc(faults={PROVE: closing})) as first, serving(Kdc()) as second:
            tickets = tickets_of(nobody.getsockname()[1], first.port, second.port)
            assert reason(tickets, await log_in(tickets)) == "KDC_DROPPED"
    assert first.heard == [ASK, PROVE]
    assert second.heard == []


async def test_no_controller() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for tickets in (tickets_of(nobody.getsockname()[1]), tickets_of()):
            failure = await log_in(tickets)
            assert reason(tickets, failure) == "KDC_UNREACHABLE"
            assert not tickets.submitted


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(name: str, _: Resolver | None) -> Failure:
        raise_ = socket.gaierror(socket.EAI_NONAME, f"{name} is unknown")
        return kerberos_kdc.Kdc._failure("DNS_FAILED", str(raise_))

    monkeypatch.setattr(kerberos_kdc, "resolve", resolve)
    tickets = tickets_of(88, host="corp.example")
    failure = await log_in(tickets)
    assert reason(tickets, failure) == "KDC_UNREACHABLE"
    assert isinstance(failure, Failure)
    assert failure.text.startswith("corp.example: ")


async def test_the_resolver_of_the_appliance_is_asked_and_its_source_dialled_from() -> None:
    asked: list[str] = []

    def look_up(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    async with serving(Kdc()) as kdc:
        places = (KdcPlace(host="corp.example", port=kdc.port),)
        for source, expected in (("127.0.0.9", "OK"), ("192.0.2.1", "KDC_UNREACHABLE")):
            found = kerberos_kdc.Kdc(places, anywhere, Sources(v4=source), Resolver(look_up))
            terms = KerberosTerms(required=True, realm=REALM, kdcs=places, host=HOST)
            failure = await Tickets(USER, terms, found).ask()
            assert ("OK" if failure is None else failure.signal.name) == expected
    assert asked == ["corp.example"] * 2


@pytest.mark.usefixtures("impatient")
async def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_: str, __: Resolver | None) -> Failure:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(kerberos_kdc, "resolve", resolve)
    tickets = tickets_of(88, host="corp.example")
    assert reason(tickets, await log_in(tickets)) == "KDC_UNREACHABLE"


@pytest.mark.usefixtures("impatient")
async def test_a_controller_that_takes_no_connection() -> None:
    """Its queue is full: what a firewall that drops looks like from here."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        tickets = tickets_of(full.getsockname()[1])
        failure = await log_in(tickets)
    assert reason(tickets, failure) == "KDC_UNREACHABLE"
    assert isinstance(failure, Failure)
    assert "no connection" in failure.text


async def test_the_appliances_policy_holds_for_controllers() -> None:
    async with serving(Kdc()) as kdc:
        tickets = tickets_of(kdc.port, allow=lambda address: address != "127.0.0.1")
        failure = await log_in(tickets)
    assert reason(tickets, failure) == "REFUSED_BY_POLICY"
    assert kdc.heard == []


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "shown"), [(0.0, ""), (3600.0, "-3600"), (-90.0, "+90")])
async def test_the_difference_of_clocks_is_a_fact(ours: float, shown: str) -> None:
    fixed = 1_800_000_000.0
    async with serving(Kdc(clock=lambda: fixed)) as kdc:
        tickets = tickets_of(kdc.port, clock=lambda: fixed + ours)
        await log_in(tickets)
    assert tickets.facts().get("clock_offset_s", "") == shown


async def test_a_refusal_tells_the_difference_of_clocks() -> None:
    kdc = Kdc(clock=lambda: 1_800_003_600.0)
    kdc.faults[PROVE] = says(kdc.refusal(37))
    async with serving(kdc):
        failure = await log_in(tickets_of(kdc.port, clock=lambda: 1_800_000_000.0))
    assert isinstance(failure, Failure)
    assert failure.text == "Kerberos error 37, its clock 3600 s ahead"


# -- cancelled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", [ASK, PROVE, SERVICE])
async def test_cancelled_in_an_exchange_the_connection_is_closed(exchange: str) -> None:
    async with serving(Kdc(faults={exchange: silent})) as kdc:
        tickets = tickets_of(kdc.port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log_in, tickets)
            with anyio.fail_after(5):
                await kdc.reached.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await kdc.released.wait()
    gc.collect()  # a socket that was left open would warn now
    assert tickets.submitted == (exchange != ASK)


async def test_cancelled_while_a_controller_is_asked_the_host_is_hung_up_on() -> None:
    """And nothing is left of either connection: every test is watched for that."""
    async with serving(Kdc(faults={ASK: silent})) as kdc, silent_after(b"", Stage()) as port:
        place = KdcPlace(host="127.0.0.1", port=kdc.port)
        terms = KerberosTerms(required=True, realm=REALM, kdcs=(place,), host=HOST)
        job = make_job(Technology.WINDOWS, USER, port, kerberos=terms)
        sock = await dial("127.0.0.1", port, PhaseLedger())
        assert not isinstance(sock, Failure)

        async def prepare() -> None:
            async with smb_login(sock, job, PhaseLedger()) as login:
                await login.prepare(job.candidates[0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(prepare)
            with anyio.fail_after(5):
                await kdc.reached.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await kdc.released.wait()
    assert sock.fileno() == -1


# -- what stays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, "Wr0ng-Marker-0815"])
async def test_neither_password_nor_key_stays(password: str) -> None:
    async with serving(Kdc()) as kdc:
        tickets = tickets_of(kdc.port)
        await log_in(tickets, password)
    kept = repr(vars(tickets)) + repr([vars(kept) for kept in vars(tickets).values() if hasattr(kept, "__dict__")])
    for secret in (password, key_of(password, Salt(18, SALT)).contents, kdc.session.contents, kdc.ticket.contents):
        assert repr(secret)[2:-1] not in kept


# -- any bytes ---------------------------------------------------------------------------------------------------------


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(1, 255))
def test_any_bytes_are_read_or_refused(noise: bytes, place: int, flip: int) -> None:
    kdc, client = Kdc(), Client(USER, REALM)
    ticket = Ticket(client, None, kdc.session)
    error = bytearray(kdc.refusal(25))
    error[place % len(error)] ^= flip
    for data in (noise, bytes(error), b"\x7e" + noise, b"\x6b" + noise, b"\x6d" + noise):
        for read in (
            read_refusal,
            partial(read_tgs_reply, granting=ticket, service=("cifs", HOST), nonce=1),
            partial(read_ap_reply, ticket=ticket, now=0.0),
            lambda d: salt_of(Refusal(25, 0.0, data=d), client),
        ):
            with suppress(KerberosProtocolError, NoCommonKeyError):  # nothing else may come out
                read(data)


def test_the_keys_that_a_password_makes() -> None:
    """RFC 3962's function, with the number of rounds that domains use; as impacket's slow one has it."""
    for etype in (17, 18):
        for password in (PASSWORD, "pässwörd ☃", "", "x" * 200):
            mine = key_of(password, Salt(etype, SALT))
            assert mine.contents == crypto.string_to_key(etype, password, SALT).contents


def test_what_a_refusal_counts() -> None:
    """A ticket that was asked for in vain is no failed logon."""
    for code in ("KRB_SPN", "KRB_ETYPE", "KRB_SKEW", "KRB_REVOKED", "KRB_TICKET_REFUSED", "KDC_UNREACHABLE"):
        assert not counts_towards_lockout(REASONS[code], submitted=True)


def test_an_error_without_sense() -> None:
    with pytest.raises(KerberosProtocolError, match="cannot be read"):
        read_refusal(b"\x7e\x00")
