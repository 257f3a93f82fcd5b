"""The aiohttp shell: what is repeated, what is capped, and which failure each broken peer is."""

from __future__ import annotations

import json
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import anyio
import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.contract import Failure
from appliance.vault import exchange as exchanging
from appliance.vault import rest, soap
from appliance.vault.breaker import OPEN_AFTER, seconds_away
from appliance.vault.definition import Hidden, VaultAccess, VaultTls
from appliance.vault.exchange import UNANSWERED, Exchange, open_exchange
from appliance.vault.failures import fail, refusal
from appliance.vault.messages import FILE_LIMIT, JSON_LIMIT, UNTOLD, Answer, Request
from appliance.vault.signs import illness, translated, worth_repeating
from appliance.vault.trip import Stage, Trip, within
from appliance.vault.turns import LEAST_WAITING, PACED
from appliance.vault.withholding import without
from tests.unit.vault.proxy import Proxy, proxied
from tests.unit.vault.scripted import (
    API,
    PASSWORD,
    Act,
    Gate,
    Hang,
    ScriptedVault,
    raw,
    reason,
    reply,
    scripted_vault,
)

GET = Request("GET", f"{API}/secrets/1")
OTHER = Request("GET", f"{API}/secrets/2")
POST = Request("POST", "/oauth2/token", body=b"x=y", content_type="application/x-www-form-urlencoded")


@pytest.fixture
async def vault() -> AsyncIterator[ScriptedVault]:
    async with scripted_vault() as vault:
        yield vault


async def ask(
    vault: ScriptedVault, request: Request, *acts: Act, token: str = "", secret: str = ""
) -> Answer | Failure:
    if secret:
        request = replace(request, secrets=(Hidden(secret),))
    vault.on(request.method, request.path, *acts)
    async with open_exchange(vault.access()) as exchange:
        return await exchange.send(request, Trip(), Hidden(token) if token else None)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_get_is_tried_three_times(vault: ScriptedVault, status: int) -> None:
    result = await ask(vault, GET, reply(status), reply(status), reply(200, {"a": 1}))
    assert isinstance(result, Answer)
    assert result.status == 200
    assert len(vault.asked) == 3


async def test_after_three_tries_the_answer_is_the_last_one(vault: ScriptedVault) -> None:
    result = await ask(vault, GET, reply(500), reply(503), reply(502), reply(200))
    assert isinstance(result, Answer)
    assert result.status == 502


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501, 302])
async def test_no_other_status_is_tried_again(vault: ScriptedVault, status: int) -> None:
    await ask(vault, GET, reply(status))
    assert len(vault.asked) == 1


@pytest.mark.parametrize("act", [reply(503), raw(b"")])
async def test_a_post_is_never_repeated(vault: ScriptedVault, act: Act) -> None:
    await ask(vault, POST, act)
    assert len(vault.asked) == 1


async def test_a_post_that_is_a_question_is_repeated_until_the_vault_is_in_doubt(vault: ScriptedVault) -> None:
    question = soap.who_am_i(Hidden("t0ken"))
    vault.on("POST", "WhoAmI", reply(503), reply(503), reply(200), reply(503))
    async with open_exchange(vault.access()) as exchange:
        answer = await exchange.send(question, Trip())
        assert isinstance(answer, Answer)
        assert (answer.status, len(vault.asked)) == (200, 3)
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE"))
        await exchange.send(question, Trip())
    assert len(vault.asked) == 4


def test_each_operation_of_soap_is_a_kind_of_its_own() -> None:
    token = Hidden("t0ken")
    by_id = [soap.secret(number, token) for number in (1, 2)]
    assert by_id[0].kind == by_id[1].kind
    assert len({by_id[0].kind, soap.who_am_i(token).kind, soap.search("n", token, inactive=False).kind}) == 3


