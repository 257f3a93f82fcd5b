"""One campaign over a real sshd and a real smbd, and the same over simulated hosts: for each row that it takes from the
tables of tests/peers the right reason and QID, and no logon too many.

Each case is a host of its own: an address of the real servers, on which each case has its own user, so that their logs
tell the cases apart; or a host of the estate. The credentials come from a simulated Secret Server. Each campaign is run
once, by the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.contract import Technology
from targets import estate, spec
from targets.material import Material, public_line
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Ended, Product, result_lines
from tests.peers.hosts import Host, OpenSsh, Samba, SimulatedHost
from tests.peers.private import ADDRESSES
from tests.peers.rows import Hash, Key, Row, Simulated
from tests.peers.smbd import Smbd
from tests.peers.sshd import Sshd
from tests.peers.unix_rows import UNIX_ROWS
from tests.peers.windows_rows import WINDOWS_ROWS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SEED = 5
DENIED = "Access Denied"
"""The vault's own words for a secret that may not be read."""
VAULT = {
    "missing": ("SECRET_NOT_FOUND", ""),
    "forbidden": ("SECRET_ACCESS_DENIED", DENIED),
    "inactive": ("SECRET_INACTIVE", ""),
}
"""What comes of a secret's state, and the vault's words for it."""
QIDS = {Technology.UNIX: (105053,), Technology.WINDOWS: (105015,)}


@dataclass(frozen=True, slots=True)
class Case:
    """A row, and how its secret stands in the vault; where that cannot be read, the row's host counts nothing."""

    row: Row
    state: str = ""

    @property
    def secret(self) -> str:
        return f"{self.row.user} secret"

    @property
    def reason(self) -> str:
        return VAULT[self.state][0] if self.state else self.row.reason

    @property
    def status(self) -> str:
        return {"PASSED": "Passed", "PRIV": "Passed*"}.get(self.reason.split("_")[0], "Failed")

    @property
    def qids(self) -> tuple[int, ...]:
        if self.status != "Failed":
            return ()
        locked = (105052,) if self.reason == "ACCOUNT_LOCKED" else ()
        return QIDS[self.row.technology] + locked


def _case(rows: tuple[Row, ...], name: str, state: str = "") -> Case:
    [row] = [row for row in rows if row.name == name]
    return Case(row, state)


CASES = (
    _case(UNIX_ROWS, "sudo"),
    _case(UNIX_ROWS, "sudo wants a password"),
    _case(UNIX_ROWS, "wrong password"),
    _case(UNIX_ROWS, "key: passphrase"),
    _case(UNIX_ROWS, "keyboard-interactive alone", "missing"),
    _case(UNIX_ROWS, "sudo for one command", "forbidden"),
    _case(UNIX_ROWS, "account expired, password"),
    _case(UNIX_ROWS, "nologin", "inactive"),
    _case(WINDOWS_ROWS, "administrator (plain)"),
    _case(WINDOWS_ROWS, "NT hash (LM:NT)"),
    _case(WINDOWS_ROWS, "a password where an NT hash should be"),
    _case(WINDOWS_ROWS, "no_admin (plain)"),
    _case(WINDOWS_ROWS, "uac_filtered (plain)"),
    _case(WINDOWS_ROWS, "wrong password (plain)"),
    _case(WINDOWS_ROWS, "disabled (plain)"),
    _case(WINDOWS_ROWS, "expired (plain)"),
    _case(WINDOWS_ROWS, "must_change (plain)", "missing"),
    _case(WINDOWS_ROWS, "logon_hours (plain)", "forbidden"),
    _case(WINDOWS_ROWS, "locked (plain)"),
)
VIEWS = {"wrong password": 2, "wrong password (plain)": 2, "key: passphrase": 2}
"""One view per login, two for a key (it is a field of its own); a refused password is looked at once more."""


@dataclass(frozen=True, slots=True)
class Campaigned:
    ended: Ended
    lab: Lab
    hosts: dict[str, Host]
    """By row."""
    logons: dict[str, list[str]]
    """By row: what its host counted during the run."""

    def row(self, case: Case) -> dict[str, Any]:
        named = (case.row.technology, self.hosts[case.row.id].address)
        [row] = [r for r in self.ended.targets if (r["technology"], r["target"]) == named]
        return row


# -- the hosts ---------------------------------------------------------------------------------------------------------


@contextmanager
def real(directory: Path, sshd: Sshd, smbd: Smbd) -> Iterator[tuple[Lab, dict[str, Host]]]:
    """The real servers, and a vault that holds what opens their accounts."""
    hosts: dict[str, Host] = {}
    free = {technology: iter(ADDRESSES) for technology in Technology}
    for case in CASES:
        unix = case.row.technology is Technology.UNIX
        host: OpenSsh | Samba = OpenSsh(sshd, case.row) if unix else Samba(smbd, case.row)
        host.address = next(free[case.row.technology])
        hosts[case.row.id] = host
        if isinstance(case.row.held, Key):
            key = Material(SEED, f"secret|{case.secret}")
            with (sshd.directory / "home" / case.row.user / "authorized_keys").open("a") as authorised:
                authorised.write(public_line(key.private_bytes) + "\n")
    passwords = {**sshd.passwords, **smbd.passwords}
    with running_lab(directory, _seeded(_own_secret(case, passwords[case.row.user]) for case in CASES)) as lab:
        yield lab, hosts


