"""SSH logins against a real OpenSSH server: the right reason for each state, and exactly one logon for each attempt."""

from __future__ import annotations

import pytest

from appliance.contract import Failure, HostKeyPolicy, Phase, Technology
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.peers.sshd import PASSPHRASE, Logon, Sshd

pytestmark = pytest.mark.peer


async def log_in(
    sshd: Sshd,
    user: str,
    credential: Credential | None = None,
    *,
    private_key: bool = False,
    sudo: bool = False,
    host_keys: HostKeyPolicy = HostKeyPolicy.TOFU,
    known: tuple[str, ...] = (),
) -> tuple[Attempt, list[Logon]]:
    """An attempt, and the verdicts on it that sshd logged."""
    job = make_job(
        Technology.UNIX, user, sshd.port, private_key=private_key, sudo=sudo, host_keys=host_keys, known=known
    )
    since = sshd.log.stat().st_size
    ended = await attempt(job, credential or Credential(password=sshd.passwords[user]))
    return ended, sshd.logons(user, since=since)


def wrong() -> Credential:
    return Credential(password="not it")


async def test_right_password_is_proven_by_a_command(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "good")
    assert ended.reason == "PASSED"
    assert logons == [Logon("good", "password", ok=True)]
    assert not isinstance(ended.result, Failure)
    assert ended.result.facts["id"].startswith("uid=40001(good)")
    assert ended.negotiated is not None
    facts = ended.negotiated.facts
    assert facts["banner"].startswith("SSH-2.0-OpenSSH_")
    assert facts["host_key"] == sshd.host_key()
    assert facts["host_key_fingerprint"].startswith("SHA256:")
    assert "password" in facts["methods"].split(",")
    assert ended.phases == (Phase.TCP, Phase.NEGOTIATE, Phase.KEX, Phase.AUTH, Phase.PRIVILEGE)


@pytest.mark.parametrize(("user", "method"), [("good", "password"), ("kbd", "keyboard-interactive/pam")])
async def test_wrong_password_is_sent_once(sshd: Sshd, user: str, method: str) -> None:
    ended, logons = await log_in(sshd, user, wrong())
    assert ended.reason == "BAD_CREDENTIALS"
    assert ended.submitted
    assert logons == [Logon(user, method, ok=False)]


async def test_unknown_user_looks_like_a_wrong_password(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "nosuchuser", wrong())
    assert ended.reason == "BAD_CREDENTIALS"
    assert logons == [Logon("nosuchuser", "password", ok=False)]


async def test_keyboard_interactive_is_used_where_it_is_all_there_is(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "kbd")
    assert ended.reason == "PASSED"
    assert logons == [Logon("kbd", "keyboard-interactive/pam", ok=True)]


@pytest.mark.parametrize(("key", "passphrase"), [("plain", ""), ("passphrase", PASSPHRASE), ("pem", PASSPHRASE)])
async def test_private_keys(sshd: Sshd, key: str, passphrase: str) -> None:
    credential = Credential(private_key=sshd.key(key), passphrase=passphrase)
    ended, logons = await log_in(sshd, "keyonly", credential, private_key=True)
    assert ended.reason == "PASSED"
    assert logons == [Logon("keyonly", "publickey", ok=True)]


@pytest.mark.parametrize(
    ("key", "passphrase", "reason"),
    [
        ("passphrase", "wrong", "SECRET_PASSPHRASE_WRONG"),
        ("passphrase", "", "SECRET_PASSPHRASE_WRONG"),
        ("pem", "wrong", "SECRET_PASSPHRASE_WRONG"),
        ("pem", "", "SECRET_PASSPHRASE_WRONG"),
        (None, "", "SECRET_KEY_UNREADABLE"),
    ],
)
async def test_a_key_that_cannot_be_read_is_never_submitted(
    sshd: Sshd, key: str | None, passphrase: str, reason: str
) -> None:
    data = sshd.key(key) if key else b"-----BEGIN GARBAGE-----\n"
    ended, logons = await log_in(sshd, "keyonly", Credential(private_key=data, passphrase=passphrase), private_key=True)
    assert ended.reason == reason
    assert not ended.submitted
    assert logons == []


async def test_unauthorised_key(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "keyonly", Credential(private_key=sshd.key("stranger")), private_key=True)
    assert ended.reason == "KEY_REFUSED"
    assert logons == [Logon("keyonly", "publickey", ok=False)]


