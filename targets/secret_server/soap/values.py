"""Values by their schema: XML elements to values, values to XML. Pure.

Rules, those of .NET's serializer:
1. Reading is lenient about what is there: members in any order, unknown ones passed over, a missing one its type's
   default. It is strict about what is in them: what is no number where one belongs is an error.
2. A member of another namespace is an unknown one.
3. Writing leaves out a member that the values have not; None is left out too, unless the member can be nil.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from targets.secret_server.soap import markup
from targets.secret_server.soap.schema import NAMESPACE, Array, Member, Simple, Structure, Type

XSI = "http://www.w3.org/2001/XMLSchema-instance"

Values = dict[str, Any]

_DEFAULTS: dict[Simple, Any] = {Simple.INT: 0, Simple.BOOLEAN: False}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}", re.ASCII)
_SPACES = " \t\r\n"


class BadValueError(ValueError):
    """A text that cannot be read as its member's type; the words are .NET's."""


def read(element: Element, members: Iterable[Member]) -> Values:
    """The members of a structure. Raises BadValueError."""
    present = {child.tag: child for child in reversed(element)}
    return {member.name: _read(present.get(f"{{{NAMESPACE}}}{member.name}"), member) for member in members}


def read_text(kind: Simple, raw: str) -> Any:
    """A simple value from its text. Raises BadValueError."""
    match kind:
        case Simple.STRING:
            return raw
        case Simple.INT:
            if not _NUMBER.fullmatch(raw.strip(_SPACES)):
                raise BadValueError("Input string was not in a correct format.")
            if not -(2**31) <= (number := int(raw.strip(_SPACES))) < 2**31:
                raise BadValueError("Value was either too large or too small for an Int32.")
            return number
        case Simple.BOOLEAN:
            if (flag := _BOOLEANS.get(raw.strip(_SPACES))) is None:
                raise BadValueError("The string is not a valid Boolean value.")
            return flag
        case Simple.DATE:
            try:
                return datetime.fromisoformat(raw.strip(_SPACES))
            except ValueError:
                raise BadValueError("The string is not a valid AllXsd value.") from None
        case Simple.BYTES:
            try:
                return base64.b64decode("".join(raw.split()), validate=True)
            except (binascii.Error, ValueError):
                raise BadValueError("Invalid length for a Base-64 char array or string.") from None


def write(members: Iterable[Member], values: Mapping[str, Any]) -> str:
    """A structure's members as XML, without the structure's own tags."""
    return "".join(_write(member, values[member.name]) for member in members if member.name in values)


def _read(element: Element | None, member: Member) -> Any:
    kind = member.type
    if element is None or element.get(f"{{{XSI}}}nil") in {"true", "1"}:
        if isinstance(kind, Array):
            return []
        return None if member.nullable or isinstance(kind, Structure) else _DEFAULTS.get(kind)
    match kind:
        case Array():
            items = element.iterfind(f"{{{NAMESPACE}}}{kind.item_name}")
            return [_item(kind.item, item) for item in items if item.get(f"{{{XSI}}}nil") not in {"true", "1"}]
        case _:
            return _item(kind, element)


def _item(kind: Simple | Structure, element: Element) -> Any:
    return read(element, kind.members) if isinstance(kind, Structure) else read_text(kind, element.text or "")


def _write(member: Member, value: Any) -> str:
    if value is None:
        return f'<{member.name} xsi:nil="true" />' if member.nullable else ""
    return _tagged(member.name, member.type, value)


def _tagged(name: str, kind: Type, value: Any) -> str:
    match kind:
        case Structure():
            inner = write(kind.members, value)
        case Array():
            inner = "".join(_tagged(kind.item_name, kind.item, one) for one in value)
        case _:
            inner = markup.text(_text(kind, value))
    return f"<{name}>{inner}</{name}>" if inner else f"<{name} />"


def _text(kind: Simple, value: Any) -> str:
    match kind:
        case Simple.BOOLEAN:
            return "true" if value else "false"
        case Simple.DATE:
            return str(value.isoformat(timespec="milliseconds"))
        case Simple.BYTES:
            return base64.b64encode(value).decode("ascii")
        case _:
            return str(value)