async def test_a_long_retry_after_is_the_callers_business(vault: ScriptedVault) -> None:
    result = await ask(vault, GET, reply(429, Retry_After="6"))
    assert isinstance(result, Answer)
    assert result.retry_after == "6"
    assert len(vault.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_short_retry_after_is_kept_by_all(vault: ScriptedVault, status: int) -> None:
    """In whichever form: nobody asks before, and who was turned away is the first to ask then."""
    when = {"Retry_After": "Wed, 25 Nov 2026 10:00:01 GMT", "Date": "Wed, 25 Nov 2026 10:00:00 GMT"}
    vault.on("GET", GET.path, reply(status, **when), reply(200, {"a": 1}))
    vault.on("GET", OTHER.path, reply(200))
    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        began = anyio.current_time()
        tasks.start_soon(exchange.send, GET, Trip())
        with anyio.fail_after(5):
            while not vault.asked:  # noqa: ASYNC110 - the stand-in has no event for it
                await anyio.sleep(0.005)
        await anyio.sleep(0.1)
        await exchange.send(OTHER, Trip())
        assert anyio.current_time() - began >= 1.0
    assert [request.path for request in vault.asked] == [GET.path, GET.path, OTHER.path]


async def test_who_waits_for_a_slot_when_another_is_turned_away_waits_for_its_turn(vault: ScriptedVault) -> None:
    refusing = Gate(reply(429, Retry_After="2"))
    vault.on("GET", GET.path, refusing)
    vault.on("GET", OTHER.path, reply(200))
    async with open_exchange(vault.access(requests=1)) as exchange, anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.send, GET, Trip())
        await refusing.reached.wait()
        tasks.start_soon(exchange.send, OTHER, Trip())
        await anyio.sleep(0.05)
        refusing.open.set()
        await anyio.sleep(0.5)
        assert len(vault.asked) == 1
        tasks.cancel_scope.cancel()


async def test_a_cut_connection_is_tried_again(vault: ScriptedVault) -> None:
    """More than once: the first time it is aiohttp that asks again."""
    result = await ask(vault, GET, raw(b""), raw(b""), reply(200, {"a": 1}))
    assert isinstance(result, Answer)


@pytest.mark.parametrize(
    ("name", "is_ill"),
    [
        ("VAULT_UNREACHABLE", True),
        ("VAULT_TIMEOUT", True),
        ("VAULT_ERROR", True),
        ("VAULT_TLS", False),
        ("VAULT_BAD_RESPONSE", False),
    ],
)
def test_what_says_that_a_vault_is_not_well(name: str, is_ill: bool) -> None:
    assert (illness(fail(name)) is not None) == is_ill


@pytest.mark.parametrize("name", ["VAULT_TLS", "VAULT_BAD_RESPONSE"])
def test_what_another_try_cannot_mend_is_not_tried_again(name: str) -> None:
    assert not worth_repeating(fail(name))


async def test_connections_are_kept(vault: ScriptedVault) -> None:
    vault.on("GET", GET.path, reply(200, {}))
    async with open_exchange(vault.access()) as exchange:
        for _ in range(5):
            await exchange.send(GET, Trip())
    assert vault.connections == 1


async def test_requests_in_flight_are_bounded(vault: ScriptedVault) -> None:
    gate = Gate(reply(200, {}))
    vault.on("GET", GET.path, gate)

    async with open_exchange(vault.access(requests=3)) as exchange, anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(exchange.send, GET, Trip())
        with anyio.fail_after(10):
            while vault.in_flight < 3:
                await gate.reached.wait()
                await anyio.lowlevel.checkpoint()
        gate.open.set()
    assert vault.peak == 3
    assert len(vault.asked) == 12


