"""Searches, look-ups, folders and templates of the simulated vault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.secret_server.text_index import TextIndex
from tests.unit.targets.targets_lab import vault

ESTATE = """
[[vault.users]]
name = "boss"
access = { '\\' = "edit" }
[[secrets]]
name = "web-{n}"
count = 3
machine = "host-{n}"
user = "root"
folder = '\\Scan\\Linux'
[[secrets]]
name = "dc"
template = "active-directory"
user = "svc"
domain = "corp.example"
[[secrets]]
name = "iis"
template = "windows"
folder = '\\Scan\\Windows'
security = { checkout = true }
[[secrets]]
name = "rotating"
template = "unix-key-rotation"
login = "key"
security = { rotate_every = "1h" }
[[secrets]]
name = "why"
security = { comment = true }
[[secrets]]
name = "locked"
security = { double_lock = "KMS-x" }
[[secrets]]
name = "elsewhere"
folder = '\\Other'
"""


async def names(v: Any, query: str) -> list[str]:
    status, page = await v.ask(f"v2/secrets?take=100&{query}")
    assert status == 200, page
    return [r["name"] for r in page["records"]]


OPEN = ["dc", "elsewhere", "iis", "rotating", "web-1", "web-2", "web-3"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", OPEN),
        ("filter.includeRestricted=true", sorted([*OPEN, "why", "locked"])),
        ("filter.includeRestricted=true&filter.allowDoubleLocks=false", sorted([*OPEN, "why"])),
        ("filter.includeActive=false", []),
        ("filter.searchText=host-2", ["web-2"]),
        ("filter.searchText=root&filter.searchFieldSlug=username", ["web-1", "web-2", "web-3"]),
        ("filter.searchText=roo&filter.searchField=Username", ["web-1", "web-2", "web-3"]),
        ("filter.searchText=roo&filter.searchField=Username&filter.isExactMatch=true", []),
        ("filter.searchText=svc&filter.searchField=machine&filter.searchFieldSlug=username", ["dc"]),
        ("filter.searchText=KMS&filter.searchFieldSlug=password", []),
        ("filter.searchText=corp&filter.searchFieldSlug=domain", ["dc"]),
        ("filter.searchText=HOST-2&filter.searchFieldSlug=machine&filter.isExactMatch=true", ["web-2"]),
        ("filter.searchText=host-2&filter.searchField=Machine&filter.isExactMatch=true", ["web-2"]),
        ("filter.searchText=host&filter.searchFieldSlug=machine&filter.isExactMatch=true", []),
        ("filter.searchText=host&filter.searchFieldSlug=machine", ["web-1", "web-2", "web-3"]),
        ("filter.searchText=web-2&filter.searchFieldSlug=machine&filter.isExactMatch=true", []),
        ("filter.searchText=web%0Aweb", []),
        ("filter.folderId={scan}", ["dc", "rotating"]),
        ("filter.folderId={scan}&filter.includeSubFolders=true", ["dc", "iis", "rotating", "web-1", "web-2", "web-3"]),
        ("filter.folderId={scan}&filter.includeSubFolders=true&filter.searchText=web-1", ["web-1"]),
        ("filter.folderId={scan}&filter.searchText=web-1", []),
        ("filter.secretTemplateId=6003", ["iis"]),
        ("filter.secretTemplateIds=6003&filter.secretTemplateIds=6001", ["dc", "iis"]),
        ("filter.secretTemplateIds=6003,6001", ["dc", "iis"]),
        ("filter.permissionRequired=3", []),
        ("filter.permissionRequired=Owner", []),
        ("filter.onlyRPCEnabled=true", ["rotating"]),
        ("filter.onlyCheckedOutSecrets=true", []),
        ("filter.heartbeatStatus=Success", []),
        ("filter.heartbeatStatus=pending&filter.searchText=dc", ["dc"]),
        ("filter.scope=Favorites", []),
        ("filter.scope=2", []),
        ("filter.siteId=2", []),
    ],
)
async def test_filters(query: str, found: list[str]) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        scan = v.world.vault.folders.at_path("\\Scan")
        assert scan is not None
        query = query.format(scan=scan.id)
        assert await names(v, query) == found
        assert (await v.ask(f"v1/secrets/search-total?{query}")) == (200, len(found))
        assert len((await v.ask(f"v2/secrets/search-for-ids?{query}"))[1]["ids"]) == len(found)
        assert v.world.metrics.vault.views == 0


async def test_what_users_do_changes_what_is_found() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        boss = await v.as_user("boss")
        assert await names(boss, "filter.permissionRequired=edit") == OPEN
        await v.ask(f"v1/secrets/{v.id('iis')}")
        for who, found in ((v, ["iis"]), (boss, [])):
            assert await names(who, "filter.onlySecretsCheckedOutByUser=true") == found
            assert await names(who, "filter.scope=recent") == found
            assert await names(who, "filter.onlyCheckedOutSecrets=true") == ["iis"]


async def test_sorting() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        up = "sortBy[0].name=id&sortBy[0].direction=asc"
        ids = [v.id(name) for name in await names(v, up)]
        assert ids == sorted(ids)
        down = "sortBy[0].name=name&sortBy[0].direction=desc"
        assert await names(v, down) == OPEN[::-1]
        two = "sortBy[0].name=name&sortBy[0].direction=desc&sortBy[1].name=folderPath&sortBy[1].priority=-1"
        assert await names(v, two) == ["elsewhere", "rotating", "dc", "web-3", "web-2", "web-1", "iis"]
        _, page = await v.ask(f"v1/secrets?{down}")
        assert page["sortBy"] == [{"name": "name", "direction": "desc", "priority": 0}]
        assert list((await v.ask("v1/secrets?sortBy[0].name=colour"))[1]["modelState"]) == ["sortBy colour"]


@pytest.mark.parametrize(
    "query",
    ["skip=-1", "take=-2", "filter.folderId=x", "filter.scope=4", "filter.permissionRequired=5", "filter.siteId=a",
     "filter.secretTemplateIds=1,x", "sortBy[0].name=id&sortBy[0].direction=up"],
)  # fmt: skip
async def test_what_is_no_value_for_a_parameter(query: str) -> None:
    async with vault(ESTATE) as v:
        await v.login()
        status, body = await v.ask(f"v1/secrets?{query}")
        assert status == 400
        assert body["modelState"]


async def test_totals_can_be_left_out() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, page = await v.ask("v1/secrets?take=3&filter.doNotCalculateTotal=true")
        assert (page["total"], page["batchCount"], page["hasNext"], page["nextSkip"]) == (0, 3, True, 3)
        _, page = await v.ask("v1/secrets?take=3&skip=6&filter.doNotCalculateTotal=true")
        assert (page["batchCount"], page["hasNext"], page["hasPrev"]) == (1, False, True)


async def test_lookups_and_extended_fields() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        scan = v.world.vault.folders.at_path("\\Scan")
        assert scan is not None
        expected = {"id": v.id("dc"), "value": f"{scan.id} - 6001 - dc"}
        assert (await v.ask("v1/secrets/lookup?filter.searchText=dc"))[1]["records"] == [expected]
        assert (await v.ask(f"v1/secrets/lookup/{v.id('dc')}"))[1] == expected
        assert (await v.ask("v1/secrets/lookup/999"))[0] == 400
        _, page = await v.ask(
            "v2/secrets?filter.searchText=dc&filter.extendedFields=username&filter.extendedFields=password"
        )
        assert page["records"][0]["extendedFields"] == [{"name": "username", "value": "svc"}]


async def test_only_exposed_fields_are_shown() -> None:
    async with vault(f'[vault]\nexposed = ["domain", "notes", "password"]\n{ESTATE}') as v:
        await v.login()
        query = "&".join(f"filter.extendedFields={name}" for name in ("Domain", "Username", "notes", "password"))
        _, page = await v.ask(f"v2/secrets?filter.searchText=dc&{query}")
        assert page["records"][0]["extendedFields"] == [{"name": "domain", "value": "corp.example"}]


async def test_a_machine_that_was_changed_is_found_by_what_it_is_now() -> None:
    async with vault(ESTATE) as v:
        boss = await v.as_user("boss")
        body = {"value": "moved"}
        assert (await boss.ask(f"v1/secrets/{v.id('web-1')}/fields/machine", method="PUT", body=body))[0] == 200
        exact = "filter.searchFieldSlug=machine&filter.isExactMatch=true&filter.searchText"
        assert await names(boss, f"{exact}=Moved") == ["web-1"]
        assert await names(boss, f"{exact}=host-1") == []


async def test_folders_by_id_path_and_in_lists() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, scan = await v.ask("v1/folders/0?folderPath=%5Cscan&getAllChildren=true")
        assert (scan["folderName"], scan["folderPath"], scan["parentFolderId"]) == ("Scan", "\\Scan", -1)
        assert [c["folderPath"] for c in scan["childFolders"]] == ["\\Scan\\Linux", "\\Scan\\Windows"]
        _, same = await v.ask(f"v1/folders/{scan['id']}")
        assert (same["id"], same["childFolders"]) == (scan["id"], None)
        for missing in ("1000", "0?folderPath=%5CNo"):
            assert (await v.ask(f"v1/folders/{missing}"))[1]["errorCode"] == "API_AccessDenied"
        for query, found in (
            ("", ["Other", "Scan", "Linux", "Windows"]),
            ("filter.onlyIncludeRootFolders=true", ["Scan", "Other"]),
            (f"filter.parentFolderId={scan['id']}&filter.limitToDirectDescendents=True", ["Linux", "Windows"]),
            ("filter.searchText=LIN", ["Linux"]),
        ):
            _, page = await v.ask(f"v1/folders/lookup?take=50&{query}")
            assert [r["value"] for r in page["records"]] == found
            assert (await v.ask(f"v1/folders?take=50&{query}"))[1]["total"] == len(found)


async def test_templates_have_their_slugs_and_ids() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, listed = await v.ask("v1/secret-templates")
        assert {t["name"] for t in listed["records"]} == {
            "Windows Account", "Active Directory Account", "Unix Account (SSH)", "Unix Account (SSH Key Rotation)",
        }  # fmt: skip
        _, unix = await v.ask("v1/secret-templates/6007")
        assert {f["fieldSlugName"]: f["secretTemplateFieldId"] for f in unix["fields"]} == {
            "machine": 108, "username": 111, "password": 110, "notes": 109, "private-key": 189,
            "private-key-passphrase": 190,
        }  # fmt: skip
        assert (await v.ask("v1/secret-templates/1"))[0] == 400
        status, made = await v.ask("v1/secret-templates/generate-password/110", method="POST")
        assert (status, made.startswith("KMS-")) == (200, True)
        assert (await v.ask("v1/secret-templates/generate-password/111", method="POST"))[0] == 400
        _, blank = await v.ask("v1/secrets/stub?secretTemplateId=6001&folderId=3")
        assert ([i["slug"] for i in blank["items"]], blank["folderId"]) == (
            ["domain", "username", "password", "notes"], 3,
        )  # fmt: skip
        assert (await v.ask("v1/secrets/stub"))[0] == 400


TEXTS = st.lists(st.text(alphabet="ab\n\0Ä", max_size=4), max_size=6)


@given(TEXTS, st.text(alphabet="ab\0Ä", min_size=1, max_size=2))
def test_the_index_finds_what_a_walk_finds(texts: list[str], wanted: str) -> None:
    walked = [i for i, text in enumerate(texts) if wanted.casefold() in text.casefold()]
    assert list(TextIndex(texts).containing(wanted)) == walked
