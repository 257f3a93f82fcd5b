"""A SOAP interface's types as values: simple types, structures, arrays, operations. Pure.

Members stand in the order of the wire, which is the order of the schema's sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NAMESPACE = "urn:thesecretserver.com"


class Simple(StrEnum):
    """By the names of XML Schema."""

    STRING = "string"
    INT = "int"
    BOOLEAN = "boolean"
    DATE = "dateTime"
    BYTES = "base64Binary"


@dataclass(frozen=True, slots=True)
class Structure:
    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Array:
    item: Simple | Structure

    @property
    def item_name(self) -> str:
        return str(self.item) if isinstance(self.item, Simple) else self.item.name

    @property
    def name(self) -> str:
        return f"ArrayOf{self.item_name[0].upper()}{self.item_name[1:]}"


Type = Simple | Structure | Array


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    type: Type
    nullable: bool = False
    """None is written as an empty element with `xsi:nil`."""

    @property
    def always(self) -> bool:
        """Numbers, truth values and dates are never left out of a structure, as .NET's value types are not."""
        return self.nullable or self.type in {Simple.INT, Simple.BOOLEAN, Simple.DATE}


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    parameters: tuple[Member, ...]
    result: Structure

    @property
    def action(self) -> str:
        return f"{NAMESPACE}/{self.name}"

    @property
    def has_token(self) -> bool:
        """Does it want somebody who has logged in?"""
        return any(parameter.name == "token" for parameter in self.parameters)

    @property
    def form(self) -> list[tuple[str, Simple]] | None:
        """The parameters of its HTTP GET form; None where there is no such form, since not all of them are simple."""
        simple = [(parameter.name, parameter.type) for parameter in self.parameters]
        found = [(name, kind) for name, kind in simple if isinstance(kind, Simple)]
        return found if len(found) == len(simple) else None


def members(*described: str | tuple[str, Structure | Array]) -> tuple[Member, ...]:
    """Members from `Name` (a string), `Name:int`, `Name:int?` (nullable), or a name with its type."""
    found = []
    for one in described:
        if isinstance(one, tuple):
            found.append(Member(*one))
            continue
        name, _, kind = one.partition(":")
        found.append(Member(name, Simple(kind.removesuffix("?") or "string"), nullable=kind.endswith("?")))
    return tuple(found)