LONG = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
BROKEN = {
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.9\r\n"), "VAULT_BAD_RESPONSE"),
    "garbage": (raw(bytes(range(256)) * 20), "VAULT_BAD_RESPONSE"),
    "a giant header": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), "VAULT_BAD_RESPONSE"),
    "too many headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 5000 + b"\r\n"), "VAULT_BAD_RESPONSE"),
    "a truncated body": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"), "VAULT_BAD_RESPONSE"),
    "a broken chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "VAULT_BAD_RESPONSE"),
    "two lengths": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), "VAULT_BAD_RESPONSE"),
    "a negative length": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"), "VAULT_BAD_RESPONSE"),
    "silence, then the end": (raw(b""), "VAULT_UNREACHABLE"),
    "a giant body": (raw(LONG + b" " * (JSON_LIMIT + 1)), "VAULT_BAD_RESPONSE"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_each_broken_peer_is_a_failure(vault: ScriptedVault, name: str) -> None:
    act, expected = BROKEN[name]
    result = await ask(vault, GET, act, token="t0ken")
    assert reason(result) == expected
    assert "t0ken" not in repr(result)


async def test_attachments_have_a_smaller_limit(vault: ScriptedVault) -> None:
    request = rest.file_field(1, "private-key", UNTOLD)
    assert isinstance(await ask(vault, request, reply(200, b"k" * FILE_LIMIT)), Answer)
    assert reason(await ask(vault, request, reply(200, b"k" * (FILE_LIMIT + 1)))) == "VAULT_BAD_RESPONSE"


async def test_a_redirect_is_not_followed(vault: ScriptedVault) -> None:
    async with scripted_vault() as elsewhere:
        for request in (GET, POST):
            result = await ask(vault, request, reply(307, Location=elsewhere.url + request.path), token="t0ken")
            assert isinstance(result, Answer)
            assert result.status == 307
        assert elsewhere.connections == 0


async def test_no_cookie_is_kept_and_no_proxy_is_taken_from_the_environment(
    vault: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_vault() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        vault.on("GET", GET.path, reply(200, {}, Set_Cookie="a=b; Path=/"))
        async with open_exchange(vault.access()) as exchange:
            await exchange.send(GET, Trip())
            await exchange.send(GET, Trip())
        assert "cookie" not in vault.asked[1].headers
        assert proxy.connections == 0


async def test_a_compressed_answer_is_not_inflated(vault: ScriptedVault) -> None:
    bomb = reply(200, b"\x1f\x8b" + b"\0" * 50, Content_Encoding="gzip")
    result = await ask(vault, GET, bomb)
    assert isinstance(result, Answer)
    assert result.body.startswith(b"\x1f\x8b")
    assert vault.asked[0].headers["accept-encoding"] == "identity"


async def test_an_error_page_that_repeats_our_secrets_loses_them(vault: ScriptedVault) -> None:
    request = rest.password_grant(vault.login())
    echo = {"error": f"bad login {PASSWORD}", "message": f"form was {request.body.decode()} under Bearer t0ken"}
    result = await ask(vault, request, reply(400, echo), token="t0ken")
    assert isinstance(result, Answer)
    assert PASSWORD.encode() not in result.body
    assert b"t0ken" not in result.body
    assert request.body.split(b"password=")[1].split(b"&")[0] not in result.body
    assert result.body.count(b"[withheld]") == 3


ODD = "Kms+/'<é1"
_JSON = json.dumps({"message": f"no {ODD} here", "errorCode": "API_AccessDenied"})


@pytest.mark.parametrize(
    "body",
    [
        _JSON.encode(),
        json.dumps({"errorCode": "API_AccessDenied", "message": ODD}, ensure_ascii=False).encode(),
        _JSON.replace("+", "\\u002B").replace("'", "\\u0027").replace("<", "\\u003C").encode(),
        _JSON.replace("/", "\\/").encode(),
        _JSON.replace("K", "\\u004b").encode(),
        _JSON.encode("utf-16"),
        _JSON.encode("utf-32"),
    ],
    ids=["python", "utf-8", ".net", "slash", "letter", "utf-16", "utf-32"],
)
async def test_however_json_spells_a_secret_it_is_cut_out_and_the_code_stays(vault: ScriptedVault, body: bytes) -> None:
    result = await ask(vault, GET, reply(403, body), secret=ODD)
    assert isinstance(result, Answer)
    failure = refusal(result)
    assert failure.signal.name == "SECRET_ACCESS_DENIED"
    assert "[withheld]" in failure.text
    assert "Kms" not in repr(failure)


@pytest.mark.parametrize(
    "body",
    [
        b"<a>&#75;ms+/'&lt;&#xe9;1</a>",
        "<a>&#00000000000075;ms+/'&lt;\xe91</a>".encode("utf-16"),
        b"<a>&#" + b"9" * 5000 + "&#x4b;ms+/'&lt;é1</a>".encode(),
    ],
    ids=["references", "utf-16", "a number too long"],
)
async def test_a_page_that_spells_a_secret_in_another_way_is_dropped(vault: ScriptedVault, body: bytes) -> None:
    result = await ask(vault, GET, reply(403, body, kind="text/xml"), secret=ODD)
    assert isinstance(result, Answer)
    assert result.body == b""


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode), st.text(min_size=1, max_size=5))
@example(b"[" * 100_000, "x")
@example(b"&#" + b"9" * 5000 + b";", "x")
def test_whatever_an_error_page_is_it_can_be_searched(body: bytes, value: str) -> None:
    left = without(body, (Hidden(value),))
    assert left == body or value.encode("utf-8", "replace") not in left.replace(b"[withheld]", b"")


