"""What a vault user may do: role permissions, access to secrets, and addresses to come from. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


class Permission(StrEnum):
    """Role permissions, by the product's names."""

    VIEW_SECRET = "View Secret"  # noqa: S105 - a permission
    VIEW_LAUNCHER_PASSWORD = "View Launcher Password"  # noqa: S105 - as above
    VIEW_AUDIT = "View Secret Audit"
    FORCE_CHECK_IN = "Force Check In"
    UNLIMITED = "Unlimited Administrator"


DEFAULT_PERMISSIONS = (Permission.VIEW_SECRET, Permission.VIEW_LAUNCHER_PASSWORD, Permission.VIEW_AUDIT)


class Access(IntEnum):
    """Access to a secret, in the numbers of `filter.permissionRequired`."""

    NONE = 0
    LIST = 1
    VIEW = 2
    EDIT = 3
    OWNER = 4


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A named range of an IP restriction, both ends included."""

    text: str
    first: IPv4Address | IPv6Address
    last: IPv4Address | IPv6Address

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)


def address_range(text: str) -> AddressRange:
    """`10.0.0.1`, `10.0.0.1-10.0.0.9` or `10.0.0.0/24`. Raises ValueError for anything else."""
    if "/" in text:
        network = ip_network(text.strip(), strict=False)
        return AddressRange(text, network.network_address, network.broadcast_address)
    low, _, high = text.partition("-")
    first, last = ip_address(low.strip()), ip_address((high or low).strip())
    if first.version != last.version or int(first) > int(last):
        raise ValueError(f"{text!r} is no range of addresses: its first address must not come after its last")
    return AddressRange(text, first, last)


def allowed(address: str, ranges: tuple[AddressRange, ...], *, local_always: bool) -> bool:
    """May somebody restricted to these ranges come from here? No ranges: from anywhere."""
    if not ranges or (local_always and address in {"127.0.0.1", "::1"}):
        return True
    try:
        where = ip_address(address)
    except ValueError:
        return False
    return any(r.holds(where) for r in ranges)
