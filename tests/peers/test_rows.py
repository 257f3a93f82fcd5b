"""Each row of the tables holds at a real server, and at the simulated host that stands for it: reason, what was
submitted, which logon was counted, and every fact that a scan reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

import pytest

from appliance.contract import Failure, Phase, RootBy, Technology
from appliance.reasons import REASONS, qids
from appliance.vault.credential import Credential
from orchestrator.score import right_reason
from targets.faults import FREE, HOST_FAULTS, OWN, SU, HostFault, Port, SecretState
from tests.peers.attempt import Attempt, attempt, make_job
from tests.peers.hosts import Estate, Host, OpenSsh, Samba, serving
from tests.peers.private import LOCKOUT_AFTER
from tests.peers.rows import CA_KNOWN, WRONG, Hash, Key, Known, Password, Row, Simulated
from tests.peers.smbd import Smbd
from tests.peers.sshd import Sshd
from tests.peers.unix_rows import UNIX_ROWS, UNIX_WITHOUT_SERVER
from tests.peers.windows_rows import WINDOWS_ROWS, WINDOWS_WITHOUT_SERVER

ROWS = (*UNIX_ROWS, *WINDOWS_ROWS)
NEWER_ROWS = tuple(row for row in UNIX_ROWS if not (row.server or row.sudo or row.root or row.user == "noshell"))
"""What the newer OpenSSH is held against: its small system has no sudo, su or further shells."""
SIMULATED = tuple(row for row in ROWS if isinstance(row.simulated, Simulated))
PHASES = {
    Technology.UNIX: (Phase.TCP, Phase.NEGOTIATE, Phase.KEX, Phase.AUTH, Phase.PRIVILEGE),
    Technology.WINDOWS: (Phase.TCP, Phase.NEGOTIATE, Phase.AUTH, Phase.PRIVILEGE),
}
"""Those of a login that passes."""


def of_a_server(fault: HostFault) -> bool:
    """Is it what a server does to a user? Else it is one of the network, of other services, or the vault's."""
    on_the_way = fault.trouble is not None and fault.right_secret
    readable = SecretState.READABLE is fault.secret is fault.root_secret
    return fault.port is Port.OPEN and not on_the_way and readable


def way_to_root(fault: HostFault) -> str:
    return next(way for way in (FREE, OWN, SU) if way in fault.roots)


OTHER_LOGINS = tuple(
    Row(
        technology=Technology.UNIX,
        name=f"{fault.name} by {login}",
        user="scan",
        reason=right_reason(Technology.UNIX, fault.name, login),
        simulated=Simulated(fault.name, login=login, root=way_to_root(fault)),
        held=Key("passphrase") if login == "key" else Password.RIGHT,
        known=Known.ANOTHER_KEY if fault.known_otherwise else Known.NOTHING,
        sudo=way_to_root(fault) != SU,
        root={FREE: None, OWN: RootBy.SUDO, SU: RootBy.SU}[way_to_root(fault)],
    )
    for login in ("keyboard-interactive", "key")
    for fault in HOST_FAULTS.values()
    if Technology.UNIX in fault.technologies and of_a_server(fault) and not (login == "key" and fault.spares_keys)
)
"""Each fault of an SSH host, for each way of logging in that is not by password: rows of simulated hosts alone."""


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with serving((*SIMULATED, *OTHER_LOGINS), tmp_path_factory.mktemp("rows")) as served:
        yield served


@pytest.mark.peer
@pytest.mark.parametrize("row", UNIX_ROWS, ids=lambda row: row.id)
async def test_row_at_sshd(sshd: Sshd, row: Row) -> None:
    await holds(row, OpenSsh(sshd, row))


@pytest.mark.peer
@pytest.mark.parametrize("row", NEWER_ROWS, ids=lambda row: row.id)
async def test_row_at_a_newer_sshd(newer_sshd: Sshd, row: Row) -> None:
    await holds(row, OpenSsh(newer_sshd, row))


@pytest.mark.peer
@pytest.mark.parametrize("row", WINDOWS_ROWS, ids=lambda row: row.id)
async def test_row_at_samba(smbds: dict[str, Smbd], row: Row) -> None:
    await holds(row, Samba(smbds[row.server], row))


@pytest.mark.parametrize("row", SIMULATED, ids=lambda row: row.id)
async def test_row_at_its_simulated_host(estate: Estate, row: Row) -> None:
    await holds(row, estate.host(row))


@pytest.mark.parametrize("row", OTHER_LOGINS, ids=lambda row: row.id)
async def test_a_fault_is_scored_by_the_way_of_logging_in(estate: Estate, row: Row) -> None:
    ended, _ = await attempted(row, estate.host(row))
    assert ended.reason == row.reason


