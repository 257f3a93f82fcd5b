r"""What a vault repeats of our secrets is taken out before anything reads it: of error pages, and of refusals with 200.

JSON and XML have more than one way to write a character (.NET writes `+` as `\u002B`), and say themselves in which
encoding they are. So JSON is written anew where a reader of it would still meet a secret; another text that still
spells one out is dropped as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import unescape
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from appliance.vault.definition import Hidden
from appliance.vault.messages import load_json

_WITHHELD = b"[withheld]"
_ZEROS, _NO_CHARACTER = re.compile("&#0+(?=[0-9])"), re.compile("&#[0-9]{8,}")
"""Of a character's number; Python refuses those that are very long."""


def without(body: bytes, secrets: tuple[Hidden, ...]) -> bytes:
    """A body with the secrets that it repeats taken out, in each form in which it may have met them."""
    values = [value for secret in secrets if (value := secret.reveal())]
    body = _cut(body, values)
    anew = _written_anew(body)
    if (clean := _cut(anew, values)) != anew:
        body = clean
    met = (text.replace(_WITHHELD.decode(), "") for text in _readings(body))
    return b"" if any(value in text for text in met for value in values) else body


def withheld(said: str, secrets: tuple[Hidden, ...]) -> str:
    """As `without`, for a text of an answer that has been read."""
    return without(said.encode("utf-8", "replace"), secrets).decode("utf-8", "replace")


def _cut(body: bytes, values: Sequence[str]) -> bytes:
    for value in values:
        as_json = (json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
        forms = {value, quote(value), quote(value, safe=""), quote_plus(value), escape(value), *as_json}
        for form in sorted(forms, key=len, reverse=True):
            body = body.replace(form.encode("utf-8", "replace"), _WITHHELD)
    return body


def _written_anew(body: bytes) -> bytes:
    """JSON in one spelling, by whatever reader; nothing for what is none."""
    value = load_json(body)
    try:
        if value is None:
            value = json.loads(body)  # the one that reads UTF-16 and UTF-32
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return b""


def _readings(body: bytes) -> Iterator[str]:
    """What a reader of XML or HTML may make of it."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        yield unescape(_NO_CHARACTER.sub("", _ZEROS.sub("&#", body.decode(encoding, "replace"))))
