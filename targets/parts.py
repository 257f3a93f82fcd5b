"""What the tables of an estate file are made of: frozen parts that refuse unknown keys, and durations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, get_args

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


def known_keys(model: type[Part], location: Iterable[int | str]) -> Sequence[str]:
    """What may stand in the table that pydantic saw at a location, in order; its indices and union tags are skipped."""
    for step in location:
        field = model.model_fields.get(step) if isinstance(step, str) else None
        model = next(_parts_in(field.annotation), model) if field is not None else model
    return sorted(model.model_fields)


def _parts_in(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts_in(inner)
