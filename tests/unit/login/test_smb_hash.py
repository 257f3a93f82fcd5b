"""An NT hash is taken for one where the record says so, and never because a secret looks like one."""

from __future__ import annotations

import pytest

from appliance.contract import Failure, Phase, Technology, named
from appliance.login.smb_hash import EMPTY, answering_key, nt_hash
from appliance.vault.credential import Credential
from tests.peers.attempt import make_job

# MS-NLMP 4.2.2.1.2: NTOWFv1 of "Password".
PASSWORD, DIGEST = "Password", bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")


def key(held: str, *, is_hash: bool, user: str = "scan") -> bytes | Failure:
    [candidate] = make_job(Technology.WINDOWS, user, 445, nt_hash=is_hash).candidates
    return answering_key(candidate, Credential(password=held))


def test_the_hash_of_a_password() -> None:
    assert key(PASSWORD, is_hash=False) == DIGEST
    assert nt_hash("\ud83d") == nt_hash("\ud83d")  # half a surrogate pair, as JSON may hold it


@pytest.mark.parametrize(
    "held",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        f"aad3b435b51404eeaad3b435b51404ee:{DIGEST.hex()}",
        f"{'0' * 32}:{DIGEST.hex().upper()}",
    ],
)
def test_a_hash_as_tools_print_it(held: str) -> None:
    assert key(held, is_hash=True) == DIGEST
    assert key(held, is_hash=False) == nt_hash(held), "a password that looks like a hash is a password"


@pytest.mark.parametrize(
    "held",
    [
        PASSWORD,
        DIGEST.hex()[:-1],
        DIGEST.hex() + "0",
        f"{DIGEST.hex()}\n",
        f" {DIGEST.hex()}",
        f":{DIGEST.hex()}",
        f"{DIGEST.hex()}:",
        f"scan:1001:{'0' * 32}:{DIGEST.hex()}:::",
        f"{'0' * 31}:{DIGEST.hex()}",
        "g" * 32,
        "٣" * 32,  # digits of another script
    ],
)
def test_anything_else_is_no_hash(held: str) -> None:
    refused = key(held, is_hash=True)
    assert refused == Failure(Phase.VAULT, named("SECRET_HASH_UNREADABLE"), "neither 32 hex digits nor LM:NT")
    assert held not in str(refused)


@pytest.mark.parametrize("is_hash", [False, True])
@pytest.mark.parametrize(("held", "user"), [("", "scan"), (DIGEST.hex(), "")])
def test_what_would_make_an_anonymous_session_is_missing(held: str, user: str, is_hash: bool) -> None:
    refused = key(held, is_hash=is_hash, user=user)
    assert isinstance(refused, Failure)
    assert refused.signal == named("SECRET_FIELD_MISSING")


@pytest.mark.parametrize("held", [EMPTY.hex(), f"aad3b435b51404eeaad3b435b51404ee:{EMPTY.hex().upper()}"])
def test_the_hash_of_an_empty_password_says_that_there_is_none(held: str) -> None:
    refused = key(held, is_hash=True)
    assert isinstance(refused, Failure)
    assert refused.signal == named("SECRET_FIELD_MISSING")
