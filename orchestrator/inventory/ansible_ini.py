"""Ansible's inventory in its INI form: hosts of every group, ranges (`web[01:20].example`), `ansible_host`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import product
from math import prod

from orchestrator.inventory.found import SECRETS, Found, InventoryError, Refusal, ignored_secret, named

EXPANDED_MAX = 65_536
_SECTION = re.compile(r"\[([^\]:]+)(?::(\w+))?\]\s*(?:[#;].*)?")
_KINDS = ("hosts", "children", "vars")
# A line may have megabytes: no pattern reads a character more than a few times.
_RANGE = re.compile(r"\[([^\[\]:]+):([^\[\]:]+)(?::([0-9]{1,9}))?\]")
_NUMBER = re.compile(r"[0-9]{1,9}")
_ASSIGNED = re.compile(r"\b(\w++)\s*+=")


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError for ranges that make no or too many hosts, and for a header that is none: what stands below
    it could be hosts or passwords.
    """
    kind = "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if section := _SECTION.fullmatch(line):
            kind = section[2] or "hosts"
            if kind not in _KINDS:
                raise InventoryError(f"heads a section of kind {kind[:40]!r}; known are {', '.join(_KINDS)}", number)
        elif line.startswith("[") and _RANGE.match(line) is None:
            raise InventoryError("begins like a section's header, and is none; write [group] or [group:vars]", number)
        elif kind == "hosts":
            yield from _host(number, line)
        elif kind == "vars":
            yield from (ignored_secret(number, name) for name in _ASSIGNED.findall(line) if name in SECRETS)


def _host(number: int, line: str) -> Iterator[Found | Refusal]:
    try:
        name, *words = shlex.split(line, comments=True)
    except ValueError:
        yield Refusal(number, "has a quote that is not closed")
        return
    if "=" in name:  # not quoted: it may be a password
        yield Refusal(
            number, "begins with a variable instead of a host; put the host first, or a [group:vars] above it"
        )
        return
    if any("=" not in word for word in words):  # not quoted: it may be a password
        yield Refusal(number, "has a word that is no variable (name=value); write one host a line, and quote values")
        return
    variables = dict(word.split("=", 1) for word in words)
    yield from (ignored_secret(number, variable) for variable in variables if variable in SECRETS)
    yield from hosts(number, name, variables.get("ansible_host", ""), variables.get("ansible_connection", ""))


def hosts(number: int, name: str, address: str, connection: str) -> Iterator[Found | Refusal]:
    """The hosts of a pattern; one that is not reached over a network is left out."""
    if connection in ("local", "docker", "podman", "chroot"):
        why = f"{name[:80]!r} is reached by {connection}, not over a network; it is left out"
        yield Refusal(number, why, ignored=True)
        return
    if "{{" in address:
        yield Refusal(number, f"{name[:80]!r} has an ansible_host that is a template; write the address itself")
        return
    names = list(expanded(name, number))
    for one in names:
        yield named(number, one, address if len(names) == 1 else "")


def expanded(pattern: str, line: int) -> Iterator[str]:
    """`web[01:20]` -> web01 to web20, `db-[a:f]` -> db-a to db-f; both ends are in.

    Raises InventoryError for a range that has no end or no host in it, and for too many hosts.
    """
    literals, spans, end = [], [], 0
    for found in _RANGE.finditer(pattern):
        literals.append(pattern[end : found.start()])
        spans.append(_span(found, line))
        end = found.end()
        if prod(map(len, spans)) > EXPANDED_MAX:
            raise InventoryError(f"has ranges of more than {EXPANDED_MAX:,} hosts in all", line)
    for parts in product(*spans):
        yield "".join(f"{literal}{part}" for literal, part in zip(literals, parts, strict=True)) + pattern[end:]


def _span(found: re.Match[str], line: int) -> list[str]:
    first, last, step = found[1], found[2], int(found[3] or 1) or 1
    numbers = _NUMBER.fullmatch(first) is not None and _NUMBER.fullmatch(last) is not None
    if not numbers and not len(first) == len(last) == 1:
        raise InventoryError(f"has a range that is none: {found[0][:40]!r}", line)
    span = range(int(first), int(last) + 1, step) if numbers else range(ord(first), ord(last) + 1, step)
    if len(span) > EXPANDED_MAX:
        raise InventoryError(f"has a range of more than {EXPANDED_MAX:,} hosts", line)
    if not span:
        raise InventoryError(f"has a range that ends before it begins: {found[0][:40]!r}", line)
    return [str(n).zfill(len(first)) if numbers else chr(n) for n in span]