async def test_an_error_page_loses_what_an_envelope_held(vault: ScriptedVault) -> None:
    request = soap.authenticate(vault.login())
    assert isinstance(request, Request)
    assert PASSWORD.encode() not in request.body, "it is escaped there"
    result = await ask(vault, request, reply(500, request.body))
    assert isinstance(result, Answer)
    assert b"Gr4nt" not in result.body
    assert (vault.asked[-1].headers["soapaction"], vault.asked[-1].headers["accept"]) == (
        '"urn:thesecretserver.com/Authenticate"',
        "text/xml",
    )


async def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        access = VaultAccess(title="V", url=f"http://127.0.0.1:{bound.getsockname()[1]}")
        async with open_exchange(access) as exchange:
            trip = Trip()
            result = await exchange.send(POST, trip)
    assert reason(result) == "VAULT_UNREACHABLE"
    assert isinstance(result, Failure)
    assert (result.text, result.facts["errno"]) == ("ECONNREFUSED", "ECONNREFUSED")
    assert trip.stage is Stage.CONNECTING, "nothing was submitted"


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    access = VaultAccess(title="V", url="https://vault.invalid/SecretServer")
    async with open_exchange(access) as exchange:
        result = await exchange.send(POST, Trip())
    assert reason(result) == "VAULT_UNREACHABLE"


@pytest.mark.parametrize(
    "slip",
    [
        {"url": "https://vault..corp/SecretServer"},
        {"url": f"https://{'v' * 64}.corp"},
        {"url": "https://vault\\corp/"},
        {"url": "https://10.20.30.400/"},
        {"url": "https://vault.corp", "proxy": "http://proxy..corp:3128"},
        {"url": "https://vault.corp", "proxy": "http://proxy\\corp:3128"},
    ],
)
async def test_an_address_that_nothing_can_be_sent_to(slip: dict[str, str]) -> None:
    """Definitions refuse them, as far as is known which these are: what they let through costs no process."""
    access = VaultAccess(title="V", url="https://v").model_copy(update=slip)
    async with open_exchange(access) as exchange:
        trip = Trip()
        result = await exchange.send(POST, trip)
    assert isinstance(result, Failure)
    assert (reason(result), "cannot be used" in result.text) == ("VAULT_UNREACHABLE", True)
    assert trip.stage is Stage.CONNECTING, "nothing was submitted"


def test_what_is_no_value_in_an_answer_says_nothing_of_the_address() -> None:
    assert reason(translated(ValueError("x"), Stage.SENT)) == "VAULT_BAD_RESPONSE"


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def pem(ca: trustme.CA) -> str:
    return ca.cert_pem.bytes().decode()


async def over_tls(ca: trustme.CA, name: str, tls: VaultTls) -> Answer | Failure:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    async with scripted_vault(context) as vault:
        vault.on("GET", GET.path, reply(200, {}))
        async with open_exchange(vault.access(tls=tls)) as exchange:
            return await exchange.send(GET, Trip(), Hidden("t0ken"))


async def test_the_given_ca_is_trusted(ca: trustme.CA) -> None:
    assert isinstance(await over_tls(ca, "127.0.0.1", VaultTls(ca=pem(ca))), Answer)


async def test_words_beside_the_given_ca_are_read_over(ca: trustme.CA) -> None:
    text = f"\ufeff# Főtanúsítvány\n{pem(trustme.CA())}# Hauptzertifikat für „Prüfung“\n{pem(ca)}# ő"
    assert isinstance(await over_tls(ca, "127.0.0.1", VaultTls(ca=text)), Answer)


async def test_an_unknown_ca_is_not(ca: trustme.CA) -> None:
    assert reason(await over_tls(ca, "127.0.0.1", VaultTls())) == "VAULT_TLS"
    assert reason(await over_tls(ca, "127.0.0.1", VaultTls(ca=pem(trustme.CA())))) == "VAULT_TLS"


