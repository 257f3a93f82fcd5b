"""Requests to a vault and its answers as plain values: what `rest` and `soap` make and read, and `exchange` carries."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import escape

from appliance.vault.definition import Hidden

JSON_LIMIT = 1024 * 1024
"""Bytes of an answer that are read at most; a longer one is no Secret Server answer."""

FILE_LIMIT = 256 * 1024
"""Bytes of an attachment. A private key has a few thousand."""

WITHHELD = "[withheld]"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, not yet authenticated: `exchange` adds the bearer."""

    method: Literal["GET", "POST"]
    path: str
    """Below the vault's base URL, beginning with a slash, already percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones; none of them a secret."""
    limit: int = JSON_LIMIT
    secrets: tuple[Hidden, ...] = ()
    """What the body holds that an error must not give back to us."""
    question: bool = False
    """A POST without effect, which may be repeated as a GET may."""

    @property
    def target(self) -> str:
        """Path and query as they go over the wire. Spaces are `%20` and backslashes `%5C`."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote, errors='replace')}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole. The body may hold a credential and has no repr."""

    status: int
    content_type: str = ""
    retry_after: str = ""
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[Hidden, ...] = ()
    """What its request held, the bearer included. Of an answer that is not 200 they are out already."""

    @property
    def asked_pause(self) -> float:
        """Seconds of Retry-After; 0 where it names none."""
        return delta_seconds(self.retry_after)


def withheld(said: str, secrets: tuple[Hidden, ...]) -> str:
    """A text with the secrets that it repeats taken out, in each form in which it may have met them."""
    for secret in secrets:
        value = secret.reveal()
        forms = {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], escape(value)}
        for form in sorted(forms - {""}, key=len, reverse=True):
            said = said.replace(form, WITHHELD)
    return said


def delta_seconds(header: str) -> float:
    """A Retry-After in seconds; 0 for anything else. Dates are not read: the vault's clock is not ours."""
    said = header.strip()
    return float(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0.0
