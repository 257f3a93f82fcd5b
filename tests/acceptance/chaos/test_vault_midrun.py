"""The vault in the middle of a run: away for a while or for good, its login refused, a password rotated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.estates import AMPLE, HELD, HOSTS, Estate, estate
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command, Report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MIDDLE = 120
FEW, SOON = 'latency = "30ms"', 40
"""With one account for all, two are let in at once: then this is what takes time, and a middle with much before it."""
SECRET = "corp-scan"

Start = Callable[..., Command]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Estate]:
    """Each with an account and a secret of its own."""
    with estate(tmp_path, f'account = "local"\n{HELD}') as running:
        yield running


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Estate]:
    """All with one directory account."""
    with estate(tmp_path, f'account = "corp"\nsecret = "shared"\nsecret_name = "{SECRET}"\n{FEW}') as running:
        yield running


def begin(start: Start, hosts: Estate, record: str, pace: str = "", middle: int = MIDDLE) -> Command:
    command = start("run", str(hosts.campaign(record=record, pace=pace, deadline=AMPLE)))
    until(lambda: hosts.logons() >= middle or command.process.poll() is not None, "the middle of the run")
    assert command.process.poll() is None, command.said
    return command


OWN = 'secret = "unix-{address}"\naccounts = "local"'
CORP = f'secret = "{SECRET}"\naccounts = "corp"'


def ended(command: Command) -> Report:
    assert command.wait() == 0, command.said
    report = command.report()
    report.is_exact()
    return report


def failed_logons(hosts: Estate) -> int:
    return sum(account["failed"] for account in hosts.metrics()["accounts"].values())


def test_a_vault_that_comes_back_within_the_patience(start: Start, hosts: Estate) -> None:
    """Nothing is lost by it, and nobody is logged in to twice for it."""
    command = begin(start, hosts, OWN)
    hosts.vault_faults("down")
    before = hosts.vault_requests()
    until(lambda: hosts.vault_requests() >= before + 10, "the vault to be missed")
    hosts.vault_faults()
    assert ended(command).reasons == {"PASSED": HOSTS}
    assert hosts.most_logons_on_a_host() == 1


def test_a_vault_that_stays_away(start: Start, hosts: Estate) -> None:
    """Those who needed it say so, with the vault's own words, as failures of their technology."""
    command = begin(start, hosts, OWN, pace='vault_patience = "2s"')
    hosts.vault_faults("error")
    report = ended(command)
    assert set(report.reasons) == {"PASSED", "VAULT_ERROR"}
    assert report.reasons["PASSED"] >= MIDDLE
    assert report.texts("VAULT_ERROR") == {"An error has occurred."}
    for target in report.document["targets"]:
        qids = [finding["qid"] for finding in target["findings"]]
        assert qids == ([] if target["reason"] == "PASSED" else [105053])
    assert hosts.most_logons_on_a_host() == 1


def test_a_login_that_the_vault_no_longer_takes(start: Start, hosts: Estate) -> None:
    """It is tried once more and never again: the vault would lock it after five."""
    command = begin(start, hosts, OWN)
    hosts.vault_faults("expire_tokens", "refuse")
    report = ended(command)
    assert set(report.reasons) == {"PASSED", "VAULT_LOGIN_REFUSED"}
    assert report.reasons["VAULT_LOGIN_REFUSED"] > 0
    assert hosts.metrics()["vault"]["failed_grants"] == 1


def test_tokens_that_die(start: Start, hosts: Estate) -> None:
    """One new grant, whoever of the many asked first; the run goes on."""
    command = begin(start, hosts, OWN)
    hosts.vault_faults("expire_tokens")
    assert ended(command).reasons == {"PASSED": HOSTS}
    seen = hosts.metrics()["vault"]
    assert (seen["grants"], seen["failed_grants"]) == (2, 0)


def test_a_rotation(start: Start, shared: Estate) -> None:
    """Who had the old password in hand fails within the budget, sees the new one, and gets in with that. Where all
    permits that were out had the old one, the budget is spent: the rest wait for another run.
    """
    command = begin(start, shared, CORP, middle=SOON)
    shared.rotate(SECRET, "both")
    reasons = ended(command).reasons
    if (failed := failed_logons(shared)) < 2:
        assert reasons == {"PASSED": HOSTS}
    else:
        assert failed == 2
        assert reasons.keys() == {"PASSED", "SKIPPED_BREAKER"}


def test_a_rotation_that_the_vault_does_not_hear_of(start: Start, shared: Estate) -> None:
    """The breaker opens; the account is not locked by the hundreds that are left."""
    command = begin(start, shared, CORP, middle=SOON)
    shared.rotate(SECRET, "hosts")
    reasons = ended(command).reasons
    assert reasons.keys() == {"PASSED", "BAD_CREDENTIALS", "SKIPPED_BREAKER"}
    assert 1 <= failed_logons(shared) <= 2
    assert reasons["SKIPPED_BREAKER"] > HOSTS // 2
