"""What the host of a URL may be called."""

from __future__ import annotations

import ipaddress

LONGEST_LABEL = 63


def is_host(host: str) -> bool:
    """Can there be such a name or address at all? `host`: as `urlsplit` gives it, without brackets."""
    if ":" in host:
        return True  # an IPv6 address, which stood in brackets
    labels = host.removesuffix(".").split(".")
    if not all(0 < len(label) <= LONGEST_LABEL for label in labels):
        return False
    return not "".join(labels).isdigit() or _is_ipv4(host)  # numbers alone are an address, or a slip in one


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
