"""Vault logins that are sent: which of them count, for how long, and which are refused."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract.sealed import SealedLogins
from appliance.sealed_logins import KnownVault, SealedBox, SealError, follow, new_sealing_key
from appliance.vault.definition import VaultLogin, VaultTls
from orchestrator.fleet.sealing import VALID_S, can_be_sealed_to, new_voice, seal_logins, voice_public

NOW = 1_800_000_000.0
VOICE = new_voice()
PRIVATE, PUBLIC = new_sealing_key()
URL = "https://vault.example/SecretServer"
PASSWORD = "KMS-sealed-marker"


def login(url: str = URL, title: str = "Vault", password: str = PASSWORD) -> dict[str, Any]:
    access = {"title": title, "url": url, "user": "svc"}
    return {"access": access, "password": password, "domain": "", "version": "1"}


def sealed(*logins: dict[str, Any], appliance: str = "a", now: float = NOW, voice: str = VOICE) -> SealedLogins:
    return seal_logins(logins or (login(),), appliance=appliance, sealing=PUBLIC, voice=voice, now=now)


def box(private: str = PRIVATE) -> SealedBox:
    return SealedBox("a", private, voice_public(VOICE), {"Vault": KnownVault(URL)})


def test_what_was_sealed_for_it_is_opened() -> None:
    message = sealed()
    assert PASSWORD.encode() not in message.encode()
    logins, until = box().open(message.encode(), NOW + 1)
    assert [(one.access.title, one.access.url, one.password.reveal()) for one in logins] == [("Vault", URL, PASSWORD)]
    assert until == NOW + VALID_S
    assert PASSWORD not in repr(logins)
    assert PRIVATE not in repr(box())


@pytest.mark.parametrize(
    ("message", "at", "why"),
    [
        (sealed(voice=new_voice()), NOW, "not signed by the fleet"),
        (sealed(appliance="b"), NOW, "for appliance 'b'"),
        (sealed(), NOW + VALID_S, "expired"),
        (sealed().model_copy(update={"expires_at": NOW + 10 * VALID_S}), NOW, "not signed by the fleet"),
        (sealed().model_copy(update={"appliance": "a", "issued_at": NOW + 1}), NOW, "not signed by the fleet"),
        (sealed().model_copy(update={"signature": ""}), NOW, "not signed by the fleet"),
        (sealed().model_copy(update={"box": b64encode(b"x" * 90).decode()}), NOW, "not signed by the fleet"),
    ],
)
def test_what_does_not_count(message: SealedLogins, at: float, why: str) -> None:
    with pytest.raises(SealError, match=why):
        box().open(message.encode(), at)


def test_another_appliances_box_stays_shut() -> None:
    other, _ = new_sealing_key()
    with pytest.raises(SealError, match="not sealed to this appliance's key"):
        box(other).open(sealed().encode(), NOW)


def test_a_recording_of_older_ones_is_refused() -> None:
    mine = box()
    mine.open(sealed(now=NOW + 5).encode(), NOW + 6)
    mine.open(sealed(now=NOW + 5).encode(), NOW + 6)
    with pytest.raises(SealError, match="older than those"):
        mine.open(sealed().encode(), NOW + 6)


def test_only_the_vaults_of_its_own_file_at_their_own_urls() -> None:
    logins, _ = box().open(sealed(login(url="https://elsewhere.example"), login(title="Other")).encode(), NOW)
    assert logins == ()


def test_whom_to_trust_its_own_file_says() -> None:
    own = VaultTls(ca="OWN", pins=("sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",))
    mine = SealedBox("a", PRIVATE, voice_public(VOICE), {"Vault": KnownVault(URL, own)})
    weaker = login()
    weaker["access"]["tls"] = {"ca": "", "verify": False}
    (held,), _ = mine.open(sealed(weaker).encode(), NOW)
    assert (held.access.tls.verify, held.access.tls.ca, held.access.tls.pins) == (True, "OWN", own.pins)


def test_a_key_that_no_secret_can_be_shared_with_is_known() -> None:
    assert can_be_sealed_to(PUBLIC)
    assert not can_be_sealed_to(b64encode(bytes(32)).decode())


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SealError):
        box().open(data, NOW)


async def test_what_has_expired_is_used_no_longer_and_what_comes_replaces_it() -> None:
    used: list[tuple[str, ...]] = []
    began = anyio.current_time()

    async def sent() -> AsyncIterator[bytes | None]:
        yield None
        yield sealed(login(password="one")).encode()
        yield b"nonsense"
        yield sealed(login(password="two"), now=NOW + 1).encode()
        await anyio.sleep_forever()

    def use(logins: tuple[VaultLogin, ...]) -> None:
        used.append(tuple(one.password.reveal() for one in logins))
        if not logins:
            scope.cancel()

    def clock() -> float:
        """The second ones have a tenth of a second to live."""
        return NOW + VALID_S + 0.9 + anyio.current_time() - began if len(used) == 2 else NOW

    with anyio.move_on_after(10) as scope:
        await follow(sent(), box(), use, clock)
    assert used == [("one",), ("two",), ()]
