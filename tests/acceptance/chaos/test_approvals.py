"""Secrets whose access has to be approved: asked for once per run, waited for without dialling, whatever is killed."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command, Report
from tests.acceptance.lab import Lab, running_lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Start = Callable[..., Command]

BOSS, PASSWORD = "boss", "KMS-000000000000000000000000"
GUARDED = [f"127.66.0.{n}" for n in range(1, 7)]
FREE = [f"127.67.0.{n}" for n in range(1, 4)]
ALL = len(GUARDED) + len(FREE)
SECRET = "unix-shared-1"
ESTATE = f"""
[[vault.users]]
name = "{BOSS}"
password = "{PASSWORD}"
[[hosts]]
count = {len(GUARDED)}
network = "127.66.0.0/16"
secret = "shared"
[[hosts]]
count = {len(FREE)}
network = "127.67.0.0/16"
"""
ASK = 'approval = "request"\ncomment = "{campaign}, run {run}: {target}"\nticket = "CHG-4711"'


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Lab]:
    with running_lab(tmp_path, ESTATE) as lab:
        lab.secret_security(secret_of(lab), approvers=[BOSS], ticket="CHG-[0-9]+")
        yield lab


def secret_of(lab: Lab) -> str:
    [name] = {host["secret"] for host in lab.hosts if host["address"] in GUARDED}
    return str(name)


def campaign(lab: Lab, directory: Path, terms: str = ASK, name: str = "guarded") -> str:
    file, records = directory / f"{name}.toml", ""
    for title, secret, ips in (("Guarded", secret_of(lab), GUARDED), ("Free", "unix-{address}", FREE)):
        records += f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "{secret}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {ips}
"""
    targets = f"[targets]\ninclude = {GUARDED + FREE}\n[pace]\nretries = 0\n"
    file.write_text(f'name = "{name}"\n{lab.vault_table(more=terms)}{records}{targets}', encoding="utf-8")
    return str(file)


class Approver:
    """The approver, over the vault's REST API."""

    def __init__(self, lab: Lab) -> None:
        self._url = lab.ready["vault_url"]
        form = {"grant_type": "password", "username": BOSS, "password": PASSWORD}
        self._token = ""
        self._token = self._ask("/oauth2/token", urllib.parse.urlencode(form).encode())["access_token"]

    def requests(self, status: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("/api/v1/secret-access-requests?take=100")["records"]
        return [one for one in found if status in ("", one["status"])]

    def waits(self) -> dict[str, Any]:
        """The one request that is pending, once it is there."""
        until(lambda: bool(self.requests("Pending")), "an access request")
        [request] = self.requests("Pending")
        return request

    def answer(self, status: str, comment: str = "") -> None:
        body = {"secretAccessRequestId": self.waits()["secretAccessRequestId"], "status": status}
        self._ask("/api/v1/secret-access-requests", json.dumps({**body, "responseComment": comment}).encode(), "PUT")

    def _ask(self, path: str, body: bytes | None = None, method: str | None = None) -> dict[str, Any]:
        kind = "application/json" if self._token else "application/x-www-form-urlencoded"
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        request = urllib.request.Request(self._url + path, body, headers, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return dict(json.load(answer))


def logons(lab: Lab, addresses: list[str]) -> int:
    hosts = lab.metrics()["hosts"]
    return sum(len(hosts[address]["logons"]) for address in addresses)


def dialled(lab: Lab) -> int:
    return int(lab.metrics()["ssh"]["connections"])


def free_are_done(lab: Lab) -> None:
    """All others have gone on, and nobody has dialled a host for nothing."""
    until(lambda: logons(lab, FREE) == len(FREE), "the logins that need no approval")
    assert (logons(lab, GUARDED), dialled(lab)) == (0, len(FREE))


def ended(command: Command, guarded: str) -> Report:
    assert command.wait() == 0, command.said
    report = command.report()
    report.is_exact(ALL)
    assert report.reasons == Counter([guarded] * len(GUARDED)) + Counter(["PASSED"] * len(FREE)), command.said
    return report


def test_it_is_asked_for_once_and_the_run_goes_on_when_it_comes(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path))
    request = boss.waits()
    free_are_done(vault)
    secret = secret_of(vault)
    assert request["requestComment"] == f"guarded, run {command.run}: all targets of secret {secret}"
    assert request["ticketNumber"] == "CHG-4711"
    assert dialled(vault) == len(FREE)
    boss.answer("Approved", "go on")
    until(lambda: logons(vault, GUARDED) == len(GUARDED), "the logins")
    ended(command, "PASSED")
    assert [one["status"] for one in boss.requests()] == ["Approved"]
    assert [row["action"] for row in vault.audit_of(secret)["rows"]].count("ACCESS REQUEST") == 1
    # The next run finds it approved, and asks nobody.
    ended(start("run", campaign(vault, tmp_path)), "PASSED")
    assert len(boss.requests()) == 1


def test_denied_with_the_approvers_words(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path))
    free_are_done(vault)
    boss.answer("Denied", "not on a Friday")
    number = boss.requests()[0]["secretAccessRequestId"]
    report = ended(command, "SECRET_NEEDS_APPROVAL")
    text = f"access request {number} is denied by {BOSS}: not on a Friday"
    assert report.texts("SECRET_NEEDS_APPROVAL") == {text}
    assert (len(boss.requests()), logons(vault, GUARDED), vault.vault_seen()["views"]) == (1, 0, len(FREE))


