"""Which of Kerberos and NTLM a host gets to see, by what its record says and what the domain controller does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from appliance.contract import KdcPlace, KerberosTerms, Phase, Selection, Technology
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.kdc import ASK, HOST, PROVE, REALM, SERVICE, USER, Kdc, closing, says, serving
from tests.unit.login.ssh_servers import peer
from tests.unit.login.test_smb_causes import CHALLENGE, between, refused
from tests.unit.targets.targets_lab import running

NTLM = b"NTLMSSP\0"
NTLM_REFUSED = 0xC00000BB
NOBODY = KdcPlace(host="127.0.0.1", port=1)


class Wire:
    """Between the appliance and a host: what the host gets to see."""

    def __init__(self) -> None:
        self.seen = b""

    @property
    def ntlm(self) -> int:
        """Messages of NTLM: a negotiation, and an answer."""
        return self.seen.count(NTLM)

    @asynccontextmanager
    async def to(self, address: str, port: int) -> AsyncIterator[int]:
        async def handle(client: SocketStream) -> None:
            async with client, await anyio.connect_tcp(address, port) as server, anyio.create_task_group() as both:

                async def downwards() -> None:
                    async for data in server:
                        await client.send(data)
                    both.cancel_scope.cancel()

                both.start_soon(downwards)
                async for data in client:
                    self.seen += data
                    await server.send(data)
                both.cancel_scope.cancel()

        async with peer(handle) as carried:
            yield carried


async def log_in(
    directory: Path,
    terms: KerberosTerms,
    *,
    selection: Selection = Selection.USER_SELECTED,
    password: str = "",
) -> tuple[Attempt, Wire]:
    text = f'[[hosts]]\ntechnology = "windows"\nnetwork = "127.93.0.0/24"\nuser = "{USER}"\n'
    wire = Wire()
    async with running(text, directory) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        right = world.estate.secrets[host.secret].material.password
        async with wire.to(address, ready.smb_port) as port:
            job = make_job(Technology.WINDOWS, USER, port, kerberos=terms, selection=selection)
            return await attempt(job, Credential(password=password or right)), wire


def terms(kdc: Kdc | None, *, required: bool, host: str = HOST) -> KerberosTerms:
    place = NOBODY if kdc is None else KdcPlace(host="127.0.0.1", port=kdc.port)
    return KerberosTerms(required=required, realm=REALM, kdcs=(place,), host=host)


async def test_required_and_no_controller_shows_the_host_nothing(tmp_path: Path) -> None:
    ended, wire = await log_in(tmp_path, terms(None, required=True))
    assert ended.reason == "KDC_UNREACHABLE"
    assert not ended.submitted
    assert ended.phases == (Phase.TCP, Phase.NEGOTIATE, Phase.KDC)
    assert wire.seen
    assert wire.ntlm == 0


async def test_preferred_and_no_controller_is_ntlm_and_says_so(tmp_path: Path) -> None:
    ended, wire = await log_in(tmp_path, terms(None, required=False))
    assert ended.reason == "PASSED"
    assert ended.facts["authentication"] == "NTLMv2"
    assert ended.facts["kerberos"].startswith("KDC_UNREACHABLE: 127.0.0.1: ")
    assert ended.facts["netbios_host"]
    assert not ended.proven
    assert wire.ntlm == 2


async def test_preferred_and_no_controller_and_no_ntlm(tmp_path: Path) -> None:
    text = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.93.0.0/24"\n'
    async with running(text, tmp_path) as (ready, world):
        [address] = world.estate.hosts
        async with between(address, ready.smb_port, CHALLENGE, refused(NTLM_REFUSED)) as port:
            job = make_job(Technology.WINDOWS, USER, port, kerberos=terms(None, required=False))
            ended = await attempt(job, Credential(password="any"))
    assert ended.reason == "NTLM_DISABLED"
    assert ended.facts["kerberos"].startswith("KDC_UNREACHABLE")
    assert not ended.submitted


@pytest.mark.parametrize("exchange", [ASK, PROVE, SERVICE])
@pytest.mark.parametrize("code", [6, 12, 18, 24, 37, 60])
async def test_no_refusal_has_the_host_see_ntlm(tmp_path: Path, exchange: str, code: int) -> None:
    kdc = Kdc()
    kdc.faults[exchange] = says(kdc.refusal(code))
    async with serving(kdc):
        ended, wire = await log_in(tmp_path, terms(kdc, required=False), password="Pw-scan-Marker-1")
    assert ended.reason not in ("PASSED", "INTERNAL")
    assert ended.facts["authentication"] == "Kerberos"
    assert wire.ntlm == 0
    assert kdc.heard[-1] == exchange


async def test_a_controller_that_goes_silent_on_the_password_is_not_one_that_cannot_be_reached(tmp_path: Path) -> None:
    async with serving(Kdc(faults={PROVE: closing})) as kdc:
        ended, wire = await log_in(tmp_path, terms(kdc, required=False))
    assert ended.reason == "KDC_DROPPED"
    assert ended.submitted
    assert wire.ntlm == 0


@pytest.mark.parametrize("required", [True, False])
async def test_a_host_that_does_not_take_the_ticket(tmp_path: Path, required: bool) -> None:
    """The simulated hosts know no Kerberos, and ask for NTLM: it is not given, whatever the record says."""
    async with serving(Kdc()) as kdc:
        ended, wire = await log_in(tmp_path, terms(kdc, required=required), password="Pw-scan-Marker-1")
    assert ended.reason == "KRB_TICKET_REFUSED"
    assert (ended.submitted, ended.proven) == (True, True)
    assert ended.facts["authentication"] == "Kerberos"
    assert wire.ntlm == 0
    assert b"Pw-scan-Marker-1" not in wire.seen


async def test_preferred_and_no_such_service_is_ntlm(tmp_path: Path) -> None:
    kdc = Kdc()
    kdc.faults[SERVICE] = says(kdc.refusal(7))
    async with serving(kdc):
        ended, wire = await log_in(tmp_path, terms(kdc, required=False), password="Pw-scan-Marker-1")
    assert ended.reason == "BAD_CREDENTIALS"  # the simulated host has another password than the controller
    assert ended.facts["authentication"] == "NTLMv2"
    assert ended.facts["kerberos"].startswith("KRB_SPN: ")
    assert wire.ntlm == 2


async def test_preferred_and_no_name_is_ntlm_and_no_controller_is_asked(tmp_path: Path) -> None:
    async with serving(Kdc()) as kdc:
        ended, wire = await log_in(tmp_path, terms(kdc, required=False, host=""))
    assert ended.reason == "PASSED"
    assert ended.facts["kerberos"].startswith("KRB_SPN: the target list gives no name")
    assert kdc.heard == []
    assert wire.ntlm == 2


async def test_a_host_that_is_chosen_by_its_domain_is_asked_for_it(tmp_path: Path) -> None:
    ended, wire = await log_in(tmp_path, terms(None, required=True), selection=Selection.SERVICE_SELECTED)
    assert ended.reason == "KDC_UNREACHABLE"
    assert ended.negotiated is not None
    assert ended.negotiated.domain
    assert wire.ntlm == 1  # and no answer to its challenge


async def test_an_empty_secret_is_sent_to_nobody(tmp_path: Path) -> None:
    async with serving(Kdc()) as kdc:
        job_terms = terms(kdc, required=True)
        text = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.93.0.0/24"\n'
        async with running(text, tmp_path) as (ready, world):
            [address] = world.estate.hosts
            job = make_job(Technology.WINDOWS, USER, ready.smb_port, address=address, kerberos=job_terms)
            ended = await attempt(job, Credential(password=""))
    assert ended.reason == "SECRET_FIELD_MISSING"
    assert kdc.heard == [ASK]
    assert not ended.submitted
