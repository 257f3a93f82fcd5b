"""What a load test may touch: loopback, and what --scope names. Asked before anything is started.

A load test is an attack on whatever was not meant to be tested. So every place that a campaign makes appliances
connect to - targets, their jump hosts, domain controllers, vaults and their proxies - must be on loopback or within the
scope. A DNS name may resolve to anything: only one that stands in the scope itself is let through, and `localhost`.
Where secrets alone are read no host is dialled, and the vaults and their proxies are all that is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from orchestrator.addresses import AddressError, AddressSet
from orchestrator.campaign_model import Campaign, WindowsRecord
from orchestrator.plan import select
from orchestrator.records import jump_of

_LOOPBACK = ("127.0.0.0/8", "::1", "localhost")


class ScopeError(ValueError):
    """A scope that is none. The text says what to write."""


def scope_of(entries: Iterable[str]) -> AddressSet:
    """Loopback, and these: CIDR blocks, ranges, addresses or names. Raises ScopeError."""
    try:
        return AddressSet.parse((*_LOOPBACK, *entries))
    except AddressError as error:
        raise ScopeError(f"--scope: {error}") from None


def beyond(campaign: Campaign, scope: AddressSet, *, vault_only: bool = False) -> tuple[str, ...]:
    """What the campaign would connect to outside the scope: one line for each kind of place."""
    touched = [*([] if vault_only else _hosts(campaign)), *_vaults(campaign)]
    return tuple(f"{what} {left.describe()}" for what, places in touched if (left := places - scope).count)


def _hosts(campaign: Campaign) -> Iterator[tuple[str, AddressSet]]:
    yield "targets", select(campaign.targets).addresses
    jumps = [jump.address for record in campaign.records if (jump := jump_of(record)) is not None]
    yield "jump hosts", AddressSet.parse(jumps)
    windows = [record for record in campaign.records if isinstance(record, WindowsRecord)]
    yield "domain controllers", AddressSet.parse(host for record in windows for host in record.controllers)


def _vaults(campaign: Campaign) -> Iterator[tuple[str, AddressSet]]:
    yield "vaults", AddressSet.parse(_host(vault.url) for vault in campaign.vaults)
    yield "proxies", AddressSet.parse(_host(vault.proxy) for vault in campaign.vaults if vault.proxy)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
