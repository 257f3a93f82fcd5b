"""SOAP 1.1 envelopes, document/literal wrapped, as the asking side needs them: arguments in, a result out. Pure.

Rules:
1. What is read is read without document types: so without entities, external ones and expansions. No element lies
   deeper than DEPTH; how long an answer may be is for its request to say.
2. What XML cannot say is not sent as something else: `sayable` tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

NAMESPACE = "urn:thesecretserver.com"
DEPTH = 24
"""Levels of elements that an answer may have; a secret with its permissions has eleven."""

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_UNSAYABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Argument = str | int | bool | list["tuple[str, Arguments]"]
"""A list is an array of structures, each under its type's name."""
Arguments = Iterable[tuple[str, Argument]]


def sayable(text: str) -> bool:
    """Can XML carry this text as it is? Control characters and halves of surrogate pairs it cannot."""
    return _UNSAYABLE.search(text) is None


def wrap(operation: str, arguments: Arguments) -> bytes:
    """A call. What is not `sayable` becomes U+FFFD: where that would matter, ask first."""
    call = f'<{operation} xmlns="{NAMESPACE}">{_members(arguments)}</{operation}>'
    envelope = f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>{call}</soap:Body></soap:Envelope>'
    return f'<?xml version="1.0" encoding="utf-8"?>{envelope}'.encode()


def unwrap(body: bytes, operation: str) -> Element | None:
    """The operation's result, from any bytes; None where there is none."""
    root = _parse(body)
    if root is None:
        return None
    return root.find(f"./{{{_SOAP}}}Body/{{{NAMESPACE}}}{operation}Response/{{{NAMESPACE}}}{operation}Result")


def fault(body: bytes) -> str | None:
    """The text of a fault, from any bytes; None where there is none."""
    root = _parse(body)
    found = None if root is None else root.find(f"./{{{_SOAP}}}Body/{{{_SOAP}}}Fault")
    return None if found is None else (found.findtext("faultstring") or "").strip()


def member(element: Element, name: str) -> Element | None:
    return element.find(f"{{{NAMESPACE}}}{name}")


def array(element: Element, name: str, item: str) -> list[Element]:
    return element.findall(f"{{{NAMESPACE}}}{name}/{{{NAMESPACE}}}{item}")


def text(element: Element, name: str) -> str | None:
    """None where the member is missing or nil."""
    found = member(element, name)
    return None if found is None or found.get(_XSI_NIL) in ("true", "1") else found.text or ""


def number(element: Element, name: str) -> int | None:
    """None where the member is missing, nil, or no whole number."""
    said = (text(element, name) or "").strip()
    return int(said) if re.fullmatch(r"-?[0-9]{1,10}", said, re.ASCII) else None


def flag(element: Element, name: str) -> bool | None:
    """None where the member is missing, nil, or no truth value."""
    return {"true": True, "1": True, "false": False, "0": False}.get((text(element, name) or "").strip())


class _TooDeepError(ValueError):
    pass


class _Shallow(TreeBuilder):
    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        self._depth += 1
        if self._depth > DEPTH:
            raise _TooDeepError
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def _parse(body: bytes) -> Element | None:
    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
    try:
        parser.feed(body)
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        # No XML, a document type, an encoding that nobody knows, or more levels than any answer has.
        return None
    return root


def _members(arguments: Arguments) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in arguments)


def _value(value: Argument) -> str:
    if isinstance(value, list):
        return "".join(f"<{name}>{_members(inner)}</{name}>" for name, inner in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(_UNSAYABLE.sub("\ufffd", str(value)), {"\r": "&#xD;"})
