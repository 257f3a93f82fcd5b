"""Ansible's inventory in its INI form: hosts of every group, ranges (`web[01:20].example`), `ansible_host`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import islice

from orchestrator.inventory.found import SECRETS, Found, InventoryError, Refusal, ignored_secret, named

EXPANDED_MAX = 65_536
_SECTION = re.compile(r"\[([^\]:]+)(?::(\w+))?\]\s*(?:[#;].*)?")
_RANGE = re.compile(r"\[([^\]:]+):([^\]:]+)(?::(\d+))?\]")
_ASSIGNED = re.compile(r"(\w+)\s*=")


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError for ranges that make too many hosts."""
    kind = "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if section := _SECTION.fullmatch(line):
            kind = section[2] or "hosts"
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
    variables = dict(word.split("=", 1) for word in words if "=" in word)
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
    names = list(islice(expanded(name, number), EXPANDED_MAX + 1))
    if len(names) > EXPANDED_MAX:
        raise InventoryError(f"has ranges of more than {EXPANDED_MAX:,} hosts in all", number)
    for one in names:
        yield named(number, one, address if len(names) == 1 else "")


def expanded(pattern: str, line: int) -> Iterator[str]:
    """`web[01:20]` -> web01 to web20, `db-[a:f]` -> db-a to db-f; both ends are in."""
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    first, last, step = found[1], found[2], int(found[3] or 1) or 1
    if first.isdecimal() and last.isdecimal():
        span = range(int(first), int(last) + 1, step)
        parts = (str(n).zfill(len(first)) for n in span)
    elif len(first) == len(last) == 1:
        span = range(ord(first), ord(last) + 1, step)
        parts = (chr(n) for n in span)
    else:
        raise InventoryError(f"has a range that is none: {found[0][:40]!r}", line)
    if len(span) > EXPANDED_MAX:
        raise InventoryError(f"has a range of more than {EXPANDED_MAX:,} hosts", line)
    for part in parts:
        yield from expanded(pattern[: found.start()] + part + pattern[found.end() :], line)
