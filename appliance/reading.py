"""A secret, read for one attempt while its target waits; checked out first, for the whole run, where it wants to be."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import anyio

from appliance.bus import BusUnavailable
from appliance.contract import CheckOutRequest, Failure, Job, Phase, View, named
from appliance.permit import SESSION_WAIT_S, PermitDesk
from appliance.vault import CredentialSource, SecretHandle
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


async def read_secret(
    job: Job,
    handle: SecretHandle,
    source: CredentialSource,
    desk: PermitDesk,
    *,
    private_key: bool,
    views: list[View],
    anew: bool,
) -> Credential | Failure:
    """As `CredentialSource.fetch`. A check-out is the run's: the orchestrator is asked for it."""

    async def fetched() -> Credential | Failure:
        purpose = job.purpose
        credential = await source.fetch(handle, private_key=private_key, purpose=purpose, views=views, anew=anew)
        if isinstance(credential, Credential) or credential.signal != named("SECRET_NEEDS_CHECKOUT"):
            return credential
        request = CheckOutRequest(
            run=job.run,
            job=job.job,
            attempt=job.attempt,
            lease=job.lease,
            secret=handle.ref,
            secret_id=handle.secret_id,
        )
        try:
            answer = await desk.check_out(request, wait=SESSION_WAIT_S)
        except BusUnavailable as error:
            return Failure(Phase.VAULT, named("NO_PACER"), str(error))
        if not answer.ok:
            return Failure(Phase.VAULT, named(answer.reason), answer.text)
        return await source.fetch(
            handle, private_key=private_key, purpose=purpose, views=views, checked_out=True, anew=anew
        )

    return await in_session(fetched())
