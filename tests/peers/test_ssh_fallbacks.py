"""Several answers of one record at a real sshd: each is given once, in order, and read only when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from appliance.contract import Candidate, Failure, Fallback, Job, Phase, Technology, named
from appliance.login import Negotiated
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import make_job
from tests.peers.sshd import Sshd

pytestmark = pytest.mark.peer

KEYS = ("stranger", "plain")
"""Answers that are keys; all others are passwords."""


@pytest.fixture(scope="module")
def keys(sshd: Sshd) -> dict[str, bytes]:
    return {name: sshd.key(name) for name in KEYS}


class Story:
    """One login with the answers that a record has, and what was asked of it."""

    def __init__(self, sshd: Sshd, keys: dict[str, bytes], user: str, answers: Sequence[str], server: str = "") -> None:
        self._sshd, self._keys = sshd, keys
        self._answers = answers
        port = sshd.other_ports[server] if server else sshd.port
        job = make_job(Technology.UNIX, user, port, private_key=answers[0] in KEYS)
        first = job.candidates[0]
        further = tuple(Fallback(secret=first.secret, private_key=a in KEYS) for a in answers[1:])
        self.job: Job = job.model_copy(update={"candidates": (first.model_copy(update={"fallbacks": further}),)})
        self.asked: list[int] = []
        self.reason = ""
        self.submitted = False
        self.facts: dict[str, str] = {}

    @property
    def candidate(self) -> Candidate:
        return self.job.candidates[0]

    async def following(self, number: int) -> Credential | Failure:
        self.asked.append(number)
        answer = self._answers[number]
        if answer == "missing":
            return Failure(Phase.VAULT, named("SECRET_NOT_FOUND"), "no secret of that name")
        if answer == "never":
            await anyio.sleep_forever()
        return self._credential(answer)

    def _credential(self, answer: str) -> Credential:
        if answer in KEYS:
            return Credential(private_key=self._keys[answer])
        return Credential(password=self._sshd.passwords[self.candidate.user] if answer == "right" else answer)

    async def told(self) -> Story:
        ledger = PhaseLedger()
        sock = await dial(self.job.target.address, self.candidate.port, ledger)
        assert not isinstance(sock, Failure)
        async with ssh_login(sock, self.job, ledger) as login:
            asked = await login.negotiate()
            assert isinstance(asked, Negotiated), asked
            self.asked.append(asked.asked)
            first = self._credential(self._answers[asked.asked])
            ended = await login.authenticate(self.candidate, first, self.following)
            self.submitted, self.facts = login.submitted, ended.facts
            self.reason = ended.signal.name if isinstance(ended, Failure) else "PASSED"
        return self


@pytest.mark.parametrize(
    ("user", "answers", "asked", "reason", "logons"),
    [
        ("good", ("plain", "right"), [0], "PASSED", ["publickey ok"]),
        ("good", ("stranger", "plain"), [0, 1], "PASSED", ["publickey no", "publickey ok"]),
        ("good", ("stranger", "right"), [0, 1], "PASSED", ["publickey no", "password ok"]),
        ("good", ("stranger", "stranger", "right"), [0, 1, 2], "PASSED", ["publickey no"] * 2 + ["password ok"]),
        ("good", ("stranger", "wrong"), [0, 1], "PermissionDenied", ["publickey no", "password no"]),
        ("kbd", ("stranger", "right"), [0, 1], "PASSED", ["publickey no", "keyboard-interactive/pam ok"]),
        ("keyonly", ("stranger", "right"), [0], "KEY_REFUSED", ["publickey no"]),
        ("twofold", ("plain", "right"), [0, 1], "PASSED", ["publickey no", "password ok"]),
        ("twofold", ("plain",), [0], "PARTIAL_SUCCESS", ["publickey no"]),
        ("good", ("stranger", "missing"), [0, 1], "SECRET_NOT_FOUND", ["publickey no"]),
    ],
)
async def test_each_answer_is_given_once_and_in_order(
    sshd: Sshd,
    keys: dict[str, bytes],
    user: str,
    answers: tuple[str, ...],
    asked: list[int],
    reason: str,
    logons: list[str],
) -> None:
    since = sshd.now()
    story = await Story(sshd, keys, user, answers).told()
    assert (story.reason.rsplit(".", 1)[-1], story.asked) == (reason, asked)
    assert story.submitted is (reason != "SECRET_NOT_FOUND")
    said = [f"{logon.method} {'ok' if logon.ok else 'no'}" for logon in sshd.logons(user, since=since)]
    assert said == logons


async def test_a_host_that_takes_no_keys_is_not_shown_one(sshd: Sshd, keys: dict[str, bytes]) -> None:
    story = await Story(sshd, keys, "good", ("plain", "right"), server="no keys").told()
    assert (story.reason, story.asked, story.facts["auth_method"]) == ("PASSED", [1], "password")


async def test_a_host_that_has_had_enough_of_keys_costs_no_logon(sshd: Sshd, keys: dict[str, bytes]) -> None:
    since = sshd.now()
    story = await Story(sshd, keys, "good", ("stranger", "right"), server="one try").told()
    assert (story.reason, story.asked) == ("TOO_MANY_AUTH_FAILURES", [0])
    assert [logon.method for logon in sshd.logons("good", since=since)] == ["publickey"]


async def test_it_can_be_cancelled_while_the_next_one_is_had(sshd: Sshd, keys: dict[str, bytes]) -> None:
    since = sshd.now()
    with anyio.move_on_after(2) as patience:
        await Story(sshd, keys, "good", ("stranger", "never")).told()
    assert patience.cancelled_caught
    assert [logon.method for logon in sshd.logons("good", since=since)] == ["publickey"]
