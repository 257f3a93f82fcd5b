"""One target a line: an address, a range, a CIDR block or a name; `#` begins a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.inventory.found import Found, Refusal

_SPACED_RANGE = re.compile(r"\S+\s*-\s*\S+")


def read(text: str) -> Iterator[Found | Refusal]:
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if len(line.split()) > 1 and not _SPACED_RANGE.fullmatch(line):
            yield Refusal(number, "is more than one word; write one target a line")
        else:
            yield Found(number, line)
