"""Which of SSH's ways to say no is which reason: what a server takes, its last words, its key, and ours."""

from __future__ import annotations

import socket

import asyncssh
import pytest

from appliance.contract import CryptoProfile, Failure, HostKeyPolicy, Phase, Signal, SignalKind, Technology
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.login.ssh_host_keys import Expected
from appliance.login.ssh_witness import Witness
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import PASSWORD, Script, cut, serving

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")


async def log_in(script: Script, *, private_key: bool = False, **serves: object) -> Attempt:
    credential = Credential(password=PASSWORD, private_key=HOST_KEY.export_private_key() if private_key else b"")
    async with serving(script, **serves) as port:
        return await attempt(make_job(Technology.UNIX, "scan", port, private_key=private_key), credential)


def text_of(ended: Attempt) -> str:
    assert isinstance(ended.result, Failure)
    return ended.result.text


# -- what the server takes ---------------------------------------------------------------------------------------------


async def test_a_method_that_is_not_offered() -> None:
    ended = await log_in(Script(methods=("publickey",)))
    assert ended.reason == "SSH_METHOD_NOT_OFFERED"
    assert text_of(ended) == "offered: publickey"
    assert not ended.submitted


async def test_no_method_at_all() -> None:
    ended = await log_in(Script(methods=()))
    assert ended.reason == "SSH_METHOD_NOT_OFFERED"
    assert text_of(ended) == "offered: nothing"


async def test_a_key_that_is_not_taken() -> None:
    ended = await log_in(Script(methods=("publickey",)), private_key=True)
    assert ended.reason == "KEY_REFUSED"
    assert ended.submitted


async def test_an_rsa_key_of_which_only_sha1_signatures_are_taken() -> None:
    """SHA-1 is for the profile legacy: under any other nothing is signed, and the record is told what would do."""
    key = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key()
    async with serving(Script(methods=("publickey",)), signature_algs=["ssh-rsa"]) as port:
        job = make_job(Technology.UNIX, "scan", port, private_key=True)
        ended = await attempt(job, Credential(private_key=key))
        assert (ended.reason, ended.submitted) == ("KEY_REFUSED", False)
        assert text_of(ended) == "the host takes no signature of ssh-rsa keys but SHA-1: the profile legacy would do"
        job = make_job(Technology.UNIX, "scan", port, private_key=True, crypto=CryptoProfile.LEGACY)
        ended = await attempt(job, Credential(private_key=key))
        assert (ended.reason, ended.submitted) == ("KEY_REFUSED", True)  # it has been tried; the server knows no key


@pytest.mark.parametrize(
    ("parting", "reason", "text"),
    [
        (asyncssh.ProtocolError("Too many authentication failures"), "TOO_MANY_AUTH_FAILURES", ""),
        (asyncssh.ProtocolError("Something else"), "AUTH_DROPPED", "Something else"),
        # The one farewell of which asyncssh makes no exception.
        (asyncssh.DisconnectError(asyncssh.DISC_BY_APPLICATION, "Bye"), "AUTH_DROPPED", "the connection has ended"),
    ],
)
async def test_last_words(parting: asyncssh.DisconnectError, reason: str, text: str) -> None:
    ended = await log_in(Script(parting=parting))
    assert ended.reason == reason
    assert text_of(ended) == (text or parting.reason)


@pytest.mark.parametrize(
    ("banner", "reason"),
    [
        ("Your account has expired; please contact your system administrator.", "ACCOUNT_EXPIRED"),
        ("WARNING: Your password has expired.", "PASSWORD_EXPIRED"),
        ("Welcome.", "BAD_CREDENTIALS"),
    ],
)
async def test_what_is_said_of_the_account_beside_a_refusal(banner: str, reason: str) -> None:
    ended = await log_in(Script(password="another", banner=banner))
    assert ended.reason == reason
    assert text_of(ended) == banner


# -- before the login --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(cut_after_login=True), "PRIV_CHECK_FAILED"),
        (Script(no_session=True), "PRIV_NO_SHELL"),
    ],
    ids=["the connection ends", "the host refuses"],
)
async def test_a_login_that_comes_to_no_session(script: Script, reason: str) -> None:
    """asyncssh raises the same for both."""
    assert (await log_in(script)).reason == reason


async def test_a_server_that_cannot_prove_its_host_key() -> None:
    pair = asyncssh.load_keypairs(HOST_KEY)[0]
    pair.sign = asyncssh.load_keypairs(OTHER_KEY)[0].sign  # type: ignore[method-assign] # it signs with another key
    ended = await log_in(Script(), server_host_keys=[pair])
    assert ended.reason == "SSH_PROTOCOL"
    assert ended.phases[-1] is Phase.KEX


async def test_a_reset_is_told_by_its_errno() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, ledger = listener.getsockname()[1], PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        async with ssh_login(sock, make_job(Technology.UNIX, "scan", port), ledger) as login:
            server, _ = listener.accept()
            server.sendall(b"SSH-2.0-Test\r\n")
            assert await login.greet() is None
            cut(server)
            ended = await login.negotiate()
    assert isinstance(ended, Failure)
    assert (ended.phase, ended.signal) == (Phase.KEX, Signal(kind=SignalKind.ERRNO, name="ECONNRESET"))


# -- what only the witness sees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("submitted", "refusal"), [(True, ("PARTIAL_SUCCESS", "also wants: publickey")), (False, None)]
)
def test_a_second_method_after_the_password(submitted: bool, refusal: tuple[str, str] | None) -> None:
    witness = Witness(Expected(HostKeyPolicy.ANY), [False])
    witness.methods_seen([b"password"], partial=False)
    witness.submitted = submitted
    witness.methods_seen([b"publickey"], partial=True)
    assert witness.refusal == refusal
    assert witness.offered == ("password",), "what it offered before any answer"


def test_an_expired_password_is_told_of_after_the_answer_only() -> None:
    """Before it, the words are the host's greeting, and may be about anybody's password."""
    witness = Witness(Expected(HostKeyPolicy.ANY), [False])
    witness._note("Your password has expired.")
    assert witness.account_state() is None
    witness.submitted = True
    assert witness.account_state() == "PASSWORD_EXPIRED"
    witness._note("Your account has expired.")
    assert witness.account_state() == "ACCOUNT_EXPIRED"
