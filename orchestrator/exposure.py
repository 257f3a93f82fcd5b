"""What a vault's connection lacks, by leave of the campaign: said in `plan`, while a run goes on, and in its report.

It is read from plain data, the campaign's snapshot, so that a report on an old run tells it too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def exposures_of(snapshot: Mapping[str, Any]) -> dict[str, str]:
    """The same of a run's snapshot; nothing of one that holds no campaign."""
    return exposures(snapshot.get("campaign", {}))


def exposures(campaign: Mapping[str, Any]) -> dict[str, str]:
    """By title of a vault: a sentence, for those that are not as safe as they could be."""
    found = ((vault.get("title", ""), _exposure(vault)) for vault in campaign.get("vaults", ()))
    return {title: text for title, text in found if text}


def _exposure(vault: Mapping[str, Any]) -> str:
    url, tls, title = vault.get("url", ""), vault.get("tls", {}), vault.get("title", "")
    if not url.lower().startswith("https://"):
        clear = f"vault {title!r} is reached without TLS: its login and every secret cross the network in clear"
        return "" if on_this_machine(url) else clear
    if tls.get("verify", True) or tls.get("pin"):
        return ""
    return f"vault {title!r} is reached without checking its certificate: anybody may answer in its place"


def on_this_machine(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
