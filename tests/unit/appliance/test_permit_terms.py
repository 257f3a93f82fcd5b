"""What a permit is asked for."""

from __future__ import annotations

from typing import cast

import pytest

from appliance.contract import Fallback, Job, PermitAnswer, PermitRequest, PermitVerdict
from appliance.permit import GRACE_S, READ_S, Permit, PermitDesk
from tests.unit.appliance.scripted import a_job


class Desk:
    def __init__(self) -> None:
        self.asked: list[PermitRequest] = []

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        assert wait > 0
        self.asked.append(request)
        return PermitAnswer(verdict=PermitVerdict.GRANTED)


@pytest.mark.parametrize("further", [0, 1, 2])
async def test_it_outlives_the_attempt_and_what_each_answer_may_wait_for_its_vault(further: int) -> None:
    job: Job = a_job()
    candidate = job.candidates[0]
    candidate = candidate.model_copy(update={"fallbacks": (Fallback(secret=candidate.secret),) * further})
    desk = Desk()
    assert await Permit(job, candidate, cast("PermitDesk", desk), lambda: 0.0).ask() is None
    assert [request.valid_for for request in desk.asked] == [job.deadline + GRACE_S + further * READ_S]
