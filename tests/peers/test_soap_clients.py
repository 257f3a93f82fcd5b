"""The simulated vault and other people's SOAP clients: zeep (1.1 and 1.2) and suds, from its WSDL, over TLS."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from targets.world import World
from tests.peers.environments import HERE, environment
from tests.unit.targets.targets_lab import running

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]

ESTATE = """
[vault]
tls = true
[[hosts]]
network = "127.26.0.0/24"
login = "key"
secret_name = "key {address}"
[[secrets]]
name = "plain"
template = "windows"
user = "vm_scan_account"
[[secrets]]
name = "out"
security = { checkout = true }
[[secrets]]
name = "why"
security = { comment = true }
"""
Call = tuple[str, dict[str, Any]]
Asking = Callable[..., Awaitable[list[Any]]]
TOKEN = {"token": "$token"}
FOUND = TOKEN | {"secretId": "$found"}
READ = FOUND | {"loadSettingsAndPermissions": False}
CLIENTS = ("zeep", "zeep12", "suds")


@pytest.fixture(scope="session")
def python() -> Path:
    return environment("soap_clients") / "bin" / "python"


@asynccontextmanager
async def asking(client: str, python: Path, state: Path) -> AsyncIterator[tuple[Asking, World]]:
    """What a client answers to calls, and the world that they went to."""
    async with running(ESTATE, state) as (ready, world):
        assert ready.vault_ca is not None
        url = f"{ready.vault_url}/webservices/SSWebService.asmx?WSDL"
        trust = {"REQUESTS_CA_BUNDLE": ready.vault_ca, "SSL_CERT_FILE": ready.vault_ca}
        env = {"PATH": os.environ["PATH"], "HOME": str(state)} | trust

        def run(*calls: Call) -> list[Any]:
            command = [str(python), str(HERE / "soap_calls.py"), client, url]
            done = subprocess.run(
                command, input=json.dumps(calls), capture_output=True, text=True, check=False, timeout=60, env=env
            )
            assert done.returncode == 0, done.stderr
            answers: list[Any] = json.loads(done.stdout)
            return answers

        async def ask(*calls: Call) -> list[Any]:
            return await to_thread.run_sync(run, *calls)

        yield ask, world


def login(world: World, password: str | None = None) -> Call:
    user = world.service.users.first
    given = user.password if password is None else password
    return "Authenticate", {"username": user.name, "password": given, "organization": "", "domain": ""}


def search(text: str) -> Call:
    return "SearchSecrets", TOKEN | {"searchTerm": text, "includeDeleted": False, "includeRestricted": True}


def errors(answer: dict[str, Any]) -> list[str]:
    found = answer.get("Errors")
    return found["string"] if found else []


def items(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["FieldName"]: item for item in answer["Secret"]["Items"]["SecretItem"]}


@pytest.mark.parametrize("client", CLIENTS)
async def test_from_login_to_check_in(client: str, python: Path, tmp_path: Path) -> None:
    async with asking(client, python, tmp_path) as (ask, world):
        status = ("GetCheckOutStatus", FOUND)
        calls = (search("out"), ("GetSecret", READ), status, ("CheckIn", FOUND), status, ("GetSecretAudit", FOUND))
        granted, found, read, held, checked_in, free, audit = await ask(login(world), *calls)
        assert errors(granted) == []
        assert [s["SecretName"] for s in found["SecretSummaries"]["SecretSummary"]] == ["out"]
        stored = world.vault.named("out")
        assert items(read)["Password"]["Value"] == stored.material.password
        assert (read["Secret"]["IsCheckedOut"], read["Secret"]["CheckOutUserDisplayName"]) == (True, "svc_scan")
        assert (held["IsCheckedOut"], held["CheckOutMinutesRemaining"]) == (True, 30)
        assert errors(checked_in) == []
        assert (free["IsCheckedOut"], free["CheckOutMinutesRemaining"]) == (False, None)
        rows = audit["SecretAudits"]["AuditSecret"]
        assert [(row["Action"], row["IpAddress"]) for row in rows] == [
            ("CHECK IN", "127.0.0.1"),
            ("VIEW", "127.0.0.1"),
            ("CHECK OUT", "127.0.0.1"),
        ]
        seen = world.metrics.vault
        assert (seen.grants, seen.views, seen.checkouts, seen.checkins) == (1, 1, 1, 1)


@pytest.mark.parametrize("client", CLIENTS)
async def test_refusals(client: str, python: Path, tmp_path: Path) -> None:
    """Of a login, of a secret that there is not, of a token that there is not."""
    async with asking(client, python, tmp_path) as (ask, world):
        unknown = ("GetSecret", READ | {"secretId": 999})
        dead = ("GetTokenIsValid", {"token": "KMS-foreign"})
        refused, _, none, foreign, alive = await ask(
            login(world, "wrong"), login(world), unknown, dead, ("GetTokenIsValid", TOKEN)
        )
        assert (errors(refused), refused.get("Token")) == (["Login failed."], None)
        assert errors(none) == ["Access Denied"]
        assert none.get("Secret") is None
        assert errors(foreign) == ["Authentication failed or expired token"]
        assert (errors(alive), alive["Version"]) == ([], "11.2.000002")
        assert (world.metrics.vault.failed_grants, world.metrics.vault.views) == (1, 0)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_comment_is_given_when_it_is_asked_for(client: str, python: Path, tmp_path: Path) -> None:
    async with asking(client, python, tmp_path) as (ask, world):
        response: dict[str, Any] = {"ErrorCode": "COMMENT", "Comment": "a scan & more", "AdditionalComment": "T-1"}
        response |= {"TicketSystemId": None}  # zeep wants it said
        again = READ | {"codeResponses": {"CodeResponse": [response]}}
        _, _, asked, given = await ask(login(world), search("why"), ("GetSecret", READ), ("GetSecret", again))
        error = asked["SecretError"]
        assert (error["ErrorCode"], error["AllowsResponse"], asked.get("Secret")) == ("COMMENT", True, None)
        assert errors(asked) == [error["ErrorMessage"]]
        stored = world.vault.named("why")
        assert items(given)["Password"]["Value"] == stored.material.password
        assert [(row.notes, row.ticket) for row in stored.audits] == [("a scan & more", "T-1")]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_key_is_downloaded(client: str, python: Path, tmp_path: Path) -> None:
    async with asking(client, python, tmp_path) as (ask, world):
        stored = world.vault.named("key 127.26.0.1")
        item = next(stored.item_id(field) for field in stored.template.fields if field.slug == "private-key")
        _, _, key = await ask(
            login(world), search(stored.name), ("DownloadFileAttachmentByItemId", FOUND | {"secretItemId": item})
        )
        assert base64.b64decode(key["FileAttachment"]) == stored.material.private_key_file()


@pytest.mark.parametrize("client", CLIENTS)
async def test_settings_permissions_and_fields(client: str, python: Path, tmp_path: Path) -> None:
    async with asking(client, python, tmp_path) as (ask, world):
        whole = READ | {"loadSettingsAndPermissions": True}
        by_field = TOKEN | {"fieldName": "Username", "searchTerm": "vm_scan_account", "showDeleted": False}
        _, _, read, found = await ask(
            login(world), search("plain"), ("GetSecret", whole), ("GetSecretsByFieldValue", by_field)
        )
        secret = read["Secret"]
        assert (secret["SecretSettings"]["CheckOutEnabled"], secret["IsCheckedOut"]) == (False, None)
        (permission,) = secret["SecretPermissions"]["Permissions"]["Permission"]
        assert (permission["UserOrGroup"]["Name"], permission["View"], permission["Edit"]) == ("svc_scan", True, False)
        assert [s["Name"] for s in found["Secrets"]["Secret"]] == ["plain"]
        assert world.metrics.vault.views == 1


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_fault_is_one(client: str, python: Path, tmp_path: Path) -> None:
    async with asking(client, python, tmp_path) as (ask, world):
        calls = login(world), ("WhoAmI", TOKEN)
        world.order_vault_faults(frozenset({"error"}))
        _, broken = await ask(*calls)
        assert broken == {"fault": "Server was unable to process request. ---> An error has occurred."}
        world.order_vault_faults(frozenset({"forbidden"}))
        _, forbidden = await ask(*calls)
        assert errors(forbidden) == ["You do not have permission to perform this operation."]
        world.order_vault_faults(frozenset())
        _, alive = await ask(*calls)
        assert alive["UserName"] == "svc_scan"