def test_nobody_answers_and_the_request_is_taken_back(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path, f'{ASK}\napproval_wait = "4s"'))
    report = ended(command, "SECRET_NEEDS_APPROVAL")
    [text] = report.texts("SECRET_NEEDS_APPROVAL")
    assert " is pending since 20" in text
    assert text.endswith("nobody has answered within 4 s (approval_wait)")
    assert [one["status"] for one in boss.requests()] == ["Canceled"]


def test_the_default_files_nothing(start: Start, vault: Lab, tmp_path: Path) -> None:
    ended(start("run", campaign(vault, tmp_path, 'ticket = "CHG-1"')), "SECRET_NEEDS_APPROVAL")
    assert Approver(vault).requests() == []


@pytest.mark.parametrize("status", ["Approved", "Denied"])
def test_a_killed_orchestrator_files_it_once(start: Start, vault: Lab, tmp_path: Path, status: str) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path))
    boss.waits()
    free_are_done(vault)
    run = command.run
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    resumed = start("run", "--resume", run)
    until(lambda: "planned" in resumed.said, "the resumed run")
    boss.answer(status, "at last")
    ended(resumed, "PASSED" if status == "Approved" else "SECRET_NEEDS_APPROVAL")
    assert [one["status"] for one in boss.requests()] == [status]


def test_one_that_was_denied_while_nobody_looked_is_not_filed_anew(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path))
    boss.waits()
    free_are_done(vault)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    boss.answer("Denied", "no")
    ended(start("run", "--resume", command.run), "SECRET_NEEDS_APPROVAL")
    assert [one["status"] for one in boss.requests()] == ["Denied"]


def test_an_interrupted_run_leaves_it_and_finds_it(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    command = start("run", campaign(vault, tmp_path))
    boss.waits()
    free_are_done(vault)
    command.interrupt()
    assert command.wait() == 130
    assert "access requests are left open" in command.said
    boss.answer("Approved")
    ended(start("run", "--resume", command.run), "PASSED")
    assert len(boss.requests()) == 1


def test_two_runs_wait_for_one_request(start: Start, vault: Lab, tmp_path: Path) -> None:
    boss = Approver(vault)
    first = start("run", campaign(vault, tmp_path, f'{ASK}\napproval_wait = "25s"', "one"))
    boss.waits()
    free_are_done(vault)
    second = start("run", campaign(vault, tmp_path, ASK, "two"))
    until(lambda: "submitted to process" in second.said, "the second run")
    until(lambda: logons(vault, FREE) == 2 * len(FREE), "the second run's other logins")
    until(lambda: "staying until" in first.said, "the first run's end")
    assert [one["status"] for one in boss.requests()] == ["Pending"], "the other run waits for it"
    boss.answer("Approved")
    ended(second, "PASSED")
    ended(first, "SECRET_NEEDS_APPROVAL")
    assert [one["status"] for one in boss.requests()] == ["Approved"]
