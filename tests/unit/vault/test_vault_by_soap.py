"""The scan process's role over SOAP, on exact answers of the wire."""

from __future__ import annotations

import base64
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from defusedxml.ElementTree import fromstring

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.vault import SecretHandle, soap_answers
from appliance.vault.messages import JSON_LIMIT, Answer
from appliance.vault.secret_server import SecretServerSource
from appliance.vault.session import READ_AT_ONCE
from tests.unit.vault.scripted import (
    TOKEN,
    Act,
    ScriptedVault,
    Tokens,
    credential,
    raw,
    reason,
    reply,
    source_and_vault,
)
from tests.unit.vault.soap_script import (
    asked_for,
    found,
    item,
    refused,
    result,
    secret,
    status,
    user,
    with_password,
)

MASK = "*** Not Valid For Display ***"
OTHER_WORDS = "Something went otherwise than it should."
ALIVE = result("GetTokenIsValid")
DEAD = refused("GetTokenIsValid", "no")


def ref(key: str, by: SecretLookup = SecretLookup.NAME) -> CredentialRef:
    return CredentialRef(vault="Vault", by=by, key=key)


HANDLE = SecretHandle(ref("admin"), 7)


@asynccontextmanager
async def by_soap(tokens: Tokens | None = None) -> AsyncIterator[tuple[SecretServerSource, ScriptedVault]]:
    async with source_and_vault(tokens=tokens or Tokens(api="soap")) as (source, vault):
        yield source, vault


async def settled(source: SecretServerSource, vault: ScriptedVault, *, restricted: bool = False) -> SecretHandle:
    vault.on("POST", "SearchSecrets", found((7, "admin"), restricted=restricted))
    vault.on("POST", "GetCheckOutStatus", status())
    handle = await source.settle(ref("admin"))
    assert isinstance(handle, SecretHandle)
    return handle


async def fetched(source: SecretServerSource, *, key: bool = False, checked_out: bool = False) -> object:
    return await source.fetch(HANDLE, private_key=key, purpose="run 1", checked_out=checked_out)


def routes(vault: ScriptedVault) -> list[str]:
    return [asked.route for asked in vault.asked]


# -- settle ------------------------------------------------------------------------------------------------------------


async def test_the_token_is_in_the_call_and_in_no_header() -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        [asked] = vault.asked
        assert f"<token>{TOKEN}-1</token>".encode() in asked.body
        assert "authorization" not in asked.headers
        assert asked.path == "/webservices/SSWebService.asmx"


async def test_inactive_secrets_are_looked_for_where_there_is_no_other() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "SearchSecrets", found((1, "ADMIN")), found((1, "ADMIN"), (4, "admin")))
        assert reason(await source.settle(ref("admin"))) == "SECRET_INACTIVE"
        wanted = [b"<includeDeleted>true<" in asked.body for asked in vault.asked]
        assert wanted == [False, True]
        vault.on("POST", "SearchSecrets", found())
        assert reason(await source.settle(ref("other"))) == "SECRET_NOT_FOUND"


async def test_several_exact_hits_are_named() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "SearchSecrets", found((9, "a"), (4, "a"), (5, "A")))
        several = await source.settle(ref("a"))
        assert reason(several) == "SECRET_AMBIGUOUS_NAME"
        assert isinstance(several, Failure)
        assert several.text == "2 secrets: id 4 in folder 5, id 9 in folder 5"


async def test_another_users_check_out_is_waited_for_before_a_target_is_dialled() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "GetCheckOutStatus", status(9, name="Ann"))
        vault.on("POST", "WhoAmI", user(2))
        vault.on("POST", "SearchSecrets", found((7, "admin"), restricted=True))
        for wanted in (ref("admin"), ref("7", SecretLookup.ID)):
            held = await source.settle(wanted)
            assert reason(held) == "SECRET_CHECKED_OUT_BY"
            assert isinstance(held, Failure)
            assert held.text == "checked out by Ann"
        vault.on("POST", "GetCheckOutStatus", status(2))
        assert isinstance(await source.settle(ref("admin")), SecretHandle), "it was not remembered"


async def test_a_state_that_is_not_told_is_left_to_the_fetch() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "SearchSecrets", found((7, "admin"), restricted=True))
        vault.on("POST", "GetCheckOutStatus", reply(501))
        assert isinstance(await source.settle(ref("admin")), SecretHandle)


async def test_a_path_is_not_asked_for() -> None:
    async with by_soap() as (source, vault):
        told = await source.settle(ref("\\Scan\\admin", SecretLookup.PATH))
        assert reason(told) == "SECRET_NOT_FOUND"
        assert isinstance(told, Failure)
        assert 'api = "rest"' in told.text
        assert vault.asked == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refused("GetCheckOutStatus", "Access Denied"), "SECRET_NOT_FOUND"),
        (refused("GetCheckOutStatus", OTHER_WORDS), "SECRET_NOT_FOUND"),
        (refused("GetCheckOutStatus", "You do not have permission to perform this operation."), "VAULT_FORBIDDEN"),
        (reply(501), "VAULT_ERROR"),
        (result("GetCheckOutStatus"), "VAULT_BAD_RESPONSE"),
    ],
)
async def test_an_id_that_settles_to_nothing(answer: Act, expected: str) -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "GetCheckOutStatus", answer)
        vault.on("POST", "GetTokenIsValid", ALIVE)
        assert reason(await source.settle(ref("7", SecretLookup.ID))) == expected


