"""The look at a session's rights: what is asked, what each answer means, and that none makes more than a reason."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Failure, Selection, Technology
from appliance.login import smb_members, smb_rights, smb_rpc
from appliance.login.bridge import StreamSession
from appliance.login.smb import local_account
from appliance.login.smb_requests import Answer, said
from appliance.login.smb_rpc import RpcError, RpcFault
from appliance.vault.credential import Credential
from targets.smb import rpc
from targets.smb.rpc import Fault, Pipe
from targets.smb.services import Registry, Sam, ServiceManager
from targets.smb.signing import Signer
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.test_smb_causes import VERDICT, signing
from tests.unit.targets.targets_lab import running

RIGHTS = ("admin_share", "disk_share", "service_control", "remote_registry")


async def look(fault: str, directory: Path, *, system: str = "server-2019", account: str = "local") -> Attempt:
    text = (
        f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.93.0.0/24"\nfault = "{fault}"\nsystem = "{system}"\n'
        f'account = "{account}"\n'
    )
    async with running(text, directory) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        password = world.estate.secrets[host.secret].material.password
        selection, domain = (Selection.LOCAL, "") if account == "local" else (Selection.USER_SELECTED, account)
        job = make_job(
            Technology.WINDOWS, host.user, ready.smb_port, address=address, selection=selection, domain=domain
        )
        return await attempt(job, Credential(password=password))


USER = {"admin_share": "no", "disk_share": "no", "service_control": "yes", "remote_registry": "no"}
ALL = dict.fromkeys(RIGHTS, "yes")


@pytest.mark.parametrize(
    ("fault", "facts", "text"),
    [
        ("none", ALL, ""),
        (
            "no_admin",
            USER,
            "ADMIN$: 0xc0000022 (members: RPC fault 0x00000005); C$: 0xc0000022; winreg: error 5",
        ),
        (
            "uac_filtered",
            USER,
            "ADMIN$: 0xc0000022, though the account is in Administrators; C$: 0xc0000022; winreg: error 5",
        ),
        ("no_admin_share", {**ALL, "admin_share": "off", "disk_share": "off"}, "ADMIN$: 0xc00000cc; C$: 0xc00000cc"),
        ("no_services", {**ALL, "service_control": "no"}, "svcctl: error 5"),
        ("no_registry", {**ALL, "remote_registry": "no"}, "winreg: error 5"),
        ("registry_off", {**ALL, "remote_registry": "off"}, "winreg: 0xc0000034"),
        ("registry_stuck", {**ALL, "remote_registry": "off"}, "winreg: 0xc00000ac"),
        ("registry_starting", ALL, ""),
    ],
)
async def test_every_right_is_a_fact_and_what_lacks_is_said(
    fault: str, facts: dict[str, str], text: str, tmp_path: Path
) -> None:
    ended = await look(fault, tmp_path)
    assert {name: ended.facts.get(name) for name in RIGHTS} == facts
    assert (ended.result.text if isinstance(ended.result, Failure) else "") == text


@pytest.mark.parametrize(
    ("fault", "system", "account", "reason", "told"),
    [
        ("no_admin", "server-2019", "local", "PRIV_NOT_ADMIN", "members: RPC fault 0x00000005"),
        ("no_admin", "server-2012-r2", "local", "PRIV_NOT_ADMIN", ""),  # it tells its members, and he is none
        ("uac_filtered", "server-2019", "local", "PRIV_UAC_FILTERED", "though the account is in Administrators"),
        ("uac_hidden", "server-2012-r2", "local", "PRIV_NOT_ADMIN", "members: RPC fault 0x00000005"),
        ("no_admin", "server-2012-r2", "CORP", "PRIV_NOT_ADMIN", ""),  # UAC filters no directory's account
    ],
)
async def test_a_filtered_administrator_is_told_where_the_host_tells(
    fault: str, system: str, account: str, reason: str, told: str, tmp_path: Path
) -> None:
    ended = await look(fault, tmp_path, system=system, account=account)
    assert ended.reason == reason
    assert isinstance(ended.result, Failure)
    assert told in ended.result.text
    assert ("members" in ended.result.text) is ("members" in told)


@pytest.mark.parametrize(
    ("user", "domain", "names", "expected"),
    [
        ("scan", "SRV1", ("srv1", "CORP"), ("srv1", "scan")),
        ("scan", ".", ("SRV1", "CORP"), ("SRV1", "scan")),
        ("scan", "", ("SRV1", "srv1"), ("SRV1", "scan")),  # a host without a domain has no accounts but its own
        ("scan", "CORP", ("SRV1", "CORP"), ("", "")),
        ("scan", "", ("SRV1", "CORP"), ("", "")),
        ("scan@corp.example", "", ("SRV1", "SRV1"), ("", "")),
        ("scan", "", ("", ""), ("", "")),
    ],
)
def test_whose_account_it_is(user: str, domain: str, names: tuple[str, str], expected: tuple[str, str]) -> None:
    host, of = names
    assert local_account(user, domain, {"netbios_host": host, "netbios_domain": of}) == expected


LOGIN = "><><><"
"""Dialect, challenge and verdict."""


@pytest.mark.parametrize(
    ("granted", "expected"),
    [(1, "><" * 10), (2, "><" + ">><<" * 4 + "><"), (64, "><>>>><<<<>><<>><<><")],
)
async def test_no_more_is_asked_at_once_than_the_host_takes(
    granted: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`>` is a request, `<` an answer; from the connected tree on, each answer grants so many requests."""
    said, sent, received = "", StreamSession.send_packet, StreamSession.recv_packet

    def send(session: StreamSession, data: bytes) -> None:
        nonlocal said
        said += ">"
        sent(session, data)

    def receive(session: StreamSession, timeout: float | None = None) -> Any:
        nonlocal said
        said += "<"
        return received(session, timeout)

    def grant(number: int, signer: Signer, message: bytes) -> bytes:
        if number > VERDICT:
            message = message[:14] + granted.to_bytes(2, "little") + message[16:]
        return right(signer, message)

    monkeypatch.setattr(StreamSession, "send_packet", send)
    monkeypatch.setattr(StreamSession, "recv_packet", receive)
    with signing(grant) as right:
        assert (await look("none", tmp_path)).reason == "PASSED"
    assert said == LOGIN + expected


