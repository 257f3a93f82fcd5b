"""The simulated vault's SOAP operations on secrets: what they give and refuse, and what is counted and audited."""

from __future__ import annotations

import base64
from typing import Any

from tests.unit.targets.soap_client import DENIED, ESTATE, KEY, Soap, other, soap
from tests.unit.targets.targets_lab import Clock

# -- secrets -----------------------------------------------------------------------------------------------------------


async def get(s: Soap, name: str, *responses: tuple[str, str], settings: bool = False) -> dict[str, Any]:
    codes = [{"CodeResponse": {"ErrorCode": code, "Comment": comment}} for code, comment in responses]
    where = s.vault.id(name)
    return await s.ask("GetSecret", secretId=where, loadSettingsAndPermissions=settings, codeResponses=codes)


async def test_a_secret_has_the_members_of_the_contract_in_their_order() -> None:
    async with soap() as s:
        result = await get(s, "plain")
        assert list(result) == ["Errors", "Secret"]
        secret = result["Secret"]
        stored = s.vault.world.vault.named("plain")
        items = secret.pop("Items")
        assert secret == {
            "Name": "plain",
            "Id": str(stored.id),
            "SecretTypeId": "6003",
            "FolderId": str(stored.folder_id),
            "IsWebLauncher": "false",
            "CheckOutMinutesRemaining": None,
            "IsCheckedOut": None,
            "CheckOutUserDisplayName": "",
            "CheckOutUserId": None,
            "IsOutOfSync": "false",
            "IsRestricted": "false",
            "OutOfSyncReason": "",
            "Active": "true",
        }
        assert items[0] == {
            "Value": "dc1.corp.example",
            "Id": str(stored.id * 100 + 83),
            "FieldId": "83",
            "FieldName": "Machine",
            "IsFile": "false",
            "IsNotes": "false",
            "IsPassword": "false",
            "FieldDisplayName": "Machine",
        }
        assert {i["FieldName"]: i["Value"] for i in items}["Password"] == stored.material.password
        seen = s.vault.world.metrics.vault
        assert (seen.views, seen.views_by_secret["plain"], seen.field_reads) == (1, 1, 0)
        assert stored.audits[-1].address == "127.0.0.1"


async def test_settings_and_permissions_are_loaded_when_they_are_asked_for() -> None:
    async with soap() as s:
        boss = await other(s, "boss")
        secret = (await get(boss, "ask", settings=True))["Secret"]
        settings, permissions = secret["SecretSettings"], secret["SecretPermissions"]
        assert (settings["RequiresApprovalForAccess"], settings["RequiresComment"]) == ("true", "false")
        assert [who["Name"] for who in settings["Approvers"]] == ["boss"]
        assert [permissions[f"CurrentUserHas{what}"] for what in ("View", "Edit", "Owner")] == ["true"] * 3
        rights = {p["UserOrGroup"]["Name"]: p["SecretAccessRoleName"] for p in permissions["Permissions"]}
        assert (rights["boss"], rights["lister"], rights["svc_scan"]) == ("Owner", "List", "View")
        assert "SecretSettings" not in (await get(boss, "ask"))["Secret"]


async def test_what_is_missing_forbidden_or_inactive_looks_alike() -> None:
    async with soap() as s:
        where = [s.vault.id("gone"), s.vault.id("hidden"), 999, 0, -1]
        for one in where:
            assert await s.errors("GetSecret", secretId=one, loadSettingsAndPermissions=False) == DENIED
            assert await s.errors("GetSecretLegacy", secretId=one) == DENIED
        lister = await other(s, "lister")
        assert await lister.errors("GetSecretLegacy", secretId=s.vault.id("plain")) == DENIED
        roleless = await other(s, "roleless")
        rights = ["You do not have permission to perform this operation."]
        assert await roleless.errors("GetSecretLegacy", secretId=s.vault.id("plain")) == rights
        assert s.vault.world.metrics.vault.views == 0


async def test_a_comment_is_asked_for_and_given_as_a_code_response() -> None:
    clock = Clock()
    async with soap(clock) as s:
        asked = await get(s, "why")
        said = "The requested Secret requires a comment when viewed."
        assert asked == {
            "Errors": [said],
            "SecretError": {
                "ErrorCode": "COMMENT",
                "ErrorMessage": said,
                "AllowsResponse": "true",
                "CommentTitle": "Comment",
                "AdditionalCommentTitle": "Ticket Number",
            },
        }
        assert "SecretError" in await get(s, "why", ("COMMENT", "  "))
        assert "SecretError" in await get(s, "why", ("TICKET", "because"))
        assert "SecretError" in await s.ask("GetSecretLegacy", secretId=s.vault.id("why"))
        assert s.vault.world.metrics.vault.views == 0
        assert "Secret" in await get(s, "why", ("comment", "because & why"), ("COMMENT", "later"))
        assert [row.notes for row in s.vault.world.vault.named("why").audits] == ["because & why"]
        assert "Secret" in await s.ask("GetSecretLegacy", secretId=s.vault.id("why"))
        clock.now += 300
        assert "SecretError" in await get(s, "why")