async def test_method_not_offered_costs_no_credential(sshd: Sshd) -> None:
    asked: list[str] = []
    job = make_job(Technology.UNIX, "keyonly", sshd.port)
    ended = await attempt(job, wrong(), before_answer=lambda: asked.append("asked"))
    assert ended.reason == "SSH_METHOD_NOT_OFFERED"
    assert isinstance(ended.result, Failure)
    assert ended.result.text == "offered: publickey"
    assert asked == []


@pytest.mark.parametrize("user", ["expired", "kbdexpired"])
async def test_expired_account_with_the_right_password(sshd: Sshd, user: str) -> None:
    ended, _ = await log_in(sshd, user)
    assert ended.reason == "ACCOUNT_EXPIRED"


async def test_expired_account_with_a_wrong_password_does_not_show(sshd: Sshd) -> None:
    ended, _ = await log_in(sshd, "expired", wrong())
    assert ended.reason == "BAD_CREDENTIALS"


async def test_password_must_change_is_no_success(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "mustchange")
    assert ended.reason == "PASSWORD_EXPIRED"
    assert logons == [Logon("mustchange", "password", ok=True)]


async def test_password_must_change_by_keyboard_interactive_is_not_changed(sshd: Sshd) -> None:
    for _ in range(2):  # the second one would fail had the first changed anything
        ended, logons = await log_in(sshd, "kbdmust")
        assert ended.reason == "PASSWORD_MUST_CHANGE"
        assert [v for v in logons if v.ok] == []


@pytest.mark.parametrize(
    ("user", "reason"),
    [("noshell", "PRIV_NO_SHELL"), ("forced", "PRIV_FORCED_COMMAND")],
)
async def test_sessions_that_run_nothing_of_ours(sshd: Sshd, user: str, reason: str) -> None:
    ended, logons = await log_in(sshd, user)
    assert ended.reason == reason
    assert logons == [Logon(user, "password", ok=True)]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("admin", "PASSED"),
        ("helper", "PRIV_SUDO_PASSWORD"),
        ("clerk", "PRIV_NOT_ROOT"),
        ("good", "PRIV_SUDO_PASSWORD"),  # to one who is not in sudoers `sudo -n` says no more than that
    ],
)
async def test_sudo(sshd: Sshd, user: str, reason: str) -> None:
    ended, _ = await log_in(sshd, user, sudo=True)
    assert ended.reason == reason
    facts = ended.result.facts
    assert facts["id"].startswith("uid=")


async def test_a_key_that_is_only_half_of_the_login(sshd: Sshd) -> None:
    ended, _ = await log_in(sshd, "twofold", Credential(private_key=sshd.key("plain")), private_key=True)
    assert ended.reason == "PARTIAL_SUCCESS"
    assert isinstance(ended.result, Failure)
    assert "password" in ended.result.text


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
@pytest.mark.parametrize("policy", list(HostKeyPolicy))
async def test_a_known_host_key_is_asked_for_by_its_type(sshd: Sshd, policy: HostKeyPolicy, kind: str) -> None:
    known = sshd.host_key(kind)
    ended, _ = await log_in(sshd, "good", host_keys=policy, known=(known,))
    assert ended.reason == "PASSED"
    assert ended.negotiated is not None
    assert ended.negotiated.facts["host_key"] == known


@pytest.mark.parametrize("policy", [HostKeyPolicy.PINNED, HostKeyPolicy.TOFU])
async def test_a_changed_host_key_ends_the_login_before_the_credential(sshd: Sshd, policy: HostKeyPolicy) -> None:
    other = (sshd.directory / "key_stranger.pub").read_text().split()[1]
    ended, logons = await log_in(sshd, "good", host_keys=policy, known=(f"ssh-ed25519 {other}",))
    assert ended.reason == "HOST_KEY_CHANGED"
    assert not ended.submitted
    assert logons == []
    assert ended.result.facts["host_key_refused"] == sshd.host_key()
    assert "host_key" not in ended.result.facts, "a refused key must never be learnt"


async def test_an_unknown_host_key_is_refused_when_pinned(sshd: Sshd) -> None:
    ended, logons = await log_in(sshd, "good", host_keys=HostKeyPolicy.PINNED)
    assert ended.reason == "HOST_KEY_UNKNOWN"
    assert logons == []
    assert "host_key" not in ended.result.facts


async def test_any_host_key_is_taken_when_the_policy_says_so(sshd: Sshd) -> None:
    other = (sshd.directory / "key_stranger.pub").read_text().split()[1]
    ended, _ = await log_in(sshd, "good", host_keys=HostKeyPolicy.ANY, known=(f"ssh-ed25519 {other}",))
    assert ended.reason == "PASSED"
