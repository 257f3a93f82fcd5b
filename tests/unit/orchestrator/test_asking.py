"""From which zone each of a campaign's vaults is asked."""

from __future__ import annotations

import pytest

from orchestrator.campaign import Campaign, parse_campaign
from orchestrator.cli.asking import vaults_of_campaign

VAULT = """
[[vaults]]
title = "{title}"
url = "https://{title}.example/SecretServer"
user = "svc"
password = {{ env = "X" }}
"""
RECORD = """
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "{title}"
secret = "s"
accounts = "local"
ips = ["{network}"]
"""
TARGETS = """
[targets]
include = ["10.1.0.0/24", "10.2.0.0/24"]
"""
DMZ = """
[[zones]]
name = "dmz"
ips = ["10.2.0.0/16"]
"""


def campaign(zones: str = "") -> Campaign:
    """A vault for each network, and one that no record names."""
    vaults = "".join(VAULT.format(title=title) for title in ("inner", "outer", "spare"))
    records = RECORD.format(title="inner", network="10.1.0.0/16") + RECORD.format(title="outer", network="10.2.0.0/16")
    return parse_campaign('name = "c"\n' + vaults + records + TARGETS + zones, "c.toml")


def without(title: str, whole: Campaign) -> Campaign:
    """As commands narrow a campaign down to the vaults that they ask."""
    return whole.model_copy(update={"vaults": tuple(vault for vault in whole.vaults if vault.title != title)})


@pytest.mark.parametrize(
    ("whole", "found"),
    [
        (campaign(), {"default": ["inner", "outer", "spare"]}),
        (campaign(DMZ), {"default": ["inner", "spare"], "dmz": ["outer"]}),
        (without("outer", campaign(DMZ)), {"default": ["inner", "spare"]}),
        (without("inner", campaign(DMZ)), {"dmz": ["outer", "spare"]}),
        (without("outer", campaign()), {"default": ["inner", "spare"]}),
    ],
    ids=["one zone", "two", "two, one vault left out", "two, the other left out", "one zone, one left out"],
)
def test_every_vault_that_is_asked_has_a_zone_and_no_other_one_is_asked(
    whole: Campaign, found: dict[str, list[str]]
) -> None:
    assert {zone: list(titles) for zone, titles in vaults_of_campaign(whole).items()} == found