async def test_a_large_answer_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    real = soap_answers.read_page

    def noting(answer: Answer) -> object:
        threads.append(threading.current_thread())
        return real(answer)

    monkeypatch.setattr("appliance.vault.soap_answers.read_page", noting)
    async with by_soap() as (source, vault):
        many = [(number, f"host-{number}") for number in range(1, 2 + READ_AT_ONCE // 100)]
        vault.on("POST", "SearchSecrets", found(*many), found((7, "admin")))
        assert isinstance(await source.settle(ref("host-5")), SecretHandle)
        assert isinstance(await source.settle(ref("admin")), SecretHandle)
    assert [thread is threading.main_thread() for thread in threads] == [False, True]


async def test_a_search_without_an_end_is_cut() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "SearchSecrets", reply(200, b" " * (4 * JSON_LIMIT + 1), kind="text/xml"))
        cut = await source.settle(ref("admin"))
        assert reason(cut) == "VAULT_BAD_RESPONSE"
        assert isinstance(cut, Failure)
        assert cut.text == f"an answer of more than {4 * JSON_LIMIT} bytes"


# -- fetch -------------------------------------------------------------------------------------------------------------


async def test_an_open_secret_is_viewed_at_once() -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", with_password("p<&>"))
        for _ in range(2):
            got = credential(await source.fetch(HANDLE, private_key=False, purpose="p"))
            assert (got.user, got.password) == ("scan", "p<&>")
        assert routes(vault) == ["SearchSecrets", "GetSecret", "GetSecret"]
        assert b"codeResponses" not in vault.asked[1].body


@pytest.mark.parametrize("named", [True, False])
async def test_a_secret_that_may_want_a_check_out_is_not_viewed(named: bool) -> None:
    """Restricted, or found by its id, which does not say."""
    async with by_soap() as (source, vault):
        if named:
            await settled(source, vault, restricted=True)
        vault.on("POST", "GetCheckOutStatus", status())
        assert reason(await fetched(source)) == "SECRET_NEEDS_CHECKOUT"
        assert vault.count("GetSecret") == 0


async def test_what_the_vaults_user_has_checked_out_is_viewed() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "GetCheckOutStatus", status(2))
        vault.on("POST", "WhoAmI", user(2))
        vault.on("POST", "GetSecret", with_password(out=True))
        for _ in range(2):
            credential(await source.fetch(HANDLE, private_key=False, purpose="p"))
        assert routes(vault) == ["GetCheckOutStatus", "WhoAmI", "GetSecret"] * 2, "it may have run out in between"


async def test_what_the_run_has_looked_at_is_open_from_then_on() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "GetSecret", with_password())
        assert not isinstance(await fetched(source, checked_out=True), Failure)
        assert not isinstance(await fetched(source), Failure)
        assert routes(vault) == ["GetSecret"] * 2


async def test_an_open_secret_that_has_come_to_be_checked_out_is_told() -> None:
    """An administrator has changed it under us: the view has checked it out, so the run must hear of it."""
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", with_password(out=True))
        told = await fetched(source)
        assert reason(told) == "SECRET_NEEDS_CHECKOUT"
        assert isinstance(told, Failure)
        assert "by this view it is" in told.text
        vault.on("POST", "GetCheckOutStatus", status())
        assert reason(await fetched(source)) == "SECRET_NEEDS_CHECKOUT"
        assert vault.count("GetSecret") == 1, "it is not open any more"


@pytest.mark.parametrize("failing", ["GetCheckOutStatus", "WhoAmI"])
async def test_without_a_state_nothing_is_viewed(failing: str) -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "GetCheckOutStatus", status(2))
        vault.on("POST", "WhoAmI", user(2))
        vault.on("POST", failing, reply(501))
        assert reason(await fetched(source)) == "VAULT_ERROR"
        assert vault.count("GetSecret") == 0


async def test_a_comment_answers_the_vaults_own_code_and_then_at_once() -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", asked_for("Comment_Required", "Say why."), with_password(), with_password())
        for purpose in ("run 1 & 2", "run 3"):
            credential(await source.fetch(HANDLE, private_key=False, purpose=purpose))
        bodies = [asked.body for asked in vault.asked if asked.route == "GetSecret"]
        given = [[e.text for e in fromstring(b).iter() if e.tag.endswith(("ErrorCode", "Comment"))] for b in bodies]
        assert given == [[], ["Comment_Required", "run 1 & 2"], ["Comment_Required", "run 3"]]


