"""SSH logins against servers that behave as no well-kept sshd would."""

from __future__ import annotations

import logging

import asyncssh
import pytest

from appliance.contract import CryptoProfile, Failure, Phase, Technology
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.login.ssh_fast import _shared
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import PASSWORD, Script, peer, saying, serving


async def log_in(port: int, password: str = PASSWORD, *, crypto: CryptoProfile = CryptoProfile.COMPAT) -> Attempt:
    return await attempt(make_job(Technology.UNIX, "scan", port, crypto=crypto), Credential(password=password))


async def test_who_has_no_name_here_can_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user need not be in passwd; nor can that be opened where the descriptors are used up."""

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")  # and put back, whatever is written here meanwhile
    monkeypatch.setattr("pwd.getpwuid", nobody)
    _shared.cache_clear()
    async with serving(Script()) as port:
        assert (await log_in(port)).reason == "PASSED"


async def test_the_plain_case() -> None:
    script = Script()
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == "PASSED"
    assert script.passwords == [PASSWORD]


async def test_a_wrong_password_is_sent_once_though_two_methods_would_take_it() -> None:
    script = Script(methods=("password", "keyboard-interactive"), challenges=[("", [("Password: ", False)])])
    async with serving(script) as port:
        ended = await log_in(port, "wrong")
    assert ended.reason == "BAD_CREDENTIALS"
    assert script.passwords == ["wrong"]
    assert script.responses == []


async def test_a_server_that_asks_for_nothing_is_no_success() -> None:
    async with serving(Script(nobody_asks=True)) as port:
        ended = await log_in(port)
    assert ended.reason == "AUTH_NOT_REQUIRED"
    assert not ended.submitted
    assert isinstance(ended.result, Failure)
    assert "host_key" in ended.result.facts


async def test_a_conversation_without_a_question_is_no_success() -> None:
    script = Script(methods=("keyboard-interactive",), challenges=[("Welcome", [])], takes_anything=True)
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == "AUTH_NOT_REQUIRED"
    assert not ended.submitted


@pytest.mark.parametrize(
    ("instructions", "prompts", "reason"),
    [
        ("", [("Verification code: ", False)], "MFA_REQUIRED"),
        ("Open your authenticator", [("Password: ", False)], "MFA_REQUIRED"),
        ("", [("Favourite colour: ", False)], "KBDINT_PROMPT_UNKNOWN"),
        ("", [("Password: ", True)], "KBDINT_PROMPT_UNKNOWN"),
        ("", [("Password: ", False), ("Domain: ", True)], "KBDINT_PROMPT_UNKNOWN"),
        ("", [("New password: ", False)], "PASSWORD_MUST_CHANGE"),
        ("", [("The account is locked due to 3 failed logins.\nPassword: ", False)], "ACCOUNT_LOCKED"),
    ],
)
async def test_prompts_that_end_the_login_before_the_credential(
    instructions: str, prompts: list[tuple[str, bool]], reason: str
) -> None:
    script = Script(methods=("keyboard-interactive",), challenges=[(instructions, prompts)])
    asked: list[str] = []
    async with serving(script) as port:
        job = make_job(Technology.UNIX, "scan", port)
        ended = await attempt(job, Credential(password=PASSWORD), before_answer=lambda: asked.append("asked"))
    assert ended.reason == reason
    assert asked == []
    assert script.responses == []
    assert isinstance(ended.result, Failure)
    assert prompts[0][0].splitlines()[0].strip() in ended.result.text


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ("Verification code: ", "MFA_REQUIRED"),
        ("New password: ", "PASSWORD_MUST_CHANGE"),
        ("Password: ", "BAD_CREDENTIALS"),
        ("Favourite colour: ", "KBDINT_PROMPT_UNKNOWN"),
    ],
)
async def test_a_second_question_is_never_answered(second: str, reason: str) -> None:
    script = Script(
        methods=("keyboard-interactive",), challenges=[("", [("Mot de passe : ", False)]), ("", [(second, False)])]
    )
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == reason
    assert ended.submitted
    assert script.responses == [[PASSWORD]]


async def test_an_endless_conversation_ends() -> None:
    script = Script(methods=("keyboard-interactive",), challenges=[("again", [])] * 100)
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == "KBDINT_PROMPT_UNKNOWN"
    assert len(script.responses) < 10


async def test_a_demanded_password_change_is_declined() -> None:
    script = Script(expired=True)
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == "PASSWORD_EXPIRED"
    assert script.passwords == [PASSWORD]


async def test_no_common_algorithm() -> None:
    async with serving(Script(), encryption_algs=["aes128-cbc"]) as port:
        ended = await log_in(port, crypto=CryptoProfile.MODERN)
        assert ended.reason == "KEX_NO_MATCH"
        assert ended.phases[-1] is Phase.KEX
        ended = await log_in(port, crypto=CryptoProfile.LEGACY)
        assert ended.reason == "PASSED"


async def test_endless_output_is_cut() -> None:
    script = Script(output="x" * 1_000_000)
    async with serving(script) as port:
        ended = await log_in(port)
    assert ended.reason == "PRIV_FORCED_COMMAND"


async def test_an_empty_secret_is_not_sent() -> None:
    script = Script()
    async with serving(script) as port:
        ended = await log_in(port, "")
    assert ended.reason == "SECRET_FIELD_MISSING"
    assert script.passwords == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"Not allowed at this time\r\n", "SSH_PENALTY"),
        (b"Exceeded MaxStartups\r\n", "SSH_THROTTLED"),
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "NOT_SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "NOT_SSH"),
        (b"go away", "NOT_SSH"),
        (b"", "CONNECTION_RESET"),
        (b"SSH-2.0-x\r\n", "CONNECTION_RESET"),
        (b"SSH-1.5-old\r\n", "SSH_PROTOCOL"),
        (b"SSH-2.0-x\r\n" + b"\xff" * 64, "SSH_PROTOCOL"),
    ],
)
async def test_peers_that_hang_up(said: bytes, reason: str) -> None:
    async with peer(saying(said, hang_up=True)) as port:
        ended = await log_in(port)
    assert ended.reason == reason
    assert not ended.submitted


async def test_a_web_server_that_waits_for_its_client_is_told_from_a_silent_host() -> None:
    """We send our identification first, as SSH clients may, so that such a server shows itself."""

    async def handle(stream: object) -> None:
        assert hasattr(stream, "receive")
        await stream.receive()
        await saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")(stream)  # type: ignore[arg-type, misc]

    async with peer(handle) as port:
        ended = await log_in(port)
    assert ended.reason == "NOT_SSH"


async def test_a_user_name_that_ssh_cannot_carry() -> None:
    async with serving(Script()) as port:
        ended = await attempt(make_job(Technology.UNIX, "bell\x07", port), Credential(password=PASSWORD))
    assert ended.reason == "UNKNOWN_USER"


async def test_a_login_is_bound_to_its_user() -> None:
    """asyncssh has sent the name long before the credential: another candidate would log in as the wrong one."""
    other = make_job(Technology.UNIX, "other", 0).candidates[0]
    script = Script()
    async with serving(script) as port:
        job = make_job(Technology.UNIX, "scan", port)
        ledger = PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        async with ssh_login(sock, job, ledger) as login:
            await login.negotiate()
            with pytest.raises(ValueError, match="bound to its user"):
                await login.authenticate(other, Credential(password=PASSWORD))
    assert script.passwords == []


async def test_neither_logs_nor_failures_hold_the_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncssh.set_debug_level(2)
    secret = "S3cret-Marker-4711"
    async with serving(Script()) as port:
        ended = await log_in(port, secret)
    asyncssh.set_debug_level(1)
    assert secret not in repr(ended)
    assert secret not in caplog.text
    assert caplog.text == "" or "asyncssh" not in caplog.text
