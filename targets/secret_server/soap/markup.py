"""XML that is safe to read, and text that is safe to write. Pure.

Rules:
1. No document type is read: so no entities, no external ones, no expansion. ASP.NET prohibits it too.
2. No element lies deeper than DEPTH, and there are no more than ELEMENTS: a megabyte of them would hold up everybody
   else for a third of a second. How long a document may be is for who receives it to say.
3. What is written is well-formed whatever the text: what XML cannot say becomes U+FFFD.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

DEPTH = 32
"""Levels of elements that a document may have; a request has eight at most."""
ELEMENTS = 5000

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'

_UNSAYABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class MarkupError(ValueError):
    """What is wrong with a document, in the words of ASP.NET where it has some."""


def parse(document: bytes) -> Element:
    """The root of any bytes. Raises MarkupError, and nothing else."""
    parser = DefusedXMLParser(target=_Shallow(), forbid_dtd=True)
    try:
        parser.feed(document)
        root: Element = parser.close()
    except ParseError as error:
        line, column = error.position
        raise MarkupError(f"There is an error in XML document ({line}, {column + 1}).") from None
    except DefusedXmlException:
        raise MarkupError("For security reasons DTD is prohibited in this XML document.") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, MarkupError):
            raise
        raise MarkupError("System does not support the encoding of this XML document.") from None
    return root


def text(value: str) -> str:
    """A value between tags; a carriage return survives the reader's normalization."""
    return escape(_UNSAYABLE.sub("\ufffd", value), {"\r": "&#xD;"})


def attribute(value: str) -> str:
    """A value between double quotes."""
    return escape(_UNSAYABLE.sub("\ufffd", value), {"\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;", '"': "&quot;"})


class _Shallow(TreeBuilder):
    def __init__(self) -> None:
        super().__init__()
        self._depth = self._elements = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > DEPTH:
            raise MarkupError(f"The XML document has more than {DEPTH} levels.")
        if self._elements > ELEMENTS:
            raise MarkupError(f"The XML document has more than {ELEMENTS} elements.")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)
