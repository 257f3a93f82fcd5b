from __future__ import annotations

from dataclasses import replace

import asyncssh
import pytest
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.packet import PacketDecodeError, SSHPacket
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

from appliance.contract import CryptoProfile
from appliance.login.ssh_crypto import PROFILES, Offers, host_key_order


def _names(algorithms: list[bytes]) -> set[str]:
    return {a.decode() for a in algorithms}


@pytest.mark.parametrize("profile", list(CryptoProfile))
def test_every_algorithm_exists(profile: CryptoProfile) -> None:
    offered = PROFILES[profile]
    assert set(offered.kex) <= _names(get_kex_algs())
    assert set(offered.ciphers) <= _names(get_encryption_algs())
    assert set(offered.macs) <= _names(get_mac_algs())
    assert set(offered.host_keys) <= _names(get_public_key_algs())


def test_profiles_grow() -> None:
    modern, compat, legacy = (PROFILES[p] for p in (CryptoProfile.MODERN, CryptoProfile.COMPAT, CryptoProfile.LEGACY))
    for field in ("kex", "ciphers", "macs", "host_keys"):
        assert set(getattr(modern, field)) <= set(getattr(compat, field)) <= set(getattr(legacy, field))
    assert not [a for a in (*modern.kex, *modern.macs) if "sha1" in a]
    broken = ("ssh-rsa", "ssh-dss", "diffie-hellman-group1-sha1", "diffie-hellman-group-exchange-sha1")
    for profile in (modern, compat):
        offered = (*profile.kex, *profile.ciphers, *profile.macs, *profile.host_keys)
        assert not [a for a in offered if a in broken or a.endswith("-cbc") or "md5" in a]
    assert "diffie-hellman-group1-sha1" in legacy.kex


def test_certificates_come_first_where_they_are_wanted() -> None:
    order = host_key_order(CryptoProfile.LEGACY, ("ssh-rsa AAAA",), certificates=True)
    plain = host_key_order(CryptoProfile.LEGACY, ("ssh-rsa AAAA",))
    assert order == (*(f"{a}-cert-v01@openssh.com" for a in PROFILES[CryptoProfile.LEGACY].host_keys), *plain)
    assert set(order) <= _names(get_public_key_algs()) | _names(get_certificate_algs())


MODERN = Offers(("curve25519-sha256",), ("ssh-ed25519",), ("aes128-ctr",), ("hmac-sha2-256",))


@pytest.mark.parametrize(
    ("change", "needed", "text"),
    [
        ({}, CryptoProfile.MODERN, ""),
        ({"kex": ("diffie-hellman-group14-sha1",)}, CryptoProfile.COMPAT, "key exchange"),
        ({"macs": ("hmac-sha1",)}, CryptoProfile.COMPAT, "MAC"),
        ({"host_keys": ("ssh-rsa",)}, CryptoProfile.LEGACY, "host key algorithm"),
        ({"ciphers": ("3des-cbc", "arcfour")}, CryptoProfile.LEGACY, "cipher"),
        ({"macs": ("umac-64@openssh.com",)}, None, "MAC"),
        ({"ciphers": ("aes256-gcm@openssh.com",), "macs": ()}, CryptoProfile.MODERN, ""),
    ],
)
def test_what_a_host_needs(change: dict[str, tuple[str, ...]], needed: CryptoProfile | None, text: str) -> None:
    offers = replace(MODERN, **change)
    assert offers.needed() is needed
    assert offers.facts()["crypto_needed"] == (needed or "none")
    said = offers.mismatch(CryptoProfile.MODERN)
    if not text:
        assert said == ""
        return
    [theirs] = change.values()
    would_do = f"the profile {needed} would do" if needed else "no profile would do"
    assert said == f"{would_do}; no common {text}: the host offers {', '.join(theirs)}"
    assert offers.mismatch(CryptoProfile.LEGACY) == ("" if needed else said)


def test_what_was_agreed() -> None:
    assert MODERN.agreed(CryptoProfile.MODERN) == {
        "kex": "curve25519-sha256",
        "cipher": "aes128-ctr",
        "mac": "hmac-sha2-256",
    }
    sealed = replace(MODERN, ciphers=("aes128-ctr", "chacha20-poly1305@openssh.com"))
    assert sealed.agreed(CryptoProfile.MODERN) == {
        "kex": "curve25519-sha256",
        "cipher": "chacha20-poly1305@openssh.com",
    }


def test_a_servers_first_message() -> None:
    lists = ("a,ext-info-s,b,kex-strict-s-v00@openssh.com", "k", "c1,c2", "c2,c3", "m1", "m1", "none", "none", "", "")
    message = b"c" * 16 + b"".join(len(x).to_bytes(4, "big") + x.encode() for x in lists) + b"\0" * 5
    assert Offers.read(SSHPacket(message)) == Offers(("a", "b"), ("k",), ("c2",), ("m1",))
    with pytest.raises(PacketDecodeError):
        Offers.read(SSHPacket(message[:30]))


def test_known_key_types_come_first_and_nothing_is_added() -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_public_key().decode()
    order = host_key_order(CryptoProfile.MODERN, (rsa,))
    assert order[:2] == ("rsa-sha2-256", "rsa-sha2-512")
    assert sorted(order) == sorted(PROFILES[CryptoProfile.MODERN].host_keys)
    assert host_key_order(CryptoProfile.MODERN, ("ssh-dss AAAA",)) == PROFILES[CryptoProfile.MODERN].host_keys