async def test_an_administrator_may_hide_every_error_text_but_no_code() -> None:
    async with soap(estate=ESTATE.replace("[vault]", '[vault]\nerror_text = "Something went wrong."')) as s:
        hidden = "Something went wrong."
        assert await s.errors("GetSecretLegacy", secretId=999) == [hidden]
        asked = await get(s, "why")
        error = asked["SecretError"]
        assert (asked["Errors"], error["ErrorCode"], error["ErrorMessage"]) == ([hidden], "COMMENT", hidden)
        assert "Secret" in await get(s, "why", ("COMMENT", "because"))


async def test_a_ticket_comes_as_the_additional_comment() -> None:
    async with soap() as s:
        code = {"ErrorCode": "COMMENT", "Comment": "because", "AdditionalComment": "T-1"}
        where = s.vault.id("why")
        await s.ask("GetSecret", secretId=where, codeResponses=[{"CodeResponse": code}])
        assert [(row.notes, row.ticket) for row in s.vault.world.vault.named("why").audits] == [("because", "T-1")]


async def test_a_double_lock_opens_by_a_code_response_with_its_password() -> None:
    async with soap() as s:
        error = (await get(s, "locked"))["SecretError"]
        assert (error["ErrorCode"], error["AllowsResponse"]) == ("DOUBLELOCK", "true")
        assert "Secret" not in await get(s, "locked", ("DOUBLELOCK", "wrong"))
        assert "Secret" in await get(s, "locked", ("DOUBLELOCK", "KMS-second"))


async def test_approval_is_a_matter_of_others() -> None:
    async with soap() as s:
        error = (await get(s, "ask"))["SecretError"]
        assert (error["ErrorCode"], error["AllowsResponse"]) == ("APPROVAL", "false")
        assert "Secret" not in await get(s, "ask", ("APPROVAL", "please"))
        assert "Secret" in await get(await other(s, "boss"), "ask")


async def test_a_hidden_password_is_blank_to_whom_it_is_hidden_from() -> None:
    async with soap(estate=ESTATE + '[[vault.users]]\nname = "blind"\npermissions = ["View Secret"]\n') as s:
        blind = await other(s, "blind")
        for who, shown in ((s, s.vault.world.vault.named("shy").material.password), (blind, "")):
            items = (await get(who, "shy"))["Secret"]["Items"]
            assert {i["FieldName"]: i["Value"] for i in items}["Password"] == shown


async def test_attachments_are_downloaded_by_item_and_without() -> None:
    async with soap() as s:
        stored = s.vault.world.vault.named(KEY)
        items = {i["FieldName"]: i for i in (await get(s, KEY))["Secret"]["Items"]}
        assert items["Private Key"]["Value"] == "*** Not Valid For Display ***"
        item = int(items["Private Key"]["Id"])
        found = await s.ask("DownloadFileAttachmentByItemId", secretId=stored.id, secretItemId=item)
        assert base64.b64decode(found["FileAttachment"]) == stored.material.private_key_file()
        assert found["FileName"] == "id_ed25519"
        assert await s.ask("DownloadFileAttachment", secretId=stored.id) == found
        assert s.vault.world.metrics.vault.field_reads == 2
        none = ["The field does not exist or has no file."]
        password = int(items["Password"]["Id"])
        for wrong in (0, password, 99999):
            assert await s.errors("DownloadFileAttachmentByItemId", secretId=stored.id, secretItemId=wrong) == none
        assert await s.errors("DownloadFileAttachment", secretId=s.vault.id("plain")) == none
        for hidden in (s.vault.id("hidden"), 999):
            assert await s.errors("DownloadFileAttachment", secretId=hidden) == DENIED
        assert s.vault.world.metrics.vault.field_reads == 2