async def test_another_hosts_certificate_is_not(ca: trustme.CA) -> None:
    result = await over_tls(ca, "other.example", VaultTls(ca=pem(ca)))
    assert reason(result) == "VAULT_TLS"
    assert isinstance(result, Failure)
    assert "127.0.0.1" in result.text


async def test_without_verification_any_certificate_will_do(ca: trustme.CA) -> None:
    assert isinstance(await over_tls(ca, "other.example", VaultTls(verify=False)), Answer)


async def test_a_ca_that_is_none_is_a_tls_failure(vault: ScriptedVault) -> None:
    broken = vault.access().model_copy(update={"url": "https://127.0.0.1:1", "tls": VaultTls(ca="no certificate")})
    async with open_exchange(broken) as exchange:
        assert reason(await exchange.send(GET, Trip())) == "VAULT_TLS"


async def test_a_vault_that_ends_the_handshake_without_a_word(ca: trustme.CA) -> None:
    """As asyncio's servers and Windows do, where they want a client certificate; an end by TLS 1.3 comes later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    async with scripted_vault(context) as vault, open_exchange(vault.access(tls=VaultTls(ca=pem(ca)))) as exchange:
        result = await exchange.send(POST, Trip())
    assert reason(result) == "VAULT_UNREACHABLE"
    assert isinstance(result, Failure)
    assert "it may demand a client certificate (tls.client_cert)" in result.text


async def test_a_peer_without_tls_is_a_tls_failure() -> None:
    async with (
        scripted_vault() as vault,
        open_exchange(vault.access().model_copy(update={"url": vault.url.replace("http:", "https:")})) as exchange,
    ):
        result = await exchange.send(POST, Trip())
    assert reason(result) in ("VAULT_TLS", "VAULT_UNREACHABLE")


# -- where the time went ----------------------------------------------------------------------------------------------


async def test_a_time_out_says_where_the_time_went(vault: ScriptedVault) -> None:
    hang = Hang()
    vault.on("GET", GET.path, hang)

    async def send(exchange: Exchange, patience: float) -> Answer | Failure:
        return await within(patience, lambda trip: exchange.send(GET, trip))

    async with open_exchange(vault.access(requests=1)) as exchange:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, exchange, 30.0)
            await hang.reached.wait()
            queued = await send(exchange, 0.01)
            tasks.cancel_scope.cancel()
        answered = await send(exchange, 0.2)
    assert reason(queued) == "OWN_OVERLOAD"
    assert reason(answered) == "VAULT_TIMEOUT"
    assert isinstance(answered, Failure)
    assert answered.facts["stage"] == "sent"


# -- a vault that is not well --------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def on_clock(vault: ScriptedVault, requests: int = 8) -> AsyncIterator[tuple[Exchange, Clock]]:
    clock = Clock()
    async with open_exchange(vault.access(requests=requests), clock) as exchange:
        yield exchange, clock


HEALTH = rest.health()


async def test_a_vault_that_answers_5xx_is_left_alone_until_a_probe_finds_it_well(vault: ScriptedVault) -> None:
    vault.on("GET", GET.path, reply(501, {"message": "An error has occurred."}))
    vault.on("GET", HEALTH.path, reply(500, {"message": "An error has occurred."}), reply(503), reply(200))
    async with on_clock(vault) as (exchange, clock):
        for _ in range(OPEN_AFTER):
            assert await exchange.ready(HEALTH, Trip()) is None
            await exchange.send(GET, Trip())
        away = await exchange.ready(HEALTH, Trip())
        assert (reason(away), vault.count(HEALTH.path)) == ("VAULT_ERROR", 1)
        assert isinstance(away, Failure)
        assert away.text == "An error has occurred."
        assert seconds_away(away)
        clock.now += 2.0
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"
        assert vault.count(HEALTH.path) == 2
        clock.now += 3.0
        assert await exchange.ready(HEALTH, Trip()) is None
        assert [a.bearer for a in vault.asked if a.path == HEALTH.path] == ["", "", ""]


async def test_secrets_that_the_vault_chokes_on_keep_nobody_from_the_others(vault: ScriptedVault) -> None:
    vault.on("GET", GET.path, reply(501, {"message": "An error has occurred."}))
    vault.on("GET", HEALTH.path, reply(200))
    async with on_clock(vault) as (exchange, _):
        for _ in range(3 * OPEN_AFTER):
            assert await exchange.ready(HEALTH, Trip()) is None
            await exchange.send(GET, Trip())
        assert vault.count(HEALTH.path) == 2


async def test_a_sign_of_life_is_asked_for_when_all_slots_are_stuck(vault: ScriptedVault) -> None:
    vault.on("GET", GET.path, hang := Hang())
    vault.on("GET", HEALTH.path, reply(200))
    async with open_exchange(vault.access(requests=1)) as exchange, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(exchange.send, GET, Trip())
        await hang.reached.wait()
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE"))
        assert await exchange.ready(HEALTH, Trip()) is None
        tasks.cancel_scope.cancel()
    assert vault.count(HEALTH.path) == 1


@pytest.mark.parametrize(
    "act",
    [
        reply(400, {"errorCode": "API_AccessDenied", "message": "Access Denied"}),
        reply(403, {"message": "Authentication failed or expired token."}),
        reply(404, {"message": "No such secret"}),
        reply(200, b"<html>", kind="text/html"),
    ],
)
async def test_refusals_of_single_secrets_never_open_the_breaker(vault: ScriptedVault, act: Act) -> None:
    vault.on("GET", GET.path, act)
    async with on_clock(vault) as (exchange, _):
        for _ in range(3 * OPEN_AFTER):
            await exchange.send(GET, Trip())
            assert await exchange.ready(HEALTH, Trip()) is None


async def test_a_vault_that_nobody_can_log_in_to_is_left_alone(vault: ScriptedVault) -> None:
    vault.on("GET", HEALTH.path, reply(503))
    async with on_clock(vault) as (exchange, _):
        for _ in range(3 * OPEN_AFTER):
            exchange.no_token(fail("VAULT_LOGIN_REFUSED"))
        assert await exchange.ready(HEALTH, Trip()) is None
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE", "ECONNREFUSED"))
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"


async def test_one_who_is_cut_off_was_not_answered(vault: ScriptedVault) -> None:
    async def cut_off_after(seconds: float) -> None:
        vault.on("GET", GET.path, hang := Hang())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.send, GET, Trip())
            await hang.reached.wait()
            clock.now += seconds
            tasks.cancel_scope.cancel()

    vault.on("GET", HEALTH.path, reply(503))
    async with on_clock(vault) as (exchange, clock):
        for _ in range(2 * OPEN_AFTER):
            await cut_off_after(UNANSWERED - 0.1)
        assert await exchange.ready(HEALTH, Trip()) is None
        assert vault.count(HEALTH.path) == 0, "there is no doubt"
        for _ in range(OPEN_AFTER):
            await cut_off_after(UNANSWERED)
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"


async def test_a_probe_that_is_cancelled_leaves_the_turn_to_the_next(vault: ScriptedVault) -> None:
    vault.on("GET", HEALTH.path, reply(503), hang := Hang(), reply(200))
    async with on_clock(vault) as (exchange, clock):
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE"))
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"
        clock.now += 2.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.ready, HEALTH, Trip())
            await hang.reached.wait()
            assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"
            tasks.cancel_scope.cancel()
        assert await exchange.ready(HEALTH, Trip()) is None


async def test_a_long_retry_after_keeps_everybody_away(vault: ScriptedVault) -> None:
    when = "Wed, 25 Nov 2026 10:01:30 GMT"
    vault.on("GET", GET.path, reply(429, Retry_After=when, Date="Wed, 25 Nov 2026 10:00:00 GMT"))
    async with on_clock(vault) as (exchange, clock):
        await exchange.send(GET, Trip())
        away = await exchange.ready(HEALTH, Trip())
        assert isinstance(away, Failure)
        assert (reason(away), seconds_away(away)) == ("VAULT_RATE_LIMITED", 90.0)
        clock.now += 90.0
        assert await exchange.ready(HEALTH, Trip()) is None
        assert (vault.count(HEALTH.path), len(vault.asked)) == (0, 1)


async def test_an_overloaded_vault_gets_fewer_at_once(vault: ScriptedVault) -> None:
    """Whoever waits then waits for the vault: it is not our own overload."""
    refusing = Gate(reply(503))
    vault.on("POST", POST.path, refusing)
    async with open_exchange(vault.access(requests=4)) as exchange:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(exchange.send, POST, Trip())
            await refusing.reached.wait()
            refusing.open.set()
        vault.peak = 0
        vault.on("GET", GET.path, hang := Hang())
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(exchange.send, GET, Trip())
            await hang.reached.wait()
            kept = await within(0.3, lambda trip: exchange.send(GET, trip))
            tasks.cancel_scope.cancel()
    assert vault.peak == 2
    assert reason(kept) == "VAULT_RATE_LIMITED"


@pytest.mark.parametrize("narrowing", ["late", "cut", "unanswered"])
async def test_who_waits_is_told_what_narrowed_the_way_in_last(vault: ScriptedVault, narrowing: str) -> None:
    """A late answer; after a 503, a connection that breaks, or a request that nobody waited for any longer."""
    gate = Gate(reply(200))
    vault.on("POST", POST.path, reply(200) if narrowing == "late" else reply(503), raw(b""))
    vault.on("GET", GET.path, hang := Hang())
    vault.on("GET", OTHER.path, reply(200), gate)
    async with on_clock(vault, requests=2) as (exchange, clock):
        await exchange.send(POST, Trip())
        async with anyio.create_task_group() as tasks:
            match narrowing:
                case "late":
                    await exchange.send(OTHER, Trip())
                    tasks.start_soon(exchange.send, OTHER, Trip())
                    await gate.reached.wait()
                    clock.now += 5.0
                    gate.open.set()
                case "cut":
                    await exchange.send(POST, Trip())
                case "unanswered":
                    tasks.start_soon(exchange.send, GET, Trip())
                    await hang.reached.wait()
                    clock.now += UNANSWERED
                    tasks.cancel_scope.cancel()
        vault.on("GET", GET.path, hang := Hang())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.send, GET, Trip())
            await hang.reached.wait()
            held = await within(0.3, lambda trip: exchange.send(GET, trip))
            tasks.cancel_scope.cancel()
    assert reason(held) == "VAULT_TIMEOUT"


async def test_a_vault_that_gives_no_sign_of_life_is_a_time_out(
    vault: ScriptedVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanging, "PROBE_PATIENCE", 0.05)
    vault.on("GET", HEALTH.path, Hang())
    async with on_clock(vault) as (exchange, _):
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE"))
        away = await exchange.ready(HEALTH, Trip())
    assert isinstance(away, Failure)
    assert (reason(away), away.text) == ("VAULT_TIMEOUT", "no answer within 0.05 s")


@contextmanager
def no_descriptors() -> Iterator[None]:
    """What is open stays so, and nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_want_of_descriptors_says_nothing_of_the_vault(vault: ScriptedVault) -> None:
    """Neither that it is overloaded or away, nor, where that was in doubt, that it is well."""
    async with on_clock(vault) as (exchange, _):
        with no_descriptors():
            assert {reason(await exchange.send(GET, Trip())) for _ in range(2 * OPEN_AFTER)} == {"OWN_OVERLOAD"}
        assert exchange.clear
        vault.on("GET", GET.path, Hang())
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(exchange.send, GET, Trip())
            with anyio.fail_after(10):
                while vault.peak < 8:  # noqa: ASYNC110 - the stand-in has no event for it
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        for _ in range(OPEN_AFTER):
            exchange.no_token(fail("VAULT_UNREACHABLE"))
        with no_descriptors():
            assert reason(await exchange.ready(HEALTH, Trip())) == "OWN_OVERLOAD"
        vault.on("GET", HEALTH.path, reply(503))
        assert reason(await exchange.ready(HEALTH, Trip())) == "VAULT_ERROR"


