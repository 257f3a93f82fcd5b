"""What the tables of an estate file are made of: frozen parts that refuse unknown keys, and durations."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Network = IPv4Network | IPv6Network


def _seconds(value: object) -> object:
    """`"30m"` -> 1800.0; numbers are seconds already."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value.strip())):
        return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]
    return value


def _network(value: object) -> object:
    return ip_network(value) if isinstance(value, str) else value


NetworkText = Annotated[Network, BeforeValidator(_network)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A table of the estate file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
