"""The message for an attempt: its job, with what is known of the keys of its host, and of the jump host on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from appliance.contract import Job, Jump
from orchestrator.attempts import OpenAttempt, Planned
from orchestrator.marked import Marked
from orchestrator.run_plan import RunPlan


def jump_of_job(planned: Planned) -> Jump | None:
    """The jump host that the job's target is reached through; a Unix target has one record."""
    return planned.candidates[0].jump if planned.candidates else None


def addresses_of(attempts: Iterable[OpenAttempt]) -> list[str]:
    """Whose keys their messages want to know."""
    found = []
    for attempt in attempts:
        found.append(attempt.planned.target.address)
        if (jump := jump_of_job(attempt.planned)) is not None:
            found.append(jump.address)
    return found


def job_of(attempt: OpenAttempt, plan: RunPlan, keys: Mapping[str, Sequence[str]]) -> Job:
    """`keys`: the known ones, by address."""
    planned, jump = attempt.planned, jump_of_job(attempt.planned)
    host_marks = plan.marks(planned)
    jump_marks = plan.jump_marks(planned) if jump is not None else Marked()
    return Job(
        run=plan.run,
        job=planned.job,
        attempt=attempt.attempt,
        lease=attempt.lease,
        zone=attempt.zone,
        technology=planned.technology,
        target=planned.target,
        candidates=planned.candidates,
        tried=attempt.tried,
        rotated=attempt.rotations > 0,
        known_host_keys=tuple(keys.get(planned.target.address, ())),
        host_authorities=tuple(host_marks.authorities),
        revoked_host_keys=tuple(host_marks.revoked),
        known_jump_keys=tuple(keys.get(jump.address, ())) if jump is not None else (),
        jump_authorities=tuple(jump_marks.authorities),
        revoked_jump_keys=tuple(jump_marks.revoked),
        deadline=plan.pace.deadline,
        give_up_at=attempt.give_up_at,
        purpose=plan.purposes.plain(planned.target),
        terms=plan.purposes.of_job(planned.job, planned.target, planned.candidates),
        vault_only=plan.vault_only,
    )
