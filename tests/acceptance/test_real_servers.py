"""One campaign over a real sshd and a real smbd: for each account the right reason and QID, and no logon too many.

Eight addresses are eight hosts; each case has a user of its own, so that the servers' logs tell the cases apart. The
credentials come from a simulated Secret Server. The campaign is run once, by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pytest

from targets.material import Material, public_line
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Ended, Product, result_lines
from tests.peers.private import ADDRESSES
from tests.peers.smbd import Smbd
from tests.peers.sshd import Sshd

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

SEED = 5
DENIED = "Access Denied"
"""The vault's own words for a secret that may not be read."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the vault holds for a user, what the campaign must make of it, and the verdicts that the server must log."""

    user: str
    reason: str
    status: str
    logons: tuple[str, ...]
    secret: str = ""
    """A line of the secret's table; without it the vault has the right password."""
    record: str = ""
    """Lines of the record."""
    qids: tuple[int, ...] = ()
    words: str = ""
    """Part of RESULT's evidence."""


UNIX = [
    Case("admin", "PASSED", "Passed", ("password ok",), record='root_delegation = "sudo"'),
    Case("good", "PRIV_SUDO_PASSWORD", "Passed*", ("password ok",), record='root_delegation = "sudo"'),
    Case("helper", "BAD_CREDENTIALS", "Failed", ("password failed",), 'password = "not it"', qids=(105053,)),
    Case("keyonly", "PASSED", "Passed", ("publickey ok",), 'login = "key"', "private_key = true"),
    Case("kbd", "SECRET_NOT_FOUND", "Failed", (), 'state = "missing"', qids=(105053,)),
    Case("clerk", "SECRET_ACCESS_DENIED", "Failed", (), 'state = "forbidden"', qids=(105053,), words=DENIED),
    Case("expired", "ACCOUNT_EXPIRED", "Failed", ("password failed",), qids=(105053,)),
    Case("noshell", "SECRET_INACTIVE", "Failed", (), 'state = "inactive"', qids=(105053,)),
]
WINDOWS = [
    Case("smbadmin", "PASSED", "Passed", ("OK",)),
    Case("smbgood", "PRIV_NOT_ADMIN", "Passed*", ("OK",)),
    Case("smblockout", "BAD_CREDENTIALS", "Failed", ("WRONG_PASSWORD",), 'password = "not it"', qids=(105015,)),
    Case("smbdisabled", "ACCOUNT_DISABLED", "Failed", ("ACCOUNT_DISABLED",), qids=(105015,)),
    Case("smbexpired", "ACCOUNT_EXPIRED", "Failed", ("ACCOUNT_EXPIRED",), qids=(105015,)),
    Case("smbmust", "SECRET_NOT_FOUND", "Failed", (), 'state = "missing"', qids=(105015,)),
    Case("vm_scan_account", "SECRET_ACCESS_DENIED", "Failed", (), 'state = "forbidden"', qids=(105015,), words=DENIED),
    Case("smblocked", "ACCOUNT_LOCKED", "Failed", ("ACCOUNT_LOCKED_OUT",), qids=(105015, 105052)),
]


def secret(technology: str, case: Case, right: str) -> str:
    held = case.secret if "password" in case.secret else f'password = "{right}"\n{case.secret}'
    template = f'name = "{case.user} secret"\ntemplate = "{technology}"\nuser = "{case.user}"'
    return f"[[secrets]]\n{template}\n{held}\n"


def record(technology: str, case: Case, address: str, port: int) -> str:
    local = 'domain_type = "local"' if technology == "windows" else 'accounts = "local"'
    return f"""
[[records]]
title = "{technology} {case.user}"
technology = "{technology}"
login_type = "Authentication Vault"
user = "{case.user}"
vault = "Vault"
secret = "{case.user} secret"
port = {port}
ips = ["{address}"]
{local}
{case.record}
"""


@dataclass(frozen=True, slots=True)
class Campaigned:
    ended: Ended
    lab: Lab
    logons: dict[str, tuple[str, ...]]
    """By user, as the servers logged them during the run."""

    def row(self, technology: str, address: str) -> dict[str, Any]:
        [row] = [r for r in self.ended.targets if (r["technology"], r["target"]) == (technology, address)]
        return row


def sshd_logons(sshd: Sshd, since: int) -> dict[str, tuple[str, ...]]:
    return {
        c.user: tuple(f"{v.method} {'ok' if v.ok else 'failed'}" for v in sshd.logons(c.user, since=since))
        for c in UNIX
    }


