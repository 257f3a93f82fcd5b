"""One attempt at a login, step by step, as a scan makes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from appliance.classify import classify
from appliance.contract import (
    Account,
    Candidate,
    CredentialRef,
    CryptoProfile,
    Evidence,
    Failure,
    HostAuthority,
    HostKeyPolicy,
    Job,
    KerberosTerms,
    Phase,
    RootBy,
    RootPassword,
    SecretLookup,
    Selection,
    Target,
    Technology,
)
from appliance.login import Authenticated, Elevation, LoginFactory, Negotiated, Privileges
from appliance.login.dial import dial
from appliance.login.smb import smb_login
from appliance.login.ssh import ssh_login
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential

FACTORIES: dict[Technology, LoginFactory] = {Technology.UNIX: ssh_login, Technology.WINDOWS: smb_login}


def make_job(
    technology: Technology,
    user: str,
    port: int,
    *,
    address: str = "127.0.0.1",
    domain: str = "",
    selection: Selection = Selection.IP,
    private_key: bool = False,
    nt_hash: bool = False,
    sudo: bool = False,
    root: RootBy | None = None,
    root_user: str = "",
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU,
    crypto: CryptoProfile = CryptoProfile.COMPAT,
    known: tuple[str, ...] = (),
    kerberos: KerberosTerms | None = None,
    authorities: Sequence[HostAuthority] = (),
    revoked: Sequence[str] = (),
) -> Job:
    candidate = Candidate(
        record="record",
        user=user,
        domain=domain,
        account=Account(authority=f"host:{address}", user=user),
        secret=CredentialRef(vault="vault", by=SecretLookup.NAME, key="secret"),
        selection=selection,
        port=port,
        private_key=private_key,
        nt_hash=nt_hash,
        sudo=sudo,
        root=None
        if root is None
        else root_password(root, root_user or ("root" if root is RootBy.SU else user), address),
        host_keys=host_keys,
        crypto=crypto,
        kerberos=kerberos,
    )
    return Job(
        run="run",
        job="job",
        attempt=1,
        lease="00",
        zone="default",
        technology=technology,
        target=Target(address=address),
        candidates=(candidate,),
        known_host_keys=known,
        host_authorities=tuple(authorities),
        revoked_host_keys=tuple(revoked),
        deadline=30,
        give_up_at=0,
        purpose="test",
    )


def root_password(by: RootBy, user: str, address: str) -> RootPassword:
    secret = CredentialRef(vault="vault", by=SecretLookup.NAME, key="root")
    return RootPassword(by=by, user=user, account=Account(authority=f"host:{address}", user=user), secret=secret)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt came to. `reason` is what the orchestrator would call it."""

    job: Job
    result: Privileges | Failure
    negotiated: Negotiated | None
    submitted: bool
    phases: tuple[Phase, ...]
    facts: dict[str, str] = field(default_factory=dict)
    """What all its steps have learnt of the target."""
    proven: bool = False
    elevation: Elevation = Elevation.UNTRIED
    root_asked: int = 0
    """How often root's password was asked for."""

    @property
    def reason(self) -> str:
        if not isinstance(self.result, Failure):
            return "PASSED"
        failure = self.result
        evidence = Evidence(phase=failure.phase, signal=failure.signal, facts=failure.facts, submitted=self.submitted)
        return classify(self.job.technology, evidence).code


async def attempt(
    job: Job,
    credential: Credential,
    *,
    before_answer: Callable[[], None] = lambda: None,
    factory: LoginFactory | None = None,
    root_password: str = "",
) -> Attempt:
    """Dial, negotiate, prepare, authenticate, look, log off. `before_answer` runs when the target asks for the
    credential.
    """
    root_asked = 0

    async def ask_root() -> str:
        nonlocal root_asked
        root_asked += 1
        return root_password

    ledger = PhaseLedger()
    candidate = job.candidates[0]
    sock = await dial(job.target.address, candidate.port, ledger)
    if isinstance(sock, Failure):
        return Attempt(job, sock, None, submitted=False, phases=(Phase.TCP,))
    negotiated: Negotiated | Failure | None = None
    facts: dict[str, str] = {}
    async with (factory or FACTORIES[job.technology])(sock, job, ledger) as login:
        result: Negotiated | Authenticated | Privileges | Failure
        result = negotiated = await login.negotiate()
        facts |= result.facts
        if not isinstance(result, Failure):
            result = await login.prepare(candidate) or result
            facts |= result.facts
        assert not login.submitted
        if not isinstance(result, Failure):
            before_answer()
            result = await login.authenticate(candidate, credential)
            facts |= result.facts
        if not isinstance(result, Failure):
            result = await login.privileges(ask_root)
            facts |= result.facts
        submitted, proven, elevation = login.submitted, login.proven, login.elevation
    assert isinstance(result, Privileges | Failure)
    phases = tuple(p.phase for p in ledger.finish())
    shown = negotiated if isinstance(negotiated, Negotiated) else None
    return Attempt(job, result, shown, submitted, phases, facts, proven, elevation, root_asked)