async def test_the_audit_is_newest_first_and_has_addresses() -> None:
    async with soap() as s:
        await get(s, "out")
        where = s.vault.id("out")
        rows = (await s.ask("GetSecretAudit", secretId=where))["SecretAudits"]
        assert [(row["Action"], row["IpAddress"], row["ByUserDisplayName"]) for row in rows] == [
            ("VIEW", "127.0.0.1", "svc_scan"),
            ("CHECK OUT", "127.0.0.1", "svc_scan"),
        ]
        assert {(row["SecretId"], row["SecretName"], row["UserId"]) for row in rows} == {(str(where), "out", "2")}
        assert list(rows[0])[2] == "DateRecorded"
        roleless = await other(s, "lister")
        assert await roleless.errors("GetSecretAudit", secretId=where) == DENIED


async def test_a_secret_is_expired_by_an_editor_and_deactivated_by_an_owner() -> None:
    async with soap() as s:
        boss, where = await other(s, "boss"), s.vault.id("plain")
        for operation in ("ExpireSecret", "DeactivateSecret"):
            assert await s.errors(operation, secretId=where) == DENIED
            assert await boss.ask(operation, secretId=where) == {"Errors": []}
        stored = s.vault.world.vault.named("plain")
        assert (stored.expired, stored.active) == (True, False)
        assert await s.errors("GetSecretLegacy", secretId=where) == DENIED


# -- searches ----------------------------------------------------------------------------------------------------------


async def found(s: Soap, operation: str, **arguments: Any) -> list[str]:
    result = await s.ask(operation, **arguments)
    assert result["Errors"] == []
    return [row["SecretName"] for row in result["SecretSummaries"]]


async def test_searches_leave_out_what_is_restricted_or_inactive_unless_asked() -> None:
    async with soap() as s:
        everything = {"searchTerm": "", "includeDeleted": True, "includeRestricted": True}
        legacy = await found(s, "SearchSecretsLegacy", searchTerm="")
        assert legacy == ["hidden", KEY, "out", "plain", "shy"]
        assert await found(s, "SearchSecrets", **everything) == sorted([*legacy, "ask", "gone", "locked", "why"])
        assert await found(s, "SearchSecrets", **everything | {"includeRestricted": False}) == sorted([*legacy, "gone"])
        assert await found(s, "SearchSecrets", searchTerm="CORP.example") == ["plain"]
        assert await found(s, "SearchSecrets", searchTerm="nothing") == []
        summary = (await s.ask("SearchSecrets", searchTerm="out"))["SecretSummaries"][0]
        stored = s.vault.world.vault.named("out")
        assert summary == {
            "SecretId": str(stored.id),
            "SecretName": "out",
            "SecretTypeName": "Unix Account (SSH)",
            "SecretTypeId": "6007",
            "FolderId": str(stored.folder_id),
            "IsRestricted": "true",
        }
        assert s.vault.world.metrics.vault.views == 0
        assert s.vault.world.metrics.vault.searches == 6


async def test_searches_by_folder_and_by_field() -> None:
    async with soap() as s:
        scan, windows = (s.vault.world.vault.folders.at_path(p) for p in ("\\Scan", "\\Scan\\Windows"))
        assert scan is not None
        assert windows is not None
        where = {"searchTerm": "plain", "folderId": scan.id, "includeSubFolders": True}
        assert await found(s, "SearchSecretsByFolder", **where) == ["plain"]
        assert await found(s, "SearchSecretsByFolder", **where | {"includeSubFolders": False}) == []
        assert await found(s, "SearchSecretsByFolderLegacy", searchTerm="", folderId=windows.id) == ["plain"]
        machine = {"fieldName": "Machine", "searchTerm": "DC1.corp.example"}
        assert await found(s, "SearchSecretsByFieldValue", **machine) == ["plain"]
        assert await found(s, "SearchSecretsByFieldValue", **machine | {"searchTerm": "dc1"}) == []
        password = s.vault.world.vault.named("plain").material.password
        assert await found(s, "SearchSecretsByFieldValue", fieldName="Password", searchTerm=password) == []


async def test_a_search_by_exposed_field_takes_the_whole_value_or_a_part_as_it_is_told() -> None:
    operation = "SearchSecretsByExposedFieldValue"
    whole = {"fieldName": "Machine", "searchTerm": "DC1.corp.example", "showPartialMatches": False}
    part = whole | {"searchTerm": "dc1", "showPartialMatches": True}
    async with soap() as s:
        assert await found(s, operation, **whole) == ["plain"]
        assert await found(s, operation, **whole | {"searchTerm": "dc1"}) == []
        assert await found(s, operation, **part) == ["plain"]
        password = s.vault.world.vault.named("plain").material.password
        assert await found(s, operation, **whole | {"fieldName": "Password", "searchTerm": password}) == []
        assert s.vault.world.metrics.vault.views == 0
    async with soap(estate=ESTATE.replace("[vault]", '[vault]\nexposed = ["username"]')) as s:
        assert await found(s, operation, **whole) == []
        assert await found(s, "SearchSecretsByFieldValue", fieldName="Machine", searchTerm="dc1.corp.example") == [
            "plain"
        ]


