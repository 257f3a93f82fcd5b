"""The scan process's role, on exact answers of the wire that no simulated estate gives."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from appliance.contract import CredentialRef, Failure, SecretLookup
from appliance.vault import SecretHandle
from appliance.vault.failures import STATES, fail
from appliance.vault.tokens import Token
from tests.unit.vault.scripted import (
    API,
    DENIED,
    EXPIRED,
    TOKEN,
    Act,
    Gate,
    ScriptedVault,
    Tokens,
    credential,
    item,
    page,
    reason,
    reply,
    row,
    secret_body,
    source_and_vault,
    state_body,
    unix_secret,
    windows_secret,
)

SECRETS = f"{API}/secrets"
COMMENT = {"errorCode": "API_ValidateSecretAccessCommentRequired", "message": "A comment, please."}


def ref(key: str, by: SecretLookup = SecretLookup.NAME) -> CredentialRef:
    return CredentialRef(vault="Vault", by=by, key=key)


def handle(secret_id: int) -> SecretHandle:
    return SecretHandle(ref(str(secret_id), SecretLookup.ID), secret_id)


# -- settle -----------------------------------------------------------------------------------------------------------


async def test_names_are_equal_letter_by_letter_and_pages_are_read_to_the_end() -> None:
    async with source_and_vault() as (source, vault):
        first = page(row(1, "ADMIN"), row(2, "admin "), row(3, "Admin"), more=True)
        second = page(row(3, "Admin"), row(4, "admin"), more=True)
        vault.on("GET", SECRETS, reply(200, first), reply(200, second), reply(200, page()))
        found = await source.settle(ref("admin"))
        assert isinstance(found, SecretHandle)
        assert found.secret_id == 4
        assert [a.query["skip"] for a in vault.asked] == ["0", "3", "5"]
        assert vault.asked[0].query["filter.searchText"] == "admin"
        assert vault.asked[0].query["filter.isExactMatch"] == "true"
        assert vault.asked[0].query["filter.includeRestricted"] == "true"


async def test_several_exact_hits_are_named() -> None:
    async with source_and_vault() as (source, vault):
        hits = page(row(9, "a"), row(4, "a", folderPath="\\Lab\x1b"), row(5, "a", active=False))
        vault.on("GET", SECRETS, reply(200, hits))
        found = await source.settle(ref("a"))
    assert reason(found) == "SECRET_AMBIGUOUS_NAME"
    assert isinstance(found, Failure)
    assert found.text == "2 secrets: id 4 in \\Lab\\x1b, id 9 in \\Scan"


async def test_a_deleted_secret_is_told_from_a_missing_one() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRETS, reply(200, page(row(5, "a", active=False))))
        assert reason(await source.settle(ref("a"))) == "SECRET_INACTIVE"
        assert reason(await source.settle(ref("b"))) == "SECRET_NOT_FOUND"


async def test_a_search_that_never_ends_is_a_bad_response() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRETS, reply(200, page(row(5, "other"), more=True)))
        assert reason(await source.settle(ref("a"))) == "VAULT_BAD_RESPONSE"


async def test_one_search_serves_all_who_want_the_same_secret() -> None:
    async with source_and_vault() as (source, vault):
        gate = Gate(reply(200, page(row(5, "a"))))
        vault.on("GET", SECRETS, gate)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(source.settle, ref("a"))
            await gate.reached.wait()
            gate.open.set()
        await source.settle(ref("a"))
        assert len(vault.asked) == 1


async def test_when_the_one_who_asks_is_cancelled_another_takes_over() -> None:
    async with source_and_vault() as (source, vault):
        gate = Gate(reply(200, page(row(5, "a"))))
        vault.on("GET", SECRETS, gate)
        got: list[object] = []

        async def wait() -> None:
            got.append(await source.settle(ref("a")))

        async with anyio.create_task_group() as followers:
            async with anyio.create_task_group() as leader:
                leader.start_soon(source.settle, ref("a"))
                await gate.reached.wait()
                followers.start_soon(wait)
                await anyio.lowlevel.checkpoint()
                leader.cancel_scope.cancel()
            gate.open.set()
        assert isinstance(got[0], SecretHandle)
        assert len(vault.asked) == 2


@pytest.mark.parametrize(
    ("answer", "expected", "asked"),
    [
        (reply(200, page()), "SECRET_NOT_FOUND", 1),
        (reply(501, {"message": "x"}), "VAULT_ERROR", 2),
        (reply(200, b"<html>", kind="text/html"), "VAULT_BAD_RESPONSE", 2),
    ],
)
async def test_only_lasting_failures_are_remembered(answer: Act, expected: str, asked: int) -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRETS, answer)
        assert reason(await source.settle(ref("a"))) == expected
        assert reason(await source.settle(ref("a"))) == expected
        assert len(vault.asked) == asked


async def test_a_path_is_looked_up_without_a_view() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/0/state", reply(200, state_body(42, "RequiresApproval")))
        found = await source.settle(ref("\\Linux\\corp web", SecretLookup.PATH))
        assert isinstance(found, SecretHandle)
        assert found.secret_id == 42
        assert vault.asked[0].query == {"secretPath": "\\Linux\\corp web"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(400, DENIED), "SECRET_NOT_FOUND"),
        (reply(403, DENIED), "SECRET_NOT_FOUND"),
        (reply(404, {"message": "gone"}), "SECRET_NOT_FOUND"),
        (reply(200, state_body(7, "RequiresUndelete", isActive=False)), "SECRET_INACTIVE"),
        (reply(403, {"message": "No role."}), "VAULT_FORBIDDEN"),
        (reply(200, {"id": 7}), "VAULT_BAD_RESPONSE"),
    ],
)
async def test_an_id_that_settles_to_nothing(answer: Act, expected: str) -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7/state", answer)
        assert reason(await source.settle(ref("7", SecretLookup.ID))) == expected


@pytest.mark.parametrize("key", ["", "0", "-1", "seven", "7/../8", "1" * 30, "\u0667"])
async def test_what_is_no_id_is_not_asked_for(key: str) -> None:
    async with source_and_vault() as (source, vault):
        assert reason(await source.settle(ref(key, SecretLookup.ID))) == "SECRET_NOT_FOUND"
        assert vault.asked == []


# -- fetch ------------------------------------------------------------------------------------------------------------


async def fetched(vault: ScriptedVault, source: Any, secret: dict[str, Any], *, key: bool = False) -> Any:
    vault.on("GET", f"{SECRETS}/7", reply(200, secret))
    return await source.fetch(handle(7), private_key=key, purpose="run 1")


async def test_the_password_comes_with_the_secret() -> None:
    async with source_and_vault() as (source, vault):
        got = credential(await fetched(vault, source, windows_secret(7, 'p\u00e4ss"\\')))
        assert (got.user, got.domain, got.password) == ("scan", "", 'p\u00e4ss"\\')
        assert [(a.method, a.path) for a in vault.asked] == [("GET", f"{SECRETS}/7")]
        assert vault.asked[0].query == {"noAutoCheckout": "true"}
        assert vault.asked[0].bearer == f"{TOKEN}-1"


async def test_it_is_read_anew_each_time() -> None:
    async with source_and_vault() as (source, vault):
        first = credential(await fetched(vault, source, windows_secret(7, "old")))
        second = credential(await fetched(vault, source, windows_secret(7, "new")))
        assert not first.same_secret_as(second)
        assert len(vault.asked) == 2


async def test_a_directory_account_brings_its_domain() -> None:
    secret = secret_body(7, item("domain", "corp"), item("username", "svc"), item("password", "p", isPassword=True))
    async with source_and_vault() as (source, vault):
        got = credential(await fetched(vault, source, secret))
    assert (got.user, got.domain, got.password) == ("svc", "corp", "p")


async def test_a_key_comes_as_it_was_attached() -> None:
    key = b"-----BEGIN\r\n\x00\xff binary too"
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7/fields/private-key", reply(200, key, kind="application/octet-stream"))
        got = credential(await fetched(vault, source, unix_secret(7, passphrase="phrase"), key=True))
        assert (got.private_key, got.passphrase, got.password) == (key, "phrase", "")
        assert len(vault.asked) == 2


@pytest.mark.parametrize("attached", [True, False])
async def test_a_certificate_comes_beside_its_key(attached: bool) -> None:
    line = "ssh-ed25519-cert-v01@openssh.com AAAA scan"
    field = item(
        "ssh-certificate", "" if attached else line, isFile=attached, fileAttachmentId=11 if attached else None
    )
    secret = unix_secret(7)
    secret["items"].append(field)
    async with source_and_vault() as (source, vault):
        for slug, data in (("private-key", b"key"), ("ssh-certificate", line.encode())):
            vault.on("GET", f"{SECRETS}/7/fields/{slug}", reply(200, data, kind="application/octet-stream"))
        got = credential(await fetched(vault, source, secret, key=True))
        assert (got.private_key, got.certificate) == (b"key", line.encode())
        assert len(vault.asked) == (3 if attached else 2)
        assert got.copy().certificate == got.certificate


@pytest.mark.parametrize(
    ("secret", "field"),
    [
        (unix_secret(7, attachment=None), None),
        (windows_secret(7), None),
        (unix_secret(7), reply(200, b"", kind="application/octet-stream")),
    ],
)
async def test_a_key_that_is_not_there(secret: dict[str, Any], field: Act | None) -> None:
    async with source_and_vault() as (source, vault):
        if field is not None:
            vault.on("GET", f"{SECRETS}/7/fields/private-key", field)
        assert reason(await fetched(vault, source, secret, key=True)) == "SECRET_FIELD_MISSING"


async def test_a_login_page_is_no_key() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7/fields/private-key", reply(200, b"<html>", kind="text/html"))
        assert reason(await fetched(vault, source, unix_secret(7), key=True)) == "VAULT_BAD_RESPONSE"


@pytest.mark.parametrize("shown", ["", None, "*** Not Valid For Display ***"])
@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (reply(200, "by itself"), None),
        (reply(200, ""), "SECRET_FIELD_MISSING"),
        (reply(200, "*** Not Valid For Display ***"), "VAULT_FORBIDDEN"),
        (reply(200, {"value": "p"}), "VAULT_BAD_RESPONSE"),
        (reply(403, {"message": "View Launcher Password"}), "VAULT_FORBIDDEN"),
    ],
)
async def test_a_mask_is_never_a_password(shown: str | None, field: Act, expected: str | None) -> None:
    secret = secret_body(7, item("username", "u"), item("password", shown, isPassword=True))
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7/fields/password", field)
        got = await fetched(vault, source, secret)
    if expected is None:
        assert credential(got).password == "by itself"
    else:
        assert reason(got) == expected


async def test_a_comment_is_given_where_the_vault_asks_for_one_and_then_at_once() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(400, COMMENT))
        vault.on("POST", f"{SECRETS}/7/restricted", reply(200, unix_secret(7)))
        vault.on(
            "POST", f"{SECRETS}/7/restricted/fields/private-key", reply(200, b"key", kind="application/octet-stream")
        )
        for purpose in ("run 1", "run 2"):
            credential(await source.fetch(handle(7), private_key=True, purpose=purpose))
        assert [a.method for a in vault.asked] == ["GET", "POST", "POST", "POST", "POST"]
        comments = [json.loads(a.body)["comment"] for a in vault.asked if a.method == "POST"]
        assert comments == ["run 1", "run 1", "run 2", "run 2"]


async def test_a_comment_that_does_not_help_is_given_once() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(400, COMMENT))
        vault.on("POST", f"{SECRETS}/7/restricted", reply(400, COMMENT))
        got = await source.fetch(handle(7), private_key=False, purpose="run 1")
        assert reason(got) == "SECRET_NEEDS_COMMENT"
        assert isinstance(got, Failure)
        assert got.text == "A comment, please."
        assert len(vault.asked) == 2


@pytest.mark.parametrize("refused", [reply(400, DENIED), reply(403, {"message": "No."}), reply(400, {"message": "x"})])
@pytest.mark.parametrize(("name", "expected"), [(n, r) for n, r in STATES.items() if r != "SECRET_NEEDS_COMMENT"])
async def test_the_state_tells_what_the_refusal_hides(refused: Act, name: str, expected: str) -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", refused)
        vault.on("GET", f"{SECRETS}/7/state", reply(200, state_body(7, name)))
        got = await source.fetch(handle(7), private_key=False, purpose="p")
    assert reason(got) == expected
    assert isinstance(got, Failure)
    assert got.facts["secret_state"] == name


async def test_the_holder_of_a_check_out_is_named() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(400, {"errorCode": "API_X", "message": "x"}))
        held = state_body(7, "RequiresCheckout", isCheckedOut=True, checkedOutUserDisplayName="Ann\x07")
        vault.on("GET", f"{SECRETS}/7/state", reply(200, held))
        got = await source.fetch(handle(7), private_key=False, purpose="p")
    assert reason(got) == "SECRET_CHECKED_OUT_BY"
    assert isinstance(got, Failure)
    assert got.text == "checked out by Ann\\x07"


async def test_a_state_that_asks_for_a_comment_gets_one() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(400, {"message": "An administrator's own words."}))
        vault.on("GET", f"{SECRETS}/7/state", reply(200, state_body(7, "RequiresComment")))
        vault.on("POST", f"{SECRETS}/7/restricted", reply(200, windows_secret(7, "p")))
        assert credential(await source.fetch(handle(7), private_key=False, purpose="p")).password == "p"


@pytest.mark.parametrize("state", [reply(400, DENIED), reply(501), reply(200, state_body(7))])
async def test_without_a_telling_state_the_refusal_stands(state: Act) -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(400, DENIED))
        vault.on("GET", f"{SECRETS}/7/state", state)
        got = await source.fetch(handle(7), private_key=False, purpose="p")
    assert reason(got) == "SECRET_ACCESS_DENIED"
    assert isinstance(got, Failure)
    assert got.text == "Access Denied"


async def test_items_left_out_of_a_restricted_secret_are_explained() -> None:
    async with source_and_vault() as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(200, secret_body(7, responseCodes=["X"])))
        vault.on("GET", f"{SECRETS}/7/state", reply(200, state_body(7, "RequiresDoubleLockPassword")))
        got = await source.fetch(handle(7), private_key=False, purpose="p")
    assert reason(got) == "SECRET_DOUBLELOCK"


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wants", [reply(401, b""), reply(401, {"message": "x"}), reply(403, EXPIRED)])
async def test_the_two_answers_that_mean_a_new_token(wants: Act) -> None:
    tokens = Tokens()
    async with source_and_vault(tokens=tokens) as (source, vault):
        vault.on("GET", f"{SECRETS}/7", wants, reply(200, windows_secret(7)))
        credential(await source.fetch(handle(7), private_key=False, purpose="p"))
        assert [a.bearer for a in vault.asked] == [f"{TOKEN}-1", f"{TOKEN}-2"]
    assert tokens.asked == [None, 1]


@pytest.mark.parametrize(
    "refused", [reply(403, {"message": "Authentication failed."}), reply(400, EXPIRED), reply(403, DENIED)]
)
async def test_no_other_answer_asks_for_a_token(refused: Act) -> None:
    tokens = Tokens()
    async with source_and_vault(tokens=tokens) as (source, vault):
        vault.on("GET", f"{SECRETS}/7", refused)
        assert isinstance(await source.fetch(handle(7), private_key=False, purpose="p"), Failure)
    assert tokens.asked == [None]


async def test_there_is_one_replay() -> None:
    tokens = Tokens()
    async with source_and_vault(tokens=tokens) as (source, vault):
        vault.on("GET", f"{SECRETS}/7", reply(403, EXPIRED))
        got = await source.fetch(handle(7), private_key=False, purpose="p")
        assert vault.count(f"{SECRETS}/7") == 2
    assert reason(got) == "VAULT_TOKEN_EXPIRED"
    assert tokens.asked == [None, 1]


async def test_all_who_met_the_dead_token_share_the_new_one() -> None:
    tokens = Tokens()
    async with source_and_vault(tokens=tokens) as (source, vault):
        gate = Gate(reply(401))
        ok = reply(200, windows_secret(7))
        vault.on("GET", f"{SECRETS}/7", *[gate] * 8, ok)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(lambda: source.fetch(handle(7), private_key=False, purpose="p"))
            while vault.in_flight < 8:
                await anyio.lowlevel.checkpoint()
            gate.open.set()
        assert len(vault.asked) == 16
    assert tokens.generation == 2


async def test_an_old_token_is_asked_for_anew() -> None:
    tokens = Tokens(fresh_for=0.0)
    async with source_and_vault(tokens=tokens) as (source, vault):
        for _ in range(3):
            credential(await fetched(vault, source, windows_secret(7)))
    assert tokens.asked == [None, None, None]


async def test_without_a_token_nothing_is_sent() -> None:
    class Refused(Tokens):
        async def __call__(self, stale: int | None) -> Token | Failure:
            self.asked.append(stale)
            return fail("VAULT_LOGIN_REFUSED", "Login failed.")

    async with source_and_vault(tokens=Refused()) as (source, vault):
        assert reason(await source.settle(ref("a"))) == "VAULT_LOGIN_REFUSED"
        assert reason(await source.fetch(handle(7), private_key=False, purpose="p")) == "VAULT_LOGIN_REFUSED"
        assert vault.asked == []
