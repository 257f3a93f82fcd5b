"""One target a line: an address, a range, a CIDR block or a name; `#` begins a comment."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.inventory.found import Found, Refusal


def read(text: str) -> Iterator[Found | Refusal]:
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if len(line.split()) > 1 and not _is_spaced_range(line):
            yield Refusal(number, "is more than one word; write one target a line")
        else:
            yield Found(number, line)


def _is_spaced_range(line: str) -> bool:
    """`10.0.0.1 - 10.0.0.9`"""
    first, _, last = line.partition("-")
    return len(first.split()) == len(last.split()) == 1