async def test_a_rate_limits_no_requests_at_once(vault: ScriptedVault) -> None:
    """After a 429 a slow vault may still have as many in flight as before."""
    vault.on("GET", OTHER.path, reply(429), reply(200))
    vault.on("GET", GET.path, hang := Hang())
    async with open_exchange(vault.access(requests=4)) as exchange:
        await exchange.send(OTHER, Trip())
        vault.peak = 0
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(exchange.send, GET, Trip())
            with anyio.fail_after(10):
                while vault.peak < 4:  # noqa: ASYNC110 - likewise
                    await anyio.sleep(0.01)
            assert hang.reached.is_set()
            tasks.cancel_scope.cancel()


async def test_whose_turn_does_not_come_in_time_says_so(vault: ScriptedVault) -> None:
    """As long as the vault answers others, it is no word against the vault; else, after a while, it is away."""
    vault.on("GET", OTHER.path, reply(200), reply(429, Retry_After="30"), reply(429, Retry_After="30"))
    for served in (True, False):
        async with on_clock(vault) as (exchange, clock):
            if served:
                await exchange.send(OTHER, Trip())
            await within(0.2, lambda trip, exchange=exchange: exchange.send(OTHER, trip))  # type: ignore[misc]
            clock.now += 1.0 if served else 16.0
            late = await within(0.05, lambda trip, exchange=exchange: exchange.send(GET, trip))  # type: ignore[misc]
            assert reason(late) == "VAULT_RATE_LIMITED"
            assert isinstance(late, Failure)
            assert (PACED in late.facts, seconds_away(late) is None) == (served, served)


