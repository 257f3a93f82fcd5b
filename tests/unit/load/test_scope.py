"""A load test stays on loopback, unless its user has named where else it may go."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.campaign_model import Campaign
from orchestrator.load.scope import ScopeError, beyond, scope_of
from tests.unit.load.arrivals import a_campaign


def changed(**parts: Any) -> Campaign:
    """The campaign with these keys of its first vault, its first record or its targets."""
    data = a_campaign().snapshot()["campaign"]
    data["vaults"][0] |= parts.get("vault", {})
    data["records"][0] |= parts.get("record", {})
    data["targets"] |= parts.get("targets", {})
    return Campaign.model_validate(data)


JUMP = {"host": "10.9.9.9", "user": "j", "secret": "jump"}


def test_loopback_needs_no_scope() -> None:
    assert beyond(a_campaign(), scope_of(())) == ()
    assert beyond(changed(vault={"url": "https://localhost/x"}), scope_of(())) == ()
    assert beyond(changed(vault={"url": "https://[::1]:8443/x"}), scope_of(())) == ()


@pytest.mark.parametrize(
    ("campaign", "said", "scope"),
    [
        (changed(targets={"include": ["127.0.0.1", "10.0.0.0/24"]}), "targets 10.0.0.0-10.0.0.255", "10.0.0.0/16"),
        (changed(targets={"include": ["fe80::1"]}), "targets fe80::1", "fe80::/64"),
        (changed(targets={"include": ["web.example"]}), "targets web.example", "web.example"),
        (changed(record={"jump": JUMP}), "jump hosts 10.9.9.9", "10.9.9.9"),
        (changed(vault={"url": "https://vault.example/SecretServer"}), "vaults vault.example", "VAULT.example."),
        (changed(vault={"url": "https://192.0.2.7/SecretServer"}), "vaults 192.0.2.7", "192.0.2.0-192.0.2.9"),
        (changed(vault={"proxy": "http://proxy.example:3128"}), "proxies proxy.example", "proxy.example"),
    ],
)
def test_what_lies_outside_is_named_and_let_in_by_its_scope(campaign: Campaign, said: str, scope: str) -> None:
    assert beyond(campaign, scope_of(())) == (said,)
    assert beyond(campaign, scope_of((scope,))) == ()


def test_where_secrets_alone_are_read_no_host_need_be_in_scope() -> None:
    vault = {"url": "https://vault.example/SecretServer", "proxy": "http://proxy.example:3128"}
    campaign = changed(targets={"include": ["10.0.0.0/24"]}, record={"jump": JUMP}, vault=vault)
    assert beyond(campaign, scope_of(()), vault_only=True) == ("vaults vault.example", "proxies proxy.example")
    assert beyond(campaign, scope_of(("vault.example", "proxy.example")), vault_only=True) == ()


def test_a_name_is_let_in_by_itself_alone() -> None:
    campaign = changed(targets={"include": ["web.example"]})
    assert beyond(campaign, scope_of(("0.0.0.0/0", "other.example"))) == ("targets web.example",)


def test_domain_controllers_are_places_too() -> None:
    windows = {
        "title": "Windows",
        "technology": "windows",
        "login_type": "Authentication Vault",
        "user": "scan",
        "vault": "Vault",
        "secret": "windows",
        "domain_type": "netbios-user-selected",
        "domain": "CORP",
        "ips": ["127.21.0.1"],
        "kerberos": "required",
        "realm": "CORP.EXAMPLE",
        "kdc": ["10.0.0.5"],
    }
    data = a_campaign().snapshot()["campaign"]
    data["records"].append(windows)
    assert beyond(Campaign.model_validate(data), scope_of(())) == ("domain controllers 10.0.0.5",)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0.256", "a b"])
def test_a_scope_that_is_none_says_what_to_write(entry: str) -> None:
    with pytest.raises(ScopeError, match="--scope: "):
        scope_of((entry,))