def _own_secret(case: Case, right: str) -> str:
    held = "" if isinstance(case.row.held, Key) else f'password = "{case.row.held.given(right)}"'
    lines = ["[[secrets]]", f'name = "{case.secret}"', f'template = "{case.row.technology}"']
    lines += [f'user = "{case.row.user}"', 'login = "key"' if isinstance(case.row.held, Key) else held]
    return "\n".join([*lines, f'state = "{case.state}"' if case.state else ""]) + "\n"


@contextmanager
def simulated(directory: Path) -> Iterator[tuple[Lab, dict[str, Host]]]:
    """An estate in which each case has a host, and its vault."""
    text = _seeded(_group(case) for case in CASES)
    what = estate.build(spec.parse(text))
    with running_lab(directory, text) as lab:
        yield lab, {c.row.id: SimulatedHost(lab, what, c.row, a) for c, a in zip(CASES, what.hosts, strict=True)}


def _group(case: Case) -> str:
    how = case.row.simulated
    assert isinstance(how, Simulated)
    fault = f"secret_{case.state}" if case.state else how.fault
    lines = {"technology": case.row.technology, "fault": fault, "login": how.login, "user": case.row.user}
    lines |= {"secret": "shared", "secret_name": case.secret}
    return "[[hosts]]\n" + "".join(f'{name} = "{value}"\n' for name, value in lines.items())


def _seeded(parts: Iterator[str]) -> str:
    return f"seed = {SEED}\n" + "".join(parts)


# -- the campaign ------------------------------------------------------------------------------------------------------


def record(case: Case, host: Host) -> str:
    windows = case.row.technology is Technology.WINDOWS
    return f"""
[[records]]
title = "{case.row.id}"
technology = "{case.row.technology}"
login_type = "Authentication Vault"
user = "{case.row.user}"
vault = "Vault"
secret = "{case.secret}"
port = {host.port}
ips = ["{host.address}"]
{'domain_type = "local"' if windows else 'accounts = "local"'}
{'root_delegation = "sudo"' if case.row.sudo else ""}
{"private_key = true" if isinstance(case.row.held, Key) else ""}
{"nt_hash = true" if isinstance(case.row.held, Hash) else ""}
"""


@pytest.fixture(scope="module", params=[pytest.param("real", marks=pytest.mark.peer), "simulated"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaigned]:
    directory = tmp_path_factory.mktemp(request.param)
    if request.param == "real":
        strict = request.getfixturevalue("smbds")["strict"]  # signing changes nothing about a row but its facts
        served = real(directory, request.getfixturevalue("sshd"), strict)
    else:
        served = simulated(directory)
    with served as (lab, hosts):
        records = "".join(record(case, hosts[case.row.id]) for case in CASES)
        addresses = ", ".join(f'"{address}"' for address in sorted({host.address for host in hosts.values()}))
        file = directory / "campaign.toml"
        file.write_text(f'name = "rows"\n{lab.vault_table()}{records}[targets]\ninclude = [{addresses}]\n')
        ended = Product(directory / "state").run(file)
        yield Campaigned(ended, lab, hosts, {name: host.logons() for name, host in hosts.items()})


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row.id}-{case.reason}")


def test_the_run_comes_to_its_end_with_one_outcome_for_each(ran: Campaigned) -> None:
    assert ran.ended.code == 0, ran.ended.stderr
    assert len(ran.ended.targets) == len(CASES)


@each_case
def test_reason_and_finding(ran: Campaigned, case: Case) -> None:
    row = ran.row(case)
    assert (row["reason"], row["status"]) == (case.reason, case.status), row["evidence"]
    assert tuple(finding["qid"] for finding in row["findings"]) == case.qids
    result = result_lines(row)
    assert result["Login"] == case.row.user
    assert (result["Vault title"], result["Vault type"]) == ("Vault", "Thycotic Secret Server")
    assert result["Secret name"] == case.secret
    assert result["Cause"].startswith(f"{case.reason}: ")
    assert VAULT.get(case.state, ("", ""))[1] in result["Evidence"]


@each_case
def test_logons_are_those_that_the_host_counted(ran: Campaigned, case: Case) -> None:
    expected = [] if case.state else ran.hosts[case.row.id].worded(case.row.logons)
    assert ran.logons[case.row.id] == expected
    assert ran.row(case)["evidence"]["submitted"] == bool(expected)


def test_the_vault_was_read_for_none_but_those_that_asked(ran: Campaigned) -> None:
    views = ran.lab.vault_seen()["views_by_secret"]
    assert views == {case.secret: VIEWS.get(case.row.name, 1) for case in CASES if not case.state}
    assert ran.lab.vault_seen()["grants"] == 1


def test_the_time_of_an_attempt_is_that_of_its_phases(ran: Campaigned) -> None:
    for row in ran.ended.targets:
        assert row["duration_ms"] == pytest.approx(sum(p["ms"] for p in row["evidence"]["phases"]), abs=0.01)