async def test_secrets_by_field_value_show_what_is_exposed_alone_and_are_no_view() -> None:
    async with soap() as s:
        asked = {"fieldName": "machine", "searchTerm": "dc1.corp.example", "showDeleted": False}
        (secret,) = (await s.ask("GetSecretsByFieldValue", **asked))["Secrets"]
        assert [item["FieldName"] for item in secret["Items"]] == ["Machine", "Username"]
        assert s.vault.world.metrics.vault.views == 0
        assert s.vault.world.vault.named("plain").audits == []
        lister = await other(s, "lister")
        assert await lister.ask("GetSecretsByFieldValue", **asked) == {"Errors": [], "Secrets": []}


# -- check-out ---------------------------------------------------------------------------------------------------------


async def test_a_read_checks_out_and_a_check_in_ends_it() -> None:
    clock = Clock()
    async with soap(clock) as s:
        boss, where = await other(s, "boss"), s.vault.id("out")
        free: dict[str, Any] = {
            "Errors": [],
            "CheckOutMinutesRemaining": None,
            "IsCheckedOut": "false",
            "CheckOutUserDisplayName": "",
            "CheckOutUserId": None,
        }
        assert await s.ask("GetCheckOutStatus", secretId=where) == free
        secret = (await get(s, "out"))["Secret"]
        held = {"CheckOutMinutesRemaining": "10", "IsCheckedOut": "true"}
        held |= {"CheckOutUserDisplayName": "svc_scan", "CheckOutUserId": "2"}
        assert {name: secret[name] for name in held} == held
        clock.now += 61
        held["CheckOutMinutesRemaining"] = "9"
        assert await boss.ask("GetCheckOutStatus", secretId=where) == {"Errors": []} | held
        refused = await get(boss, "out")
        assert (refused["Errors"], "Secret" in refused) == (["The requested Secret is checked out by svc_scan."], False)
        assert refused["SecretError"]["AllowsResponse"] == "false"
        assert await s.ask("CheckIn", secretId=where) == {"Errors": []}
        assert await s.ask("GetCheckOutStatus", secretId=where) == free
        assert await s.errors("CheckIn", secretId=where) == ["The Secret is not checked out."]
        seen = s.vault.world.metrics.vault
        assert (seen.checkouts, seen.checkins, seen.forced_checkins) == (1, 1, 0)


async def test_anothers_check_out_is_ended_by_permission_only() -> None:
    async with soap() as s:
        boss, abroad, where = await other(s, "boss"), await other(s, "abroad"), s.vault.id("out")
        await get(s, "out")
        held = ["The requested Secret is checked out by svc_scan."]
        assert await abroad.errors("CheckIn", secretId=where) == held
        assert await boss.ask("CheckIn", secretId=where) == {"Errors": []}
        assert s.vault.world.metrics.vault.forced_checkins == 1
        assert await s.errors("CheckIn", secretId=999) == DENIED


async def test_check_out_is_switched_on_and_off_by_owners() -> None:
    async with soap() as s:
        boss, where = await other(s, "boss"), s.vault.id("plain")
        how = {"secretId": where, "setCheckOut": True, "setPasswordChangeOnCheckIn": True, "checkOutInterval": 5}
        assert await s.errors("SetCheckOutEnabled", **how) == DENIED
        assert await boss.ask("SetCheckOutEnabled", **how) == {"Errors": []}
        asks = s.vault.world.vault.named("plain").security
        assert (asks.checkout, asks.change_on_checkin, asks.checkout_interval) == (True, True, 300.0)
        wrong = ["The value of checkOutInterval is not valid."]
        assert await boss.errors("SetCheckOutEnabled", **how | {"checkOutInterval": 0}) == wrong
        del how["checkOutInterval"]
        assert await boss.ask("SetCheckOutEnabled", **how | {"setCheckOut": False}) == {"Errors": []}
        asks = s.vault.world.vault.named("plain").security
        assert (asks.checkout, asks.checkout_interval) == (False, 300.0)
        assert await boss.errors("SetCheckOutEnabled", **how | {"secretId": 999}) == DENIED
