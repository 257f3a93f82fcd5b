"""What a scan hears of its jump host's failure."""

from __future__ import annotations

import pytest

from appliance.contract import Failure, Phase, named
from appliance.jump_login import Attempt, as_candidate, blamed
from appliance.vault.breaker import AWAY
from appliance.vault.turns import PACED
from tests.unit.appliance.jumping import a_job, a_jump


@pytest.mark.parametrize("fact", [AWAY, PACED, "cause"])
def test_it_can_still_be_told_whether_waiting_helps(fact: str) -> None:
    jump = a_jump(22)
    job = a_job(22, jump, 1)
    attempt = Attempt(job, as_candidate("record", jump), jump, "", {}, [])
    refused = Failure(Phase.VAULT, named("VAULT_RATE_LIMITED"), "no turn", {fact: "1.0", "other": "x"})
    end = blamed(attempt, refused, submitted=False)
    assert isinstance(end, Failure)
    assert (end.facts[fact], "other" in end.facts) == ("1.0", False)
