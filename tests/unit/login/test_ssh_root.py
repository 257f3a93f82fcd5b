"""What is sent on the way to root, by servers that ask in their own way: one answer, or none, and never in a report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncssh
import pytest

from appliance.contract import Failure, Phase, RootBy, Technology, named
from appliance.login import Elevation
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job

SECRET = "Root-Pw-9"
ID = "uid=1001(scan) gid=1001(scan)\n"

Script = Callable[[asyncssh.SSHServerProcess[str]], object]


class _Server(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("scan", "pw")


@asynccontextmanager
async def serving(asks: str, then: str, heard: list[str]) -> AsyncIterator[int]:
    """A host whose su or sudo asks so; what it hears in answer is kept, and answered with `then`."""

    async def process(p: asyncssh.SSHServerProcess[str]) -> None:
        command = p.command or ""
        if command.startswith("sh -c"):
            p.stdout.write(f"{ID}== id 0\nsudo: a password is required\n== sudo 1\n== proof 1\n")
            p.exit(0)
            return
        p.stdout.write(asks)
        async for line in p.stdin:
            heard.append(line.rstrip("\n"))
            p.stdout.write(then.replace("PASSWORD", heard[-1]))
            if not then.endswith(": "):
                break
        p.exit(1)

    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=_Server, server_host_keys=[key], process_factory=process, line_editor=False
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def tried(by: RootBy, asks: str, then: str, *, password: str = SECRET) -> tuple[Attempt, list[str]]:
    heard: list[str] = []
    async with serving(asks, then, heard) as port:
        job = make_job(Technology.UNIX, "scan", port, sudo=by is RootBy.SUDO, root=by)
        ended = await attempt(job, Credential(password="pw"), root_password=password)
    return ended, heard


OURS = "[keymuster] password of scan: "


@pytest.mark.parametrize(
    ("by", "asks", "then", "reason", "state", "heard"),
    [
        (RootBy.SUDO, OURS, "\n0\n", "PASSED", Elevation.ACCEPTED, [SECRET]),
        (RootBy.SUDO, OURS, f"Sorry, try again.\n{OURS}", "PRIV_SUDO_REFUSED", Elevation.REFUSED, [SECRET]),
        (RootBy.SUDO, OURS, "Verification code: ", "PRIV_PROMPT_UNKNOWN", Elevation.SENT, [SECRET]),
        (RootBy.SUDO, "Password: ", "0\n", "PRIV_PROMPT_UNKNOWN", Elevation.BEGUN, []),
        (RootBy.SUDO, "[keymuster] password of root: ", "0\n", "PRIV_PROMPT_UNKNOWN", Elevation.BEGUN, []),
        (RootBy.SU, "Mot de passe : ", "\n0\n", "PASSED", Elevation.ACCEPTED, [SECRET]),
        (RootBy.SU, "Password: ", "su: Authentication failure\n", "PRIV_SU_REFUSED", Elevation.REFUSED, [SECRET]),
        (RootBy.SU, "OTP: ", "0\n", "PRIV_PROMPT_UNKNOWN", Elevation.BEGUN, []),
        (RootBy.SU, "Ganz was anderes? ", "0\n", "PRIV_PROMPT_UNKNOWN", Elevation.BEGUN, []),
    ],
)
async def test_one_answer_at_a_question_that_is_known(
    by: RootBy, asks: str, then: str, reason: str, state: Elevation, heard: list[str]
) -> None:
    ended, sent = await tried(by, asks, then)
    assert (ended.reason, ended.elevation, sent) == (reason, state, heard)


async def test_su_is_not_given_a_password_before_it_asks() -> None:
    ended, _ = await tried(RootBy.SU, "OTP: ", "0\n")
    assert ended.root_asked == 0


async def test_what_a_host_says_of_the_password_is_in_no_report() -> None:
    ended, sent = await tried(RootBy.SU, "Password: ", "su: 'PASSWORD' is wrong\n")
    assert sent == [SECRET]
    assert isinstance(ended.result, Failure)
    assert ended.result.text == "su: '***' is wrong"


async def test_a_password_that_cannot_be_typed_is_not_sent() -> None:
    ended, sent = await tried(RootBy.SUDO, OURS, "0\n", password="two\nlines")
    assert (ended.reason, ended.elevation, sent) == ("PRIV_NO_SECRET", Elevation.UNTRIED, [])


async def test_no_password_for_root_ends_with_the_reason() -> None:
    heard: list[str] = []

    async with serving(OURS, "0\n", heard) as port:
        job = make_job(Technology.UNIX, "scan", port, sudo=True)
        ended = await attempt(job, Credential(password="pw"))
    assert (ended.reason, ended.root_asked, heard) == ("PRIV_SUDO_PASSWORD", 0, [])
    assert isinstance(ended.result, Failure)
    assert (ended.result.phase, ended.result.signal) == (Phase.PRIVILEGE, named("PRIV_SUDO_PASSWORD"))