async def test_where_too_many_wait_the_next_is_told_so_at_once(vault: ScriptedVault) -> None:
    vault.on("GET", OTHER.path, reply(429, Retry_After="5"))
    told: list[Answer | Failure] = []

    async def ask_too(exchange: Exchange) -> None:
        told.append(await exchange.send(GET, Trip()))

    async with open_exchange(vault.access()) as exchange, anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.send, OTHER, Trip())
        with anyio.fail_after(5):
            while not vault.asked:  # noqa: ASYNC110 - the stand-in has no event for it
                await anyio.sleep(0.005)
        await anyio.sleep(0.05)
        for _ in range(LEAST_WAITING + 2):  # and the first one waits to ask again
            tasks.start_soon(ask_too, exchange)
        await anyio.sleep(0.1)
        assert [reason(one) for one in told] == ["VAULT_RATE_LIMITED"] * 3
        tasks.cancel_scope.cancel()


# -- through a proxy ---------------------------------------------------------------------------------------------------


async def through(proxy: Proxy, ca: trustme.CA, name: str = "127.0.0.1") -> Answer | Failure:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    async with proxied(proxy) as url, scripted_vault(context) as vault:
        vault.on("GET", GET.path, *[reply(200, {})] * 3)
        access = vault.access(tls=VaultTls(ca=pem(ca))).model_copy(update={"proxy": url})
        async with open_exchange(access) as exchange:
            return await exchange.send(GET, Trip(), Hidden("t0ken"))


