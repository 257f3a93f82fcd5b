"""An appliance's own policy: no job can widen it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import (
    Candidate,
    CredentialRef,
    HostKeyPolicy,
    Job,
    SecretLookup,
    Selection,
    Target,
    Technology,
    account_key,
)
from appliance.policy import Policy

VAULT = {"Vault": "https://vault.example"}


def a_job(*, vault: str = "Vault", host_keys: HostKeyPolicy = HostKeyPolicy.TOFU) -> Job:
    candidate = Candidate(
        record="r",
        user="u",
        account=account_key("host:127.0.0.1", "u"),
        secret=CredentialRef(vault=vault, by=SecretLookup.NAME, key="s"),
        selection=Selection.IP,
        port=22,
        host_keys=host_keys,
    )
    return Job(
        run="run",
        job="job",
        attempt=1,
        lease="00",
        zone="default",
        technology=Technology.UNIX,
        target=Target(address="127.0.0.1"),
        candidates=(candidate,),
        deadline=5,
        give_up_at=0,
        purpose="",
    )


blocks = st.tuples(st.integers(0, 2**10 - 1), st.integers(22, 32)).map(
    lambda pair: str(ip_network((int(ip_address("10.0.0.0")) + pair[0], pair[1]), strict=False))
)


@given(st.lists(blocks, max_size=8), st.integers(0, 2**10 - 1))
def test_allows_exactly_the_addresses_of_its_networks(networks: list[str], offset: int) -> None:
    """The merged spans say what a walk over the networks says."""
    address = ip_address(int(ip_address("10.0.0.0")) + offset)
    expected = any(address in ip_network(network) for network in networks)
    assert expected == Policy.of(networks, "tofu", {}).allows_address(str(address))


def test_an_address_is_not_got_past_by_its_spelling() -> None:
    """An IPv4-mapped IPv6 address is the IPv4 address; text that is no address is nowhere."""
    policy = Policy.of(["10.0.0.0/8", "2001:db8::/64"], "tofu", {})
    assert policy.allows_address("::ffff:10.1.2.3")
    assert not policy.allows_address("::ffff:11.1.2.3")
    assert policy.allows_address("2001:db8::1")
    assert not policy.allows_address("2001:db8:0:1::1")
    assert not policy.allows_address("host.example")


def test_65536_single_hosts_are_looked_up_without_a_walk() -> None:
    """Scattered hosts stay separate spans, and every other address between them is refused."""
    first = int(ip_address("10.0.0.0"))
    policy = Policy.of([str(ip_address(first + 2 * n)) for n in range(65_536)], "tofu", {})
    assert len(policy.spans) == 65_536
    assert policy.allows_address("10.1.0.0")
    assert not policy.allows_address("10.1.0.1")


def test_a_job_is_refused_for_an_unknown_vault() -> None:
    """The vault must be one that this appliance was given, by title."""
    policy = Policy.of(["127.0.0.0/8"], "any", VAULT)
    assert not policy.refusal(a_job())
    assert "Other" in policy.refusal(a_job(vault="Other"))
    assert policy.allows_vault("Vault", "https://vault.example")
    assert not policy.allows_vault("Vault", "https://elsewhere.example")


@pytest.mark.parametrize(("floor", "asked", "refused"), [
    (HostKeyPolicy.PINNED, HostKeyPolicy.TOFU, True),
    (HostKeyPolicy.PINNED, HostKeyPolicy.PINNED, False),
    (HostKeyPolicy.TOFU, HostKeyPolicy.ANY, True),
    (HostKeyPolicy.TOFU, HostKeyPolicy.PINNED, False),
    (HostKeyPolicy.ANY, HostKeyPolicy.ANY, False),
])  # fmt: skip
def test_a_job_may_be_stricter_about_host_keys_but_not_weaker(
    floor: HostKeyPolicy, asked: HostKeyPolicy, refused: bool
) -> None:
    policy = Policy.of(["127.0.0.0/8"], floor, VAULT)
    assert refused == bool(policy.refusal(a_job(host_keys=asked)))
