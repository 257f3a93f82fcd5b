"""Which views a fetch says it has made: those that the vault's audit shows, and those that it may show."""

from __future__ import annotations

import time

import anyio
import pytest

from appliance.contract import View
from appliance.vault.soap_answers import LONGEST_REFUSAL
from tests.unit.vault.scripted import (
    API,
    DENIED,
    EXPIRED,
    Act,
    Hang,
    Tokens,
    item,
    raw,
    reply,
    secret_body,
    source_and_vault,
    state_body,
    unix_secret,
    windows_secret,
)
from tests.unit.vault.soap_script import asked_for, refused, with_password
from tests.unit.vault.soap_script import item as soap_item
from tests.unit.vault.soap_script import result as soap_result
from tests.unit.vault.soap_script import secret as soap_secret
from tests.unit.vault.test_vault_source import handle

SECRET = f"{API}/secrets/7"
CUT = raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{")


def sure(views: list[View]) -> list[bool]:
    assert all((view.vault, view.secret_id) == ("Vault", 7) for view in views)
    assert all(0 < view.asked <= view.answered <= time.time() for view in views)
    return [view.sure for view in views]


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ((reply(200, windows_secret(7)),), [True]),
        ((reply(403, EXPIRED), reply(200, windows_secret(7))), [True]),
        ((reply(429), reply(200, windows_secret(7))), [True]),
        ((reply(503), reply(200, windows_secret(7))), [False, True]),
        ((CUT,), [False]),
        ((reply(500), reply(500), reply(500)), [False, False, False]),
        ((reply(200, b"<html>", kind="text/html"),), [False]),
        ((reply(400, DENIED),), []),
        ((reply(404, {"message": "x"}),), []),
    ],
)
async def test_every_try_that_may_have_left_a_row_is_noted(acts: tuple[Act, ...], expected: list[bool]) -> None:
    views: list[View] = []
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRET, *acts)
        vault.on("GET", f"{SECRET}/state", reply(200, state_body(7)))
        await source.fetch(handle(7), private_key=False, purpose="p", views=views)
    assert sure(views) == expected


async def test_fields_that_are_read_by_themselves_are_views_too() -> None:
    views: list[View] = []
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRET, reply(200, unix_secret(7)))
        vault.on("GET", f"{SECRET}/fields/private-key", reply(200, b"key", kind="application/octet-stream"))
        await source.fetch(handle(7), private_key=True, purpose="p", views=views)
        vault.on("GET", SECRET, reply(200, secret_body(7, item("password", "", isPassword=True))))
        vault.on("GET", f"{SECRET}/fields/password", reply(200, "shown"))
        await source.fetch(handle(7), private_key=False, purpose="p", views=views)
    assert sure(views) == [True] * 4


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ((with_password(),), [True]),
        ((asked_for("COMMENT", "why?"), with_password()), [True]),
        ((refused("GetSecret", "Access Denied"),), []),
        ((with_password("x" * LONGEST_REFUSAL),), [True]),
        ((reply(503), with_password()), [False, True]),
        ((reply(200, b"<html>", kind="text/html"),), [False]),
        ((raw(b""), with_password()), [False, True]),
    ],
)
async def test_views_by_soap_are_noted_and_refusals_with_200_are_none(
    acts: tuple[Act, ...], expected: list[bool]
) -> None:
    views: list[View] = []
    async with source_and_vault(tokens=Tokens(api="soap")) as (source, vault):
        vault.on("POST", "GetSecret", *acts)
        await source.fetch(handle(7), private_key=False, purpose="p", checked_out=True, views=views)
    assert sure(views) == expected


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (soap_result("DownloadFileAttachmentByItemId", "<FileAttachment>a2V5</FileAttachment>"), [True, True]),
        (refused("DownloadFileAttachmentByItemId", "Access Denied"), [True]),
    ],
)
async def test_a_download_by_soap_is_a_view_too(act: Act, expected: list[bool]) -> None:
    views: list[View] = []
    async with source_and_vault(tokens=Tokens(api="soap")) as (source, vault):
        vault.on("POST", "GetSecret", soap_secret(soap_item(3, "Private Key", "key.pem", file=True)))
        vault.on("POST", "DownloadFileAttachmentByItemId", act)
        await source.fetch(handle(7), private_key=True, purpose="p", checked_out=True, views=views)
    assert sure(views) == expected


async def test_a_view_that_is_cut_off_is_noted_on_the_way_out() -> None:
    views: list[View] = []
    hang = Hang()
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRET, hang)
        async with anyio.create_task_group() as tasks:

            async def read() -> None:
                await source.fetch(handle(7), private_key=False, purpose="p", views=views)

            tasks.start_soon(read)
            await hang.reached.wait()
            tasks.cancel_scope.cancel()
    assert sure(views) == [False]


async def test_a_token_that_is_refused_twice_viewed_nothing() -> None:
    views: list[View] = []
    async with source_and_vault() as (source, vault):
        vault.on("GET", SECRET, reply(401))
        await source.fetch(handle(7), private_key=False, purpose="p", views=views)
    assert views == []
