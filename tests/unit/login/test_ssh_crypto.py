from __future__ import annotations

import asyncssh
import pytest
from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_public_key_algs

from appliance.contract import CryptoProfile
from appliance.login.ssh_crypto import PROFILES, host_key_order


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
    assert not [a for a in (*modern.kex, *modern.macs, *modern.host_keys) if "sha1" in a or a == "ssh-rsa"]
    assert "diffie-hellman-group1-sha1" in legacy.kex


def test_known_key_types_come_first_and_nothing_is_added() -> None:
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_public_key().decode()
    order = host_key_order(CryptoProfile.MODERN, (rsa,))
    assert order[:2] == ("rsa-sha2-256", "rsa-sha2-512")
    assert sorted(order) == sorted(PROFILES[CryptoProfile.MODERN].host_keys)
    assert host_key_order(CryptoProfile.MODERN, ("ssh-dss AAAA",)) == PROFILES[CryptoProfile.MODERN].host_keys
