"""No value leaves by a side door: repr, failure, exception, log line, warning.

The peer answers each request in turn with every kind of refusal, each of which repeats what was sent and adds values of
its own, while every log record of every library is caught at the lowest level.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields, is_dataclass, replace
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
import structlog
from defusedxml.ElementTree import fromstring

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.questions import VaultQuery, VaultQueryKind
from appliance.vault import SecretHandle, answers, rest
from appliance.vault.definition import Hidden
from appliance.vault.grantor import open_grantor
from appliance.vault.messages import Answer
from appliance.vault.secret_server import SecretServerSource, open_source
from appliance.vault.tokens import Token, TokenSource
from tests.unit.vault.scripted import (
    API,
    PASSWORD,
    Act,
    Hang,
    Peer,
    ScriptedVault,
    grant,
    item,
    raw,
    reply,
    scripted_vault,
    secret_body,
)
from tests.unit.vault.soap_script import enveloped, soap_grant, status, with_password
from tests.unit.vault.soap_script import result as soap_result

PATIENCE_S = 2.0
TARGET_PASSWORD = "Tgt-9f8e7d6c"
TOKEN_VALUE = "tok-5a4b3c2d1e"
REFRESH_VALUE = "refr-1a2b3c4d"
VALUES = (PASSWORD, TARGET_PASSWORD, TOKEN_VALUE, REFRESH_VALUE)
HANDLE = SecretHandle(CredentialRef(vault="Vault", by=SecretLookup.ID, key="7"), 7)


class Caught(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.args!r} {record.exc_info!r} {record.exc_text!r}")


@pytest.fixture
def logged() -> Iterator[list[str]]:
    caught, root = Caught(), logging.getLogger()
    before = root.level
    root.addHandler(caught)
    root.setLevel(logging.NOTSET)
    with structlog.testing.capture_logs() as entries:
        yield caught.lines
    caught.lines += [repr(entry) for entry in entries]
    root.removeHandler(caught)
    root.setLevel(before)


def shown(thing: object) -> str:
    """Everything that a careless line could print of a value."""
    parts = [repr(thing), str(thing), f"{thing}"]
    if is_dataclass(thing):
        parts += [repr(getattr(thing, f.name)) for f in fields(thing) if f.repr]
    return "\n".join(parts)


def clean(*things: object) -> None:
    for thing in things:
        for value in VALUES:
            assert value not in shown(thing)


@dataclass(slots=True)
class Echo:
    """A refusal that repeats the whole request in every error field there is."""

    status: int
    vault: ScriptedVault | None = None

    async def __call__(self, peer: Peer) -> bool:
        assert self.vault is not None
        asked = self.vault.asked[-1]
        said = f"{asked.path} {dict(asked.headers)} {asked.body.decode()} {list(asked.form.values())}"
        body = {"message": said, "error": said, "errorCode": said, "messageDetail": said, "stackTrace": TARGET_PASSWORD}
        return await reply(self.status, body)(peer)


def page(status: int) -> Act:
    return reply(status, f"<html>{PASSWORD} {TOKEN_VALUE} {TARGET_PASSWORD}</html>".encode(), kind="text/html")


def bad(number: int, vault: ScriptedVault) -> Act:
    act = BAD[number]
    return replace(act, vault=vault) if isinstance(act, Echo) else act


BAD: list[Act] = [
    *(Echo(status) for status in (400, 401, 403, 404, 429, 500)),
    *(page(status) for status in (200, 302, 400, 403, 503)),
    raw(f"HTTP/1.1 200 {TARGET_PASSWORD}\r\nContent-Length: 50\r\n\r\n{TARGET_PASSWORD}".encode()),
    raw(TARGET_PASSWORD.encode() * 10),
    raw(f"HTTP/1.1 200 OK\r\n{TARGET_PASSWORD}\r\n\r\n".encode()),
    reply(200, {"id": 7, "items": [TARGET_PASSWORD]}),
    reply(200, {"records": TARGET_PASSWORD, "access_token": f"{TOKEN_VALUE} x", "expires_in": 9}),
]


def impatient_source(vault: ScriptedVault, token: TokenSource) -> AbstractAsyncContextManager[SecretServerSource]:
    """What asks for patience ends all the same, and soon."""
    return open_source(vault.access(), token, settle_patience=PATIENCE_S, fetch_patience=PATIENCE_S)


@pytest.mark.parametrize("number", range(len(BAD)))
async def test_a_source_gives_nothing_away(number: int, logged: list[str]) -> None:
    async def token(_stale: int | None) -> Token | Failure:
        return Token(Hidden(TOKEN_VALUE), 1, 100.0)

    async with scripted_vault() as vault, impatient_source(vault, token) as source:
        for path in ("secrets/7", "secrets/7/state", "secrets"):
            vault.on("GET", f"{API}/{path}", bad(number, vault))
        vault.on("POST", f"{API}/secrets/7/restricted", bad(number, vault))
        failure = await source.fetch(HANDLE, private_key=False, purpose="p")
        assert isinstance(failure, Failure)
        name = CredentialRef(vault="Vault", by=SecretLookup.NAME, key="n")
        clean(failure, await source.settle(name), source)
    clean(*logged)


@pytest.mark.parametrize("number", range(len(BAD)))
async def test_a_grantor_gives_nothing_away(number: int, logged: list[str]) -> None:
    async with scripted_vault() as vault:
        vault.on("GET", f"{API}/healthcheck", reply(200, {}))
        refreshable = grant(TOKEN_VALUE, refresh_token=REFRESH_VALUE)
        vault.on("POST", "/oauth2/token", refreshable, bad(number, vault))
        async with open_grantor(vault.login(domain="corp")) as grantor:
            clean(await grantor.token(), grantor)
            failure = await grantor.token(1)
            assert isinstance(failure, Failure)
            clean(failure, await grantor.check())
    clean(*logged)


def repeated(operation: str) -> Callable[[ScriptedVault], Act]:
    """A refusal with 200 that repeats the whole call: as text, escaped once more, and value by value."""

    def made(vault: ScriptedVault) -> Act:
        async def act(peer: Peer) -> bool:
            body = vault.asked[-1].body.decode()
            plain = [element.text or "" for element in fromstring(body).iter()]
            said = escape(f"{body} {escape(body)} {' '.join(plain)} {json.dumps(plain)} {quote_plus(' '.join(plain))}")
            error = f"<SecretError><ErrorCode>{said}</ErrorCode><ErrorMessage>{said}</ErrorMessage></SecretError>"
            whole = enveloped(operation, f"<Errors><string>{said}</string></Errors>{error}")
            return await reply(200, whole, kind="text/xml")(peer)

        return act

    return made


def broken_secret(_vault: ScriptedVault) -> Act:
    values = f"<Items><SecretItem><Value>{TARGET_PASSWORD}</Value></SecretItem></Items><Id>7</Id>"
    return soap_result("GetSecret", f"<Secret>{values}</Secret>")


BAD_BY_SOAP: list[Callable[[ScriptedVault], Act]] = [
    repeated("GetSecret"),
    repeated("SearchSecrets"),
    repeated("GetTokenIsValid"),
    broken_secret,
    *(lambda vault, number=number: bad(number, vault) for number in range(len(BAD))),
]


@pytest.mark.parametrize("number", range(len(BAD_BY_SOAP)))
async def test_a_source_by_soap_gives_nothing_away(number: int, logged: list[str]) -> None:
    async def token(_stale: int | None) -> Token | Failure:
        return Token(Hidden(TOKEN_VALUE), 1, 100.0, "soap")

    async with scripted_vault() as vault, impatient_source(vault, token) as source:
        for operation in ("GetSecret", "SearchSecrets", "GetCheckOutStatus", "GetTokenIsValid"):
            vault.on("POST", operation, BAD_BY_SOAP[number](vault))
        failure = await source.fetch(HANDLE, private_key=False, purpose="p", checked_out=True)
        assert isinstance(failure, Failure)
        by_name = await source.settle(CredentialRef(vault="Vault", by=SecretLookup.NAME, key="n"))
        by_id = await source.settle(CredentialRef(vault="Vault", by=SecretLookup.ID, key="7"))
        assert isinstance(by_name, Failure)
        assert isinstance(by_id, Failure)
        clean(failure, by_name, by_id, source)
    clean(*logged)


@pytest.mark.parametrize("number", range(len(BAD_BY_SOAP) + 1))
async def test_a_grantor_by_soap_gives_nothing_away(number: int, logged: list[str]) -> None:
    async with scripted_vault() as vault:
        act = (*BAD_BY_SOAP, repeated("Authenticate"))[number](vault)
        vault.on("POST", "VersionGet", soap_result("VersionGet"))
        for operation in ("Authenticate", "GetCheckOutStatus"):
            vault.on("POST", operation, soap_grant(TOKEN_VALUE) if operation == "Authenticate" else act, act)
        async with open_grantor(vault.login(domain="corp", api="soap")) as grantor:
            clean(await grantor.token(), grantor)
            order = VaultQuery(run="r", kind=VaultQueryKind.CHECK_OUT, vault="Vault", secret=HANDLE.ref)
            told = await grantor.answer(order)
            assert not told.ok
            failure = await grantor.token(1)
            assert isinstance(failure, Failure)
            clean(told, failure, await grantor.check())
    clean(*logged)


async def test_a_check_out_by_soap_gives_nothing_of_the_secret_away(logged: list[str]) -> None:
    async with scripted_vault() as vault:
        vault.on("POST", "Authenticate", soap_grant(TOKEN_VALUE))
        vault.on("POST", "GetCheckOutStatus", status())
        vault.on("POST", "GetSecret", with_password(TARGET_PASSWORD))
        async with open_grantor(vault.login(api="soap")) as grantor:
            told = await grantor.answer(
                VaultQuery(run="r", kind=VaultQueryKind.CHECK_OUT, vault="Vault", secret=HANDLE.ref)
            )
            assert told.ok
            clean(told, grantor)
    clean(*logged)


async def test_a_time_out_in_mid_answer_gives_nothing_away(logged: list[str]) -> None:
    hang = Hang(f"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{TARGET_PASSWORD}".encode())

    async def token(_stale: int | None) -> Token | Failure:
        return Token(Hidden(TOKEN_VALUE), 1, 100.0)

    async with scripted_vault() as vault, open_source(vault.access(), token, fetch_patience=0.2) as source:
        vault.on("GET", f"{API}/secrets/7", hang)
        failure = await source.fetch(HANDLE, private_key=False, purpose="p")
        assert isinstance(failure, Failure)
        clean(failure)
    clean(*logged)


async def test_the_values_that_work_are_not_shown_either() -> None:
    secret = secret_body(7, item("username", "u"), item("password", TARGET_PASSWORD, isPassword=True))

    async def token(_stale: int | None) -> Token | Failure:
        return Token(Hidden(TOKEN_VALUE), 1, 100.0)

    async with scripted_vault() as vault, open_source(vault.access(), token) as source:
        vault.on("GET", f"{API}/secrets/7", reply(200, secret))
        clean(await source.fetch(HANDLE, private_key=False, purpose="p"), await token(None), source)
        clean(rest.password_grant(vault.login()), rest.refresh_grant(Hidden(REFRESH_VALUE)), vault.login())
    whole = Answer(200, body=TARGET_PASSWORD.encode())
    read = answers.Secret(7, "T", (answers.Item("password", TARGET_PASSWORD, is_password=True),))
    clean(whole, read, answers.Grant(Hidden(TOKEN_VALUE), 9.0, Hidden(REFRESH_VALUE)))