def smbd_logons(smbd: Smbd) -> dict[str, tuple[str, ...]]:
    """Of all time: these users are used by nobody else in this package."""
    return {c.user: tuple(v.status.removeprefix("NT_STATUS_") for v in smbd.logons(c.user)) for c in WINDOWS}


@pytest.fixture(scope="module")
def ran(sshd: Sshd, smbds: dict[str, Smbd], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigned]:
    smbd, directory = smbds["strict"], tmp_path_factory.mktemp("real")
    estate = f"seed = {SEED}\n" + "".join(
        chain(
            (secret("unix", c, sshd.passwords[c.user]) for c in UNIX),
            (secret("windows", c, smbd.passwords[c.user]) for c in WINDOWS),
        )
    )
    key = Material(SEED, "secret|keyonly secret")
    with (sshd.directory / "home" / "keyonly" / "authorized_keys").open("a") as authorised:
        authorised.write(public_line(key.private_bytes) + "\n")
    with running_lab(directory, estate) as lab:
        records = chain(
            (record("unix", c, a, sshd.port) for c, a in zip(UNIX, ADDRESSES, strict=True)),
            (record("windows", c, a, smbd.port) for c, a in zip(WINDOWS, ADDRESSES, strict=True)),
        )
        file = directory / "campaign.toml"
        targets = f'[targets]\ninclude = ["{ADDRESSES[0]}-{ADDRESSES[-1]}"]\n'
        file.write_text('name = "real"\n' + lab.vault_table() + "".join(records) + targets, encoding="utf-8")
        since, before = sshd.log.stat().st_size, smbd_logons(smbd)
        assert not any(before.values())
        ended = Product(directory / "state").run(file)
        yield Campaigned(ended, lab, {**sshd_logons(sshd, since), **smbd_logons(smbd)})


CASES = [
    pytest.param(technology, case, address, id=f"{technology}-{case.user}-{case.reason}")
    for technology, cases in (("unix", UNIX), ("windows", WINDOWS))
    for case, address in zip(cases, ADDRESSES, strict=True)
]


def test_the_run_comes_to_its_end_with_one_outcome_for_each(ran: Campaigned) -> None:
    assert ran.ended.code == 0, ran.ended.stderr
    assert len(ran.ended.targets) == len(UNIX) + len(WINDOWS)


@pytest.mark.parametrize(("technology", "case", "address"), CASES)
def test_reason_and_finding(ran: Campaigned, technology: str, case: Case, address: str) -> None:
    row = ran.row(technology, address)
    assert (row["reason"], row["status"]) == (case.reason, case.status), row["evidence"]
    assert tuple(finding["qid"] for finding in row["findings"]) == case.qids
    result = result_lines(row)
    assert result["Login"] == case.user
    assert (result["Vault title"], result["Vault type"]) == ("Vault", "Thycotic Secret Server")
    assert result["Secret name"] == f"{case.user} secret"
    assert result["Cause"].startswith(f"{case.reason}: ")
    assert case.words in result["Evidence"]


@pytest.mark.parametrize(("technology", "case", "address"), CASES)
def test_logons_are_those_that_the_server_counted(ran: Campaigned, technology: str, case: Case, address: str) -> None:
    assert ran.logons[case.user] == case.logons
    assert ran.row(technology, address)["evidence"]["submitted"] == bool(case.logons)


def test_the_vault_was_read_for_none_but_those_that_asked(ran: Campaigned) -> None:
    """One view per login, two for a key (it is a field of its own); a refused password is looked at once more."""
    views = ran.lab.vault_seen()["views_by_secret"]
    assert views == {
        "admin secret": 1,
        "good secret": 1,
        "helper secret": 2,
        "keyonly secret": 2,
        "expired secret": 1,
        "smbadmin secret": 1,
        "smbgood secret": 1,
        "smblockout secret": 2,
        "smbdisabled secret": 1,
        "smbexpired secret": 1,
        "smblocked secret": 1,
    }
    assert ran.lab.vault_seen()["grants"] == 1


def test_the_time_of_an_attempt_is_that_of_its_phases(ran: Campaigned) -> None:
    for row in ran.ended.targets:
        assert row["duration_ms"] == pytest.approx(sum(p["ms"] for p in row["evidence"]["phases"]), abs=0.01)