# -- the messages ------------------------------------------------------------------------------------------------------


def sam(**how: object) -> Pipe:
    what = {"host": "SRV1", "user": "Scan", "administrator": True, "open": True, "seed": bytes(range(16))}
    return Pipe("samr", Sam(**{**what, **how}))  # type: ignore[arg-type]


def test_membership_is_asked_of_the_hosts_own_accounts() -> None:
    for user, host, administrator in (("scan", "srv1", True), ("SCAN", "SRV1", False)):
        pipe = sam(administrator=administrator)
        smb_rpc.read_bind(pipe.answer(smb_rpc.bind(smb_rpc.SAMR)))
        assert smb_members.is_administrator(pipe.answer, host, user) is administrator
    with pytest.raises(RpcError, match="0xc00000df"):
        smb_members.is_administrator(pipe.answer, "OTHER", "scan")
    with pytest.raises(RpcError, match="0xc0000073"):
        smb_members.is_administrator(pipe.answer, "SRV1", "nobody")
    closed = sam(open=False)
    closed.answer(smb_rpc.bind(smb_rpc.SAMR))
    with pytest.raises(RpcFault) as refused:
        smb_members.is_administrator(closed.answer, "SRV1", "scan")
    assert refused.value.status == smb_rpc.ACCESS_DENIED


def test_an_interface_that_is_not_there() -> None:
    pipe = Pipe("svcctl", ServiceManager(allowed=True))
    with pytest.raises(RpcError, match="refused"):
        smb_rpc.read_bind(pipe.answer(smb_rpc.bind(smb_rpc.WINREG)))
    with pytest.raises(RpcFault, match="0x1c010003"):
        smb_rpc.read_opened(pipe.answer(smb_rpc.open_service_manager()))


def test_no_more_is_asked_for_than_to_connect_and_to_query() -> None:
    assert ServiceManager(allowed=True).call(15, smb_rpc.open_service_manager()[24:])[20:] == bytes(4)
    assert Registry(allowed=True).call(2, smb_rpc.open_local_machine()[24:])[20:] == bytes(4)
    for more in (0x3, 0xF003F, 0x2):
        assert ServiceManager(allowed=True).call(15, struct.pack("<III", 0, 0, more))[20:] == struct.pack("<I", 5)
    with pytest.raises(Fault):
        ServiceManager(allowed=True).call(12, b"")  # RCreateServiceW


def answers() -> Iterator[bytes]:
    """Whatever a good server says in a look at members."""
    pipe, said_by = sam(), list[bytes]()

    def exchange(message: bytes) -> bytes:
        said_by.append(pipe.answer(message))
        return said_by[-1]

    exchange(smb_rpc.bind(smb_rpc.SAMR))
    smb_members.is_administrator(exchange, "SRV1", "scan")
    return iter(said_by)


ANSWERS = tuple(answers())


@given(st.randoms(use_true_random=False), st.integers(0, len(ANSWERS) - 1), st.integers(1, 8))
def test_damaged_answers_are_rpc_errors_or_nothing(rng: random.Random, at: int, bites: int) -> None:
    damaged = bytearray(ANSWERS[at])
    for _ in range(bites):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    end = rng.choice((len(damaged), rng.randrange(len(damaged))))
    script = iter([*ANSWERS[:at], bytes(damaged[:end]), *ANSWERS[at + 1 :]])
    with contextlib.suppress(RpcError):
        smb_rpc.read_bind(next(script))
        smb_members.is_administrator(lambda _: next(script), "SRV1", "scan")


@given(st.binary(max_size=80))
def test_any_bytes_are_rpc_errors_or_nothing(data: bytes) -> None:
    for read in (smb_rpc.read_bind, smb_rpc.read_opened, smb_rpc.read_response):
        with contextlib.suppress(RpcError):
            read(data)


@pytest.mark.parametrize(("start", "length"), [(0, 4), (64, 1 << 31), (112, 9), (0xFFFFFFFF, 1)])
def test_an_answer_that_points_out_of_its_message(start: int, length: int) -> None:
    body = struct.pack("<HHI16sIIIIII", 49, 0, 0, bytes(16), 112, 0, start, length, 0, 0) + b"12345678"
    with pytest.raises(struct.error):
        said(Answer(0, body, 1))


def test_both_sides_mean_the_same_by_a_fault() -> None:
    assert smb_rpc.ACCESS_DENIED == rpc.ACCESS_DENIED
    assert set(smb_rights.STARTING) < set(smb_rights.MISSING)