async def holds(row: Row, host: Host) -> None:
    if row.locked_first and host.locks:
        await lock(row, host)
    ended, asked = await attempted(row, host)
    reason = REASONS[ended.reason]
    found = [qid.number for qid in qids(reason, row.technology)]
    assert (reason.code, reason.status, tuple(found)) == (row.reason, row.status, row.qids)
    assert (ended.submitted, asked) == (row.submitted, row.asks)
    if row.root is not None:
        assert ended.root_asked == row.root_asked
        assert host.root_failures() == host.tallied(row)
    assert host.logons() == host.worded(row.logons)
    should = {name: pattern.replace("USER", host.user) for name, pattern in row.pattern.items()}
    assert ended.facts.keys() == should.keys()
    assert {name: value for name, value in ended.facts.items() if not re.fullmatch(should[name], value)} == {}
    if isinstance(ended.result, Failure):
        assert re.fullmatch(row.says or ".*", ended.result.text)
        assert ended.result.phase is (row.ends_in or ended.result.phase)
        assert ended.facts.get("host_key_refused") in (None, host.host_key)
    else:
        assert ended.phases == PHASES[row.technology]
        assert_its_own(row, host, ended)
    if row.reason == "PASSWORD_MUST_CHANGE":
        again, _ = await attempted(row, host)  # which would fail had the first one changed anything
        assert again.reason == row.reason


def assert_its_own(row: Row, host: Host, ended: Attempt) -> None:
    """What tells hosts apart is this one's."""
    if row.technology is Technology.WINDOWS:
        assert ended.negotiated is not None
        assert ended.negotiated.domain == ended.facts["netbios_domain"] == ended.facts["netbios_host"] == host.name
        return
    expected = host.host_key if row.known in (Known.ANOTHER_KEY, *CA_KNOWN) else [*host.known(), host.host_key][0]
    assert ended.facts["host_key"] == expected


async def lock(row: Row, host: Host) -> None:
    """As many wrong passwords as it takes; each is told from a locked account."""
    for _ in range(LOCKOUT_AFTER):
        ended, _ = await attempted(row, host, Credential(password=WRONG))
        assert ended.reason == "BAD_CREDENTIALS"
        assert len(host.logons()) == 1


async def attempted(row: Row, host: Host, credential: Credential | None = None) -> tuple[Attempt, bool]:
    """An attempt as the row has it, and whether the host came to ask for the credential."""
    asked: list[str] = []
    job = make_job(
        row.technology,
        host.user,
        host.port,
        address=host.address,
        domain=host.name if row.domain == "own" else row.domain,
        selection=row.selection,
        private_key=isinstance(row.held, Key) and credential is None,
        nt_hash=isinstance(row.held, Hash),
        sudo=row.sudo,
        root=row.root,
        root_user=row.root_user,
        host_keys=row.host_keys,
        crypto=row.crypto,
        known=host.known(),
        authorities=host.marked().authorities,
        revoked=host.marked().revoked,
    )
    ended = await attempt(
        job,
        credential or host.credential(),
        before_answer=lambda: asked.append("asked"),
        root_password=host.root_password(),
    )
    return ended, bool(asked)


# -- the tables themselves ---------------------------------------------------------------------------------------------


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


def of(row: Row) -> tuple[Technology, str, str]:
    assert isinstance(row.simulated, Simulated)
    return row.technology, row.simulated.fault, row.simulated.login


GROUPS = {group: {row.reason for row in rows} for group, rows in groupby(sorted(SIMULATED, key=of), key=of)}
"""The reasons that rows have for a fault, by technology, fault and way of logging in."""


@pytest.mark.parametrize(("technology", "fault", "login"), GROUPS, ids=str)
def test_what_is_right_for_a_fault_is_what_a_server_makes_of_it(technology: Technology, fault: str, login: str) -> None:
    assert right_reason(technology, fault, login) in GROUPS[technology, fault, login]


@pytest.mark.parametrize(
    ("technology", "unmatched"),
    [(Technology.UNIX, UNIX_WITHOUT_SERVER), (Technology.WINDOWS, WINDOWS_WITHOUT_SERVER)],
    ids=list(Technology),
)
def test_every_fault_is_held_against_a_server_or_says_why_not(
    technology: Technology, unmatched: Mapping[str, str]
) -> None:
    faults = {f.name for f in HOST_FAULTS.values() if technology in f.technologies and of_a_server(f)}
    matched = {fault for known, fault, login in GROUPS if (known, login) == (technology, "password")}
    assert matched | unmatched.keys() == faults
    assert matched.isdisjoint(unmatched)
