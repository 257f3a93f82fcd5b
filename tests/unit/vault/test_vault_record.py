"""WHO, AUDIT and RIGHTS: the vault's own record, at the simulated vault and at one that talks nonsense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import PEER_TEXT_LIMIT, CredentialRef, Failure, SecretLookup
from appliance.questions import VaultAnswer, VaultQuery
from appliance.questions import VaultQueryKind as Kind
from appliance.vault import record_answers
from appliance.vault.definition import VaultAccess
from appliance.vault.grantor import open_grantor
from appliance.vault.messages import Answer
from appliance.vault.record import needs_rest
from appliance.vault.rest import PAGE
from tests.unit.vault.scripted import API, DENIED, ScriptedVault, grant, reply, scripted_vault
from tests.unit.vault.soap_script import result

USER = {"userName": "svc_scan", "displayName": "Scanner", "permissions": [{"name": "View Secret"}, {"name": "X"}, 5]}


def audit_row(number: int, **more: Any) -> dict[str, Any]:
    row = {"id": number, "action": "VIEW", "username": "svc", "dateRecorded": "2026-11-25T12:00:00.5", "notes": None}
    return {**row, **more}


@pytest.fixture
async def vault() -> AsyncIterator[ScriptedVault]:
    async with scripted_vault() as vault:
        vault.on("POST", "/oauth2/token", grant())
        vault.on("GET", f"{API}/healthcheck", reply(200, {"healthy": True}))
        yield vault


async def asked(vault: ScriptedVault, kind: Kind, key: str = "7", skip: int = 0) -> VaultAnswer:
    ref = CredentialRef(vault="Vault", by=SecretLookup.ID, key=key)
    async with open_grantor(vault.login()) as grantor:
        return await grantor.answer(VaultQuery(run="r", kind=kind, vault="Vault", secret=ref, skip=skip))


async def test_a_page_of_rows(vault: ScriptedVault) -> None:
    rows = [audit_row(2, notes="run 7"), audit_row(1, username=None, byUserDisplayName="Ann")]
    vault.on("GET", f"{API}/secrets/7/audits", reply(200, {"records": rows, "hasNext": True}))
    answer = await asked(vault, Kind.AUDIT, skip=200)
    assert (answer.ok, answer.more) == (True, True)
    assert [(row.id, row.user, row.notes) for row in answer.rows] == [(2, "svc", "run 7"), (1, "Ann", "")]
    assert answer.rows[0].at == 1795608000.5
    query = vault.asked[-1].query
    assert (query["skip"], query["take"], query["sortBy[0].direction"]) == ("200", str(PAGE), "desc")


async def test_the_longest_page_is_a_message_that_the_bus_carries(vault: ScriptedVault) -> None:
    long = '\\"\x07é' * 2000
    rows = [audit_row(n, action=long, username=long, notes=long) for n in range(PAGE)]
    body = json.dumps({"records": [{**row, "notes": "x"} for row in rows], "hasNext": True}).encode()
    answer = record_answers.read_audits(Answer(200, "application/json", body=body))
    assert isinstance(answer, record_answers.AuditPage)
    encoded = VaultAnswer(ok=True, rows=answer.rows, more=True).encode()
    assert len(answer.rows) == PAGE
    assert max(len(row.action.encode()) for row in answer.rows) <= PEER_TEXT_LIMIT
    assert len(encoded) < 512 * 1024


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (reply(200, {"records": [audit_row(1, dateRecorded="yesterday")]}), "VAULT_BAD_RESPONSE"),
        (reply(200, {"records": [audit_row(1, dateRecorded="0001-01-01T00:00:00")]}), "VAULT_BAD_RESPONSE"),
        (reply(200, {"records": [audit_row(1, action="")]}), "VAULT_BAD_RESPONSE"),
        (reply(200, {"records": {}}), "VAULT_BAD_RESPONSE"),
        (reply(200, b"<html>", kind="text/html"), "VAULT_BAD_RESPONSE"),
        (reply(403, {"message": "View Secret Audit"}), "VAULT_FORBIDDEN"),
        (reply(400, DENIED), "SECRET_ACCESS_DENIED"),
        (reply(501), "VAULT_ERROR"),
    ],
)
async def test_what_is_no_page_is_a_reason(vault: ScriptedVault, body: Any, reason: str) -> None:
    vault.on("GET", f"{API}/secrets/7/audits", body)
    assert (await asked(vault, Kind.AUDIT)).reason == reason


@pytest.mark.parametrize(("key", "skip"), [("name", 0), ("7", -1)])
async def test_a_question_that_cannot_be_put_is_told(vault: ScriptedVault, key: str, skip: int) -> None:
    assert (await asked(vault, Kind.AUDIT, key, skip)).reason == "INTERNAL"


async def test_who_we_are_and_what_time_it_is(vault: ScriptedVault) -> None:
    vault.on("GET", f"{API}/users/current", reply(200, USER))
    untold = await asked(vault, Kind.WHO)
    assert untold.facts == {"user": "svc_scan", "display_name": "Scanner", "permissions": "View Secret\nX"}
    clocks = {"utcNow": "2001-09-09T01:46:40", "now": "2001-09-09T03:46:40.1"}
    vault.on("GET", f"{API}/healthcheck", reply(200, clocks))
    facts = (await asked(vault, Kind.WHO)).facts
    assert float(facts["offset"]) < -(20 * 365 * 86400)
    assert (float(facts["offset_error"]) >= 0, facts["local"]) == (True, "7200")


@pytest.mark.parametrize("body", [reply(200, {}), reply(200, {"userName": "u"}), reply(403, {"message": "no"})])
async def test_a_vault_that_does_not_say_who_is_told(vault: ScriptedVault, body: Any) -> None:
    vault.on("GET", f"{API}/users/current", body)
    assert (await asked(vault, Kind.WHO)).reason in ("VAULT_BAD_RESPONSE", "VAULT_FORBIDDEN")


RIGHTS = {"secretState": "None", "id": 7, "isActive": True, "role": "View"}


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"id": 7, "folderPath": "\\Scan", "hidePassword": True}, {"folder": "\\Scan", "hides_password": "yes"}),
        ({"id": 7, "folderPath": "\\Scan", "hidePassword": False}, {"folder": "\\Scan", "hides_password": "no"}),
        ({"id": 7}, {"folder": ""}),
    ],
)
async def test_rights_are_had_without_a_view(
    vault: ScriptedVault, summary: dict[str, Any], expected: dict[str, str]
) -> None:
    vault.on("GET", f"{API}/secrets/7/state", reply(200, RIGHTS))
    vault.on("GET", f"{API}/secrets/7/summary", reply(200, summary))
    answer = await asked(vault, Kind.RIGHTS)
    assert (answer.ok, answer.facts) == (True, {"secret_id": "7", "role": "View", **expected})
    assert all(a.path != f"{API}/secrets/7" for a in vault.asked)


@pytest.mark.parametrize(
    ("state", "summary", "reason"),
    [
        (reply(400, DENIED), reply(200, {"id": 7}), "SECRET_NOT_FOUND"),
        (reply(200, RIGHTS), reply(400, DENIED), "SECRET_ACCESS_DENIED"),
        (reply(200, RIGHTS), reply(200, []), "VAULT_BAD_RESPONSE"),
        (reply(200, {"id": 7, "secretState": 5}), reply(200, {"id": 7}), "VAULT_BAD_RESPONSE"),
    ],
)
async def test_rights_that_the_vault_does_not_tell_are_a_reason(
    vault: ScriptedVault, state: Any, summary: Any, reason: str
) -> None:
    vault.on("GET", f"{API}/secrets/7/state", state)
    vault.on("GET", f"{API}/secrets/7/summary", summary)
    assert (await asked(vault, Kind.RIGHTS)).reason == reason


def test_another_interface_is_told_what_it_lacks() -> None:
    access = VaultAccess(title="V", url="https://v")
    assert needs_rest(access.api) is None
    told = needs_rest("soap")
    assert told is not None
    assert (told.ok, 'api = "rest"' in told.text) == (False, True)


@pytest.mark.parametrize(
    ("rest", "ok"), [(reply(200, {"healthy": True}), True), (reply(404, b"no", kind="text/html"), False)]
)
async def test_where_the_interface_is_left_open_the_record_is_had_if_it_is_rest(
    vault: ScriptedVault, rest: Any, ok: bool
) -> None:
    vault.on("GET", f"{API}/healthcheck", rest)
    vault.on("POST", "VersionGet", result("VersionGet"))
    vault.on("GET", f"{API}/secrets/7/audits", reply(200, {"records": [], "hasNext": False}))
    ref = CredentialRef(vault="Vault", by=SecretLookup.ID, key="7")
    async with open_grantor(vault.login(api="auto")) as grantor:
        answer = await grantor.answer(VaultQuery(run="r", kind=Kind.AUDIT, vault="Vault", secret=ref))
    assert (answer.ok, 'api = "rest"' in answer.text) == (ok, not ok)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "records",
                    "id",
                    "action",
                    "dateRecorded",
                    "username",
                    "utcNow",
                    "now",
                    "permissions",
                    "name",
                    "role",
                    "secretState",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    status=st.sampled_from([200, 200, 200, 403, 500]),
    body=st.binary(max_size=60) | JSON.map(lambda j: json.dumps(j).encode()),
)
def test_whatever_comes_is_a_value_or_a_failure(status: int, body: bytes) -> None:
    answer = Answer(status, "application/json", body=body)
    assert isinstance(record_answers.read_audits(answer), record_answers.AuditPage | Failure)
    assert isinstance(record_answers.read_user(answer), record_answers.VaultUser | Failure)
    assert isinstance(record_answers.read_time(answer), record_answers.VaultTime | None)
    assert isinstance(record_answers.read_standing(answer), record_answers.Standing | Failure)
    assert isinstance(record_answers.read_place(answer), record_answers.SecretPlace | Failure)