async def test_a_comment_that_does_not_help_is_given_once() -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", asked_for("COMMENT", "Say why."))
        assert reason(await fetched(source)) == "SECRET_NEEDS_COMMENT"
        assert vault.count("GetSecret") == 2


async def test_a_key_is_downloaded_after_the_view() -> None:
    key = b"-----BEGIN\r\n\x00\xff"
    async with by_soap() as (source, vault):
        await settled(source, vault)
        fields = (
            item(1, "Username", "root"),
            item(2, "Password", MASK, password=True),
            item(31, "Private Key", MASK, file=True),
            item(4, "Private Key Passphrase", "phrase", password=True),
        )
        vault.on("POST", "GetSecret", secret(*fields))
        whole = f"<FileAttachment>{base64.b64encode(key).decode()}</FileAttachment>"
        vault.on("POST", "DownloadFileAttachmentByItemId", result("DownloadFileAttachmentByItemId", whole))
        got = credential(await source.fetch(HANDLE, private_key=True, purpose="p"))
        assert (got.private_key, got.passphrase, got.password) == (key, "phrase", "")
        assert b"<secretItemId>31</secretItemId>" in vault.asked[-1].body


@pytest.mark.parametrize(("shown", "expected"), [(MASK, "VAULT_FORBIDDEN"), ("", "SECRET_FIELD_MISSING")])
async def test_a_mask_is_never_a_password(shown: str, expected: str) -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", with_password(shown))
        assert reason(await fetched(source)) == expected
        assert routes(vault) == ["SearchSecrets", "GetSecret"], "there is no asking for a field by itself"


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["Authentication failed or expired token", OTHER_WORDS])
async def test_a_dead_token_is_found_out_whatever_the_words(words: str) -> None:
    tokens = Tokens(api="soap")
    async with by_soap(tokens) as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", refused("GetSecret", words), with_password())
        vault.on("POST", "GetTokenIsValid", DEAD)
        credential(await source.fetch(HANDLE, private_key=False, purpose="p"))
        assert routes(vault)[1:] == ["GetSecret", "GetTokenIsValid", "GetSecret"]
        assert f"<token>{TOKEN}-2</token>".encode() in vault.asked[-1].body
    assert tokens.asked == [None, 1]


@pytest.mark.parametrize("words", ["Authentication failed or expired token", OTHER_WORDS])
async def test_under_a_token_that_lives_the_secret_is_refused(words: str) -> None:
    tokens = Tokens(api="soap")
    async with by_soap(tokens) as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", refused("GetSecret", words))
        vault.on("POST", "GetTokenIsValid", ALIVE)
        denied = await fetched(source)
        assert reason(denied) == "SECRET_ACCESS_DENIED"
        assert isinstance(denied, Failure)
        assert (denied.text, denied.facts["token"]) == (words, "valid")
    assert tokens.asked == [None]


@pytest.mark.parametrize("valid", [reply(501), raw(b""), reply(200, b"<html>", kind="text/html")])
async def test_where_the_token_cannot_be_asked_about_the_refusal_stands(valid: Act) -> None:
    tokens = Tokens(api="soap")
    async with by_soap(tokens) as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", refused("GetSecret", OTHER_WORDS))
        vault.on("POST", "GetTokenIsValid", valid)
        stands = await fetched(source)
        assert reason(stands) == "VAULT_ERROR"
        assert isinstance(stands, Failure)
        assert stands.text == OTHER_WORDS
    assert tokens.asked == [None]


async def test_there_is_one_replay() -> None:
    tokens = Tokens(api="soap")
    async with by_soap(tokens) as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", refused("GetSecret", OTHER_WORDS))
        vault.on("POST", "GetTokenIsValid", DEAD)
        assert reason(await fetched(source)) == "VAULT_TOKEN_EXPIRED"
        assert vault.count("GetSecret") == 2
    assert tokens.asked == [None, 1]


async def test_a_401_asks_for_a_token_at_once() -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", reply(401), with_password())
        credential(await source.fetch(HANDLE, private_key=False, purpose="p"))
        assert vault.count("GetTokenIsValid") == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Access Denied", "SECRET_ACCESS_DENIED"),
        ("Access is not allowed from this IP address.", "VAULT_IP_BLOCKED"),
        ("Secret Server is in read-only mode.", "VAULT_ERROR"),
    ],
)
async def test_known_words_need_no_second_question(words: str, expected: str) -> None:
    async with by_soap() as (source, vault):
        await settled(source, vault)
        vault.on("POST", "GetSecret", refused("GetSecret", words))
        assert reason(await fetched(source)) == expected
        assert routes(vault) == ["SearchSecrets", "GetSecret"]


# -- the wire ----------------------------------------------------------------------------------------------------------


async def test_questions_are_repeated_as_a_get_is() -> None:
    async with by_soap() as (source, vault):
        vault.on("POST", "SearchSecrets", reply(503), raw(b""), found((7, "admin")))
        assert isinstance(await source.settle(ref("admin")), SecretHandle)
        assert vault.count("SearchSecrets") == 3
