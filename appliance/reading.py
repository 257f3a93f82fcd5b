"""A secret, read for one attempt while its target waits; checked out first, for the whole run, where it wants to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import anyio

from appliance.access import AccessAnswer, AccessKind, AccessRequest
from appliance.bus import BusUnavailable
from appliance.contract import AccessTerms, Candidate, Failure, Job, Part, Phase, Reread, View, named
from appliance.permit import SESSION_WAIT_S, PermitDesk
from appliance.vault import DEFAULT_TERMS, CredentialSource, SecretHandle
from appliance.vault.credential import Credential

T = TypeVar("T")

SECOND_LOOK_S = 0.5
"""After a refusal, until the secret is looked at once more."""
JUST_CHANGED_S = 60.0
"""Beside the time that a change takes, it allows for the difference between the vault's clock and ours."""


def just_changed(credential: Credential, now: float) -> bool:
    """Does the vault say that it has changed this secret a moment ago? Its host may lag behind."""
    changed_at = credential.standing.changed_at
    return changed_at is not None and abs(now - changed_at) <= JUST_CHANGED_S


async def in_session(question: Awaitable[T | Failure]) -> T | Failure:
    """A vault's answer within the time that a target's session may be kept waiting."""
    with anyio.move_on_after(SESSION_WAIT_S):
        return await question
    return Failure(Phase.VAULT, named("VAULT_TIMEOUT"), f"no answer within {SESSION_WAIT_S:g} s")


def terms_of(job: Job, record: str, part: Part = Part.LOGIN) -> AccessTerms:
    """How a secret of one of its records is asked for."""
    return next((terms for terms in job.terms if terms.record == record and terms.part is part), DEFAULT_TERMS)


async def ask_access(
    kind: AccessKind, job: Job, candidate: Candidate, handle: SecretHandle, desk: PermitDesk
) -> AccessAnswer | Failure:
    """Have the owner of the run see to it that the record's secret may be viewed."""
    request = AccessRequest(
        kind=kind,
        run=job.run,
        job=job.job,
        attempt=job.attempt,
        lease=job.lease,
        secret=candidate.secret,
        secret_id=handle.secret_id,
        record=candidate.record,
    )
    try:
        return await desk.access(request, wait=SESSION_WAIT_S)
    except BusUnavailable as error:
        return Failure(Phase.VAULT, named("NO_PACER"), str(error))


async def read_secret(
    job: Job,
    candidate: Candidate,
    handle: SecretHandle,
    source: CredentialSource,
    desk: PermitDesk,
    *,
    views: list[View],
    anew: bool,
    part: Part = Part.LOGIN,
    label: str = "",
) -> Credential | Failure:
    """As `CredentialSource.fetch`. A secret that wants to be checked out first is, for the whole run, by whom the run
    belongs to. The views bear `label`, where the secret is not the record's own.
    """

    async def fetched() -> Credential | Failure:
        fetch = partial(
            source.fetch,
            handle,
            private_key=candidate.private_key,
            purpose=job.purpose,
            terms=terms_of(job, candidate.record, part),
            views=views,
            anew=anew,
        )
        credential = await fetch()
        if isinstance(credential, Credential) or credential.signal != named("SECRET_NEEDS_CHECKOUT"):
            return credential
        answer = await ask_access(AccessKind.CHECK_OUT, job, candidate, handle, desk)
        if isinstance(answer, Failure):
            return answer
        if not answer.ok:
            return Failure(Phase.VAULT, named(answer.reason), answer.text)
        return await fetch(checked_out=True)

    before = len(views)
    try:
        return await in_session(fetched())
    finally:
        if label:
            views[before:] = [view.model_copy(update={"secret": label}) for view in views[before:]]


async def second_look(
    read_anew: Callable[[], Awaitable[Credential | Failure]], tried: Credential, wall: Callable[[], float]
) -> tuple[Reread, dict[str, str]]:
    """Has the secret of a refused answer been rotated under us? What was found, and facts of it.

    Host and vault get a new password one after the other, so the look comes a moment later: where the host was first,
    the vault has the new one by then. Where the vault was, we have tried the new one already, and the vault says when
    it has changed it; there the same password may be right in a moment.
    """
    await anyio.sleep(SECOND_LOOK_S)
    again = await read_anew()
    if isinstance(again, Failure):
        return Reread.FAILED, {}
    same = again.same_secret_as(tried) and not just_changed(again, wall())
    again.forget()
    return Reread.UNCHANGED if same else Reread.CHANGED, again.standing.facts()
