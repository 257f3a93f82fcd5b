"""Requests to a vault and its answers as plain values: what `rest` and `soap` make and read, and `exchange` carries."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any, Literal
from urllib.parse import quote, urlencode

from pydantic_core import from_json

from appliance.contract import Ticket
from appliance.vault.definition import Hidden

JSON_LIMIT = 1024 * 1024
"""Bytes of an answer that are read at most; a longer one is no Secret Server answer."""

FILE_LIMIT = 256 * 1024
"""Bytes of an attachment. A private key has a few thousand."""

_DIGITS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Why:
    """What a vault's audit is told of a request."""

    comment: str = ""
    ticket: Ticket | None = None

    def arguments(self) -> dict[str, str | int]:
        """As REST names them; what is empty is left out."""
        given: dict[str, str | int] = {"comment": self.comment} if self.comment else {}
        if self.ticket is not None:
            given["ticketNumber"] = self.ticket.number
            if self.ticket.system is not None:
                given["ticketSystemId"] = self.ticket.system
        return given


UNTOLD = Why()


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, not yet authenticated: `exchange` adds the bearer."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    """Below the vault's base URL, beginning with a slash, already percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones; none of them a secret."""
    limit: int = JSON_LIMIT
    viewed: int = 0
    """The id of the secret whose values are asked for, and whose audit will say so; 0 for none."""
    secrets: tuple[Hidden, ...] = ()
    """What the body holds that an error must not give back to us."""
    question: bool = False
    """A POST without effect, which may be repeated as a GET may."""
    refused: Callable[[Answer], bool] | None = None
    """Of a view by an interface that refuses with 200: is this a refusal?"""

    @property
    def target(self) -> str:
        """Path and query as they go over the wire. Spaces are `%20` and backslashes `%5C`."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote, errors='replace')}" if self.query else self.path

    @property
    def kind(self) -> str:
        """Alike for requests that should take a vault the same time: method, path without its numbers, operation."""
        operation = [value for name, value in self.headers if name.lower() == "soapaction"] if self.headers else ""
        return f"{self.method} {_DIGITS.sub('', self.path)} {operation}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole. The body may hold a credential and has no repr."""

    status: int
    content_type: str = ""
    retry_after: str = ""
    """Whole seconds, or empty; see `retry_after` below."""
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[Hidden, ...] = ()
    """What its request held, the bearer included. Of an answer that is not 200 they are out already."""

    @property
    def asked_pause(self) -> float:
        """Seconds of Retry-After; 0 where it names none."""
        return delta_seconds(self.retry_after)


def load_json(body: bytes) -> Any:
    """Any bytes: the JSON value, or None where there is none (deep nesting and halves of surrogate pairs included).

    pydantic's parser takes a fifth of the time of the standard library's, and parsing is most of a fetch. Of the texts
    it may keep the names alone for later: its cache of values would hold passwords beyond their time.
    """
    try:
        return from_json(body, cache_strings="keys")
    except ValueError:
        return None


def delta_seconds(header: str) -> float:
    """A Retry-After in seconds; 0 for anything else. Dates have become seconds where the answer was read."""
    said = header.strip()
    return float(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0.0


def retry_after(header: str, date: str, now: float) -> str:
    """A Retry-After as whole seconds, rounded up, or "" where it names neither seconds nor a time to come.

    An HTTP-date is held against the answer's own `Date` where there is one, since the vault's clock is not ours; else
    against `now` (Unix seconds). Whoever obeys it bounds it.
    """
    said = header.strip()
    if not said or delta_seconds(said):
        return said
    wanted, sent = _instant(said), _instant(date)
    wait = 0 if wanted is None else ceil(wanted - (now if sent is None else sent))
    return str(wait) if wait > 0 else ""


def _instant(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
