"""What stands between a user and a secret: rights, check-out, comment, approval, double lock, hidden passwords."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.targets.targets_lab import Clock, Vault, vault

DENIED = (400, {"errorCode": "API_AccessDenied", "message": "Access Denied"})

ESTATE = """
[vault]
rotation_time = 10
[[vault.users]]
name = "other"
[[vault.users]]
name = "boss"
permissions = ["View Secret", "Force Check In", "View Secret Audit"]
access = { '\\' = "owner" }
[[vault.users]]
name = "root"
permissions = ["Unlimited Administrator"]
[[vault.users]]
name = "lister"
access = { '\\' = "none", '\\Scan' = "list", '\\Scan\\Deep' = "view", '\\Scan\\out' = "view" }
[[vault.users]]
name = "roleless"
permissions = []
[[vault.users]]
name = "plain"
permissions = ["View Secret"]
[[secrets]]
name = "plain"
[[secrets]]
name = "deep"
folder = '\\Scan\\Deep\\Deeper'
[[secrets]]
name = "out"
security = { checkout = true, checkout_interval = "10m", change_on_checkin = true }
[[secrets]]
name = "keep"
security = { checkout = true }
[[secrets]]
name = "why"
security = { comment = true }
[[secrets]]
name = "both"
security = { checkout = true, comment = true }
[[secrets]]
name = "ask"
security = { approvers = ["boss"] }
[[secrets]]
name = "locked"
security = { double_lock = "KMS-second" }
[[secrets]]
name = "shy"
security = { hide_password = true }
"""


async def code(v: Vault, path: str, **body: Any) -> str:
    """The error code of a refusal; empty for 200."""
    status, answer = await (v.post(path, **body) if body else v.ask(path))
    return "" if status == 200 else str(answer.get("errorCode") or answer["message"])


async def standing(v: Vault, name: str) -> str:
    return str((await v.ask(f"v1/secrets/{v.id(name)}/state"))[1]["secretState"])


async def test_access_is_by_folder_and_secret_and_the_longest_path_counts() -> None:
    async with vault(ESTATE) as v:
        lister = await v.as_user("lister")
        _, page = await lister.ask("v1/secrets?filter.includeRestricted=true&take=99")
        assert len(page["records"]) == 9
        _, viewable = await lister.ask("v1/secrets?filter.permissionRequired=View&take=99")
        assert {r["name"] for r in viewable["records"]} == {"deep", "out"}
        assert await lister.ask(f"v1/secrets/{v.id('plain')}") == DENIED
        assert await standing(lister, "plain") == "CannotView"
        assert await code(lister, f"v1/secrets/{v.id('deep')}") == ""
        roleless = await v.as_user("roleless")
        status, body = await roleless.ask("v1/secrets/1")
        assert (status, "errorCode" in body) == (403, False)
        assert (await roleless.ask("v1/secrets/1/audits"))[0] == 403


async def test_a_view_checks_out_and_keeps_others_out_until_check_in() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        other, at = await v.as_user("other"), f"v1/secrets/{v.id('keep')}"
        assert await code(v, f"{at}?noAutoCheckout=true") == "API_CheckOutRequired"
        assert await code(v, f"{at}?autoCheckout=false") == "API_CheckOutRequired"
        assert await standing(v, "keep") == "RequiresCheckout"
        _, model = await v.ask(at)
        assert (model["checkedOut"], model["checkOutUserDisplayName"]) == (True, "svc_scan")
        assert (await v.ask(f"{at}?noAutoCheckout=true"))[0] == 200
        assert await code(other, at) == "API_CheckedOutByAnotherUser"
        _, state = await other.ask(f"{at}/state")
        assert (state["isCheckedOut"], state["isCheckedOutByCurrentUser"]) == (True, False)
        assert (state["checkedOutUserDisplayName"], state["checkOutMinutesRemaining"]) == ("svc_scan", 30)
        assert await code(other, f"{at}/check-in", forceCheckIn=True) == "API_CheckedOutByAnotherUser"
        assert (await v.ask(f"{at}/check-in", body={}))[1]["checkedOut"] is False
        assert await code(v, f"{at}/check-in", comment="again") == "API_SecretNotCheckedOut"
        _, state = await other.ask(f"{at}/state")
        assert state["checkOutMinutesRemaining"] is None
        assert (await other.ask(f"{at}/check-out", body={})) == (200, {"responseCodes": []})
        assert v.audit("keep") == [
            ("CHECK OUT", "svc_scan"), ("VIEW", "svc_scan"), ("VIEW", "svc_scan"),
            ("CHECK IN", "svc_scan"), ("CHECK OUT", "other"),
        ]  # fmt: skip
        seen = v.world.metrics.vault
        assert (seen.checkouts, seen.checkins, seen.forced_checkins) == (2, 1, 0)


async def test_a_check_out_ends_by_itself_can_be_extended_and_forced() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        await v.login()
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id('keep')}"
        await v.ask(f"{at}/check-out", body={})
        assert (await v.post(f"{at}/extend-check-out", data={"minutesToAdd": 5}))[1]["checkOutEndTime"]
        for wrong in ({"minutesToAdd": 0}, {"minutesToAdd": "5"}, {}):
            assert (await v.post(f"{at}/extend-check-out", data=wrong))[0] == 400
        assert await code(boss, f"{at}/extend-check-out", data={"minutesToAdd": 5}) == "API_CheckedOutByAnotherUser"
        clock.now += 34 * 60
        await v.login()
        assert (await v.ask(f"{at}/state"))[1]["isCheckedOutByCurrentUser"] is True
        clock.now += 61
        assert (await v.ask(f"{at}/state"))[1]["isCheckedOut"] is False
        assert v.audit("keep")[-1] == ("CHECK IN", "System")
        assert await code(v, f"{at}/extend-check-out", data={"minutesToAdd": 5}) == "API_SecretNotCheckedOut"
        await v.ask(at)
        await boss.login()
        assert await code(boss, at) == "API_CheckedOutByAnotherUser"
        assert await code(boss, f"{at}?forceCheckIn=true") == ""
        assert v.audit("keep")[-3:] == [("FORCED CHECK IN", "boss"), ("CHECK OUT", "boss"), ("VIEW", "boss")]
        assert v.world.service.checkouts.held() == 1
        assert (v.world.metrics.vault.automatic_checkins, v.world.metrics.vault.forced_checkins) == (1, 1)


async def test_a_view_can_check_in_behind_itself() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        at = f"v1/secrets/{v.id('keep')}"
        assert (await v.ask(f"{at}?autoCheckIn=true"))[0] == 200
        assert [action for action, _ in v.audit("keep")] == ["CHECK OUT", "VIEW", "CHECK IN"]


async def test_unlimited_administrators_need_no_check_out() -> None:
    async with vault(ESTATE) as v:
        root = await v.as_user("root")
        await v.login()
        at = f"v1/secrets/{v.id('keep')}"
        await v.ask(at)
        assert (await root.ask(at))[0] == 200
        assert await standing(root, "keep") == "None"
        assert v.audit("keep")[-1] == ("VIEW", "root")


async def test_a_check_in_changes_the_password_and_nobody_has_it_until_that_is_done() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        await v.login()
        at = f"v1/secrets/{v.id('out')}"
        _, before = await v.ask(f"{at}/fields/password")
        await v.ask(f"{at}/check-in", body={})
        assert await standing(v, "out") == "RequiresCheckoutPendingRPC"
        assert (await v.ask(f"{at}/state"))[1]["passwordChangePending"] is True
        assert await code(v, at) == "API_PasswordChangePending"
        assert await code(v, f"{at}?noAutoCheckout=true") == "API_PasswordChangePending"
        clock.now += 10
        _, after = await v.ask(f"{at}/fields/password")
        assert after != before
        assert ("PASSWORD CHANGE", "System") in v.audit("out")
        assert v.world.metrics.vault.password_changes == 1


async def test_a_comment_serves_for_its_interval_and_can_be_given_ahead() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        await v.login()
        at, comments = f"v1/secrets/{v.id('why')}", f"v1/secret-access-requests/secrets/{v.id('why')}/view-comment"
        assert await code(v, at) == "API_ValidateSecretAccessCommentRequired"
        assert await code(v, comments, comment=" ") == "API_ValidateSecretAccessCommentRequired"
        assert await code(v, comments, comment="audit 7", ticketNumber="INC-1") == ""
        assert await standing(v, "why") == "None"
        assert (await v.ask(at))[0] == 200
        other = await v.as_user("other")
        assert await standing(other, "why") == "RequiresComment"
        assert await code(other, f"{at}?autoComment=mine") == ""
        clock.now += 300
        assert await code(v, at) == "API_ValidateSecretAccessCommentRequired"
        rows = v.world.vault.search("why", exact=True)[0].audits
        assert [(r.action, r.notes, r.ticket) for r in rows][:2] == [("COMMENT", "audit 7", "INC-1"), ("VIEW", "", "")]
        assert {r.address for r in rows} == {"127.0.0.1"}


async def test_a_comment_comes_before_a_check_out() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        at = f"v1/secrets/{v.id('both')}"
        assert await standing(v, "both") == "RequiresCheckoutAndComment"
        assert await code(v, at) == "API_ValidateSecretAccessCommentRequired"
        assert v.world.metrics.vault.checkouts == 0
        assert await code(v, f"{at}/restricted", comment="x", noAutoCheckout=True) == "API_CheckOutRequired"
        assert await code(v, f"{at}/restricted", comment="x") == ""
        assert await standing(v, "both") == "None"


async def test_an_approval_holds_in_its_window_for_whoever_asked() -> None:
    clock = Clock()
    async with vault(ESTATE, clock) as v:
        await v.login()
        boss, other = await v.as_user("boss"), await v.as_user("other")
        secret, requests = v.id("ask"), "v1/secret-access-requests"
        assert await code(v, f"v1/secrets/{secret}") == "API_AccessRequestRequired"
        assert await standing(v, "ask") == "RequiresApproval"
        assert await code(boss, f"v1/secrets/{secret}") == ""
        status, filed = await v.post(requests, secretId=secret, requestComment="scan", ticketNumber="T-1")
        assert (status, filed["status"], filed["requestUsername"]) == (200, "Pending", "svc_scan")
        number = filed["secretAccessRequestId"]
        for who, answer in ((other, "Approved"), (v, "Approved")):
            denied = {"secretAccessRequestId": number, "status": answer}
            assert await who.ask(requests, body=denied, method="PUT") == DENIED
        approval = {"secretAccessRequestId": number, "status": "Approved", "responseComment": "fine"}
        assert (await boss.ask(requests, body=approval | {"status": "Perhaps"}, method="PUT"))[0] == 400
        status, approved = await boss.ask(requests, body=approval, method="PUT")
        assert (status, approved["status"], approved["responseUsername"]) == (200, "Approved", "boss")
        assert (await boss.ask(requests, body=approval, method="PUT"))[0] == 400
        assert await code(v, f"v1/secrets/{secret}") == ""
        assert (await v.ask(f"v1/secrets/{secret}/state"))[1]["approvalEnd"] == approved["expirationDate"]
        assert await code(other, f"v1/secrets/{secret}") == "API_AccessRequestRequired"
        clock.now += 3600
        await v.login()
        assert await code(v, f"v1/secrets/{secret}") == "API_AccessRequestRequired"
        assert (await v.ask(f"{requests}/{number}"))[1]["status"] == "Expired"
        assert v.audit("ask")[:3] == [("VIEW", "boss"), ("ACCESS REQUEST", "svc_scan"), ("ACCESS APPROVED", "boss")]


async def test_requests_are_listed_to_those_they_concern_denied_and_cancelled() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        boss, other = await v.as_user("boss"), await v.as_user("other")
        secret, requests = v.id("ask"), "v1/secret-access-requests"
        window = {"startDate": "2999-01-01T00:00:00", "expirationDate": "2999-01-02T00:00:00Z"}
        _, first = await v.post(requests, secretId=secret, requestComment="later", **window)
        _, second = await other.post(requests, secretId=secret, requestComment="now")
        assert (first["startDate"], first["expirationDate"]) == ("2999-01-01T00:00:00.000", "2999-01-02T00:00:00.000")
        ids = [first["secretAccessRequestId"], second["secretAccessRequestId"]]
        assert [r["secretAccessRequestId"] for r in (await boss.ask(requests))[1]["records"]] == ids[::-1]
        assert [r["secretAccessRequestId"] for r in (await v.ask(requests))[1]["records"]] == ids[:1]
        assert (await boss.ask(f"{requests}?filter.isMyRequest=true"))[1]["total"] == 0
        denial = {"secretAccessRequestId": ids[0], "status": "Denied"}
        assert (await boss.ask(requests, body=denial, method="PUT"))[1]["status"] == "Denied"
        assert await standing(v, "ask") == "RequiresApproval"
        cancel = {"secretAccessRequestId": ids[1], "status": "Canceled"}
        assert await v.ask(requests, body=cancel, method="PUT") == DENIED
        assert await boss.ask(requests, body=cancel, method="PUT") == DENIED
        assert (await other.ask(requests, body=cancel, method="PUT"))[1]["status"] == "Canceled"
        assert (await boss.ask(f"{requests}?filter.status=denied"))[1]["total"] == 1
        for wrong in ({"secretId": 999}, {"secretId": v.id("plain")}, {"secretId": secret, "startDate": "soon"}):
            assert (await v.post(requests, **wrong))[0] == 400
        back = {"startDate": "2020-01-02T00:00:00", "expirationDate": "2020-01-01T00:00:00"}
        assert list((await v.post(requests, secretId=secret, **back))[1]["modelState"]) == ["expirationDate"]


async def test_options_say_what_an_access_will_need() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        _, out = await v.ask(f"v1/secret-access-requests/secrets/{v.id('out')}/options")
        assert (out["requireCheckout"], out["customCheckoutIntervalMinutes"], out["isDefaultCheckoutInterval"]) == (
            True, 10, False,
        )  # fmt: skip
        _, ask = await v.ask(f"v1/secret-access-requests/secrets/{v.id('ask')}/options")
        assert (ask["enableRequiresApprovalForAccess"], ask["requireCheckout"]) == (True, False)


async def test_a_double_locked_secret_wants_its_password() -> None:
    async with vault(ESTATE) as v:
        root, at = await v.as_user("root"), f"v1/secrets/{v.id('locked')}"
        assert await standing(root, "locked") == "RequiresDoubleLockPassword"
        assert await code(root, at) == "API_DoubleLockPasswordRequired"
        assert await code(root, f"{at}/restricted", doubleLockPassword="wrong") == "API_DoubleLockPasswordRequired"
        assert await code(root, f"{at}/restricted", doubleLockPassword="KMS-second") == ""


@pytest.mark.parametrize(("how", "shown"), [("blank", ""), ("masked", "*** Not Valid For Display ***")])
async def test_a_hidden_password_is_shown_to_those_with_the_right_only(how: str, shown: str) -> None:
    async with vault(ESTATE.replace("[vault]", f'[vault]\nhidden_password = "{how}"')) as v:
        await v.login()
        plain, at = await v.as_user("plain"), f"v1/secrets/{v.id('shy')}"
        _, model = await plain.ask(at)
        assert {i["slug"]: i["itemValue"] for i in model["items"]}["password"] == shown
        assert {i["slug"]: i["itemValue"] for i in model["items"]}["username"] == "scan"
        assert (await plain.ask(f"{at}/fields/password"))[0] == 403
        assert (await v.ask(f"{at}/fields/password"))[0] == 200


async def test_check_out_settings_are_an_owners() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        boss, at = await v.as_user("boss"), f"v1/secrets/{v.id('plain')}"
        change = {
            "checkOutEnabled": {"dirty": True, "value": True},
            "checkOutIntervalMinutes": {"dirty": True, "value": 5},
        }
        assert await v.ask(f"{at}/security-checkout", body={"data": change}, method="PATCH") == DENIED
        _, set_to = await boss.ask(f"{at}/security-checkout", body={"data": change}, method="PATCH")
        assert (set_to["checkOutEnabled"], set_to["checkOutIntervalMinutes"]) == (True, 5)
        await v.ask(at)
        assert (await v.ask(f"{at}/state"))[1]["checkOutMinutesRemaining"] == 5
        off = {
            "checkOutEnabled": {"dirty": True, "value": False},
            "checkOutIntervalMinutes": {"dirty": False, "value": 0},
        }
        assert (await boss.ask(f"{at}/security-checkout", body={"data": off}, method="PATCH"))[1][
            "checkOutEnabled"
        ] is False
        assert (await v.ask(f"{at}/state"))[1]["isCheckedOut"] is False
        for minutes in (0, "5", None):
            wrong = {"data": {"checkOutIntervalMinutes": {"dirty": True, "value": minutes}}}
            assert (await boss.ask(f"{at}/security-checkout", body=wrong, method="PATCH"))[0] == 400
        comment = {"data": {"requiresComment": {"dirty": True, "value": True}}}
        assert (await boss.ask(f"{at}/security-general", body=comment, method="PATCH"))[1]["requiresComment"] is True
        assert await code(v, at) == "API_ValidateSecretAccessCommentRequired"
        locked = f"v1/secrets/{v.id('locked')}/security-checkout"
        assert (await boss.ask(locked, body={"data": change}, method="PATCH"))[0] == 400


async def test_nothing_is_written_in_read_only_mode() -> None:
    async with vault(ESTATE) as v:
        await v.login()
        boss, keep = await v.as_user("boss"), f"v1/secrets/{v.id('keep')}"
        v.world.service.mode.read_only = True
        assert (await v.ask("v1/healthcheck"))[1]["readOnlyMode"] is True
        assert (await v.ask(f"v1/secrets/{v.id('plain')}"))[0] == 200
        change = {"data": {"checkOutEnabled": {"dirty": True, "value": False}}}
        requests = "v1/secret-access-requests"
        for method, path, body in (
            ("GET", keep, None),
            ("POST", f"{keep}/check-out", {}),
            ("POST", f"{keep}/check-in", {}),
            ("POST", f"{keep}/extend-check-out", {"data": {"minutesToAdd": 1}}),
            ("POST", f"{keep}/change-password", {}),
            ("POST", f"{keep}/heartbeat", {}),
            ("PATCH", f"{keep}/security-checkout", change),
            ("POST", requests, {"secretId": v.id("ask")}),
            ("POST", f"{requests}/secrets/{v.id('why')}/view-comment", {"comment": "x"}),
        ):
            status, answer = await boss.ask(path, body=body, method=method)
            assert (status, answer.get("errorCode")) == (400, "API_ReadOnlyMode"), path