async def test_a_proxy_carries_the_way_to_the_vault_and_sees_nothing_of_it(ca: trustme.CA) -> None:
    proxy = Proxy()
    assert isinstance(await through(proxy, ca), Answer)
    [head] = proxy.heads
    assert head.startswith(b"CONNECT 127.0.0.1:")
    assert proxy.carried
    assert b"t0ken" not in head + proxy.carried
    assert GET.path.encode() not in head + proxy.carried


async def test_the_vaults_certificate_is_judged_behind_a_proxy_too(ca: trustme.CA) -> None:
    assert reason(await through(Proxy(), ca, "other.example")) == "VAULT_TLS"


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_refuses_says_so(ca: trustme.CA, status: str) -> None:
    result = await through(Proxy(status), ca)
    assert reason(result) == "VAULT_UNREACHABLE"
    assert isinstance(result, Failure)
    assert f"the proxy refuses the way to the vault: {status[:3]}" in result.text


async def test_a_proxy_that_is_not_there(ca: trustme.CA) -> None:
    access = VaultAccess(title="v", url="https://127.0.0.1:1/", proxy="http://127.0.0.1:1", tls=VaultTls(ca=pem(ca)))
    async with open_exchange(access) as exchange:
        assert reason(await exchange.send(POST, Trip())) == "VAULT_UNREACHABLE"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://vault.example", "https://proxy.example:3128"),
        ("https://vault.example", "http://user:secret@proxy.example:3128"),
        ("https://vault.example", "http://proxy.example:3128/path"),
        ("https://vault.example", "proxy.example:3128"),
        ("http://127.0.0.1:8080", "http://proxy.example:3128"),
    ],
)
def test_what_is_no_proxy_for_a_vault(url: str, proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        VaultAccess(title="v", url=url, proxy=proxy)
