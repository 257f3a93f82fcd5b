"""A list as a whole: told what it is by its content, read, checked, each target once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.campaign_model import TargetEntry
from orchestrator.inventory import ansible_ini, ansible_yaml, csv_list, nmap, plain_list
from orchestrator.inventory.found import Found, InventoryError, InventoryFormat, Refusal

BYTES_MAX = 64 << 20
ENTRIES_MAX = 1_000_000
READ_MAX = 2 * ENTRIES_MAX
"""Repeated and refused entries included: a few ranges or aliases repeat more than could be read in a day."""
TEXT_MAX = 253
"""Characters of an address or a name: a DNS name's."""

_GROUP = re.compile(r"[\w.-]+:(\s|$)")
"""How a YAML inventory begins."""
_READERS: Mapping[InventoryFormat, Callable[[str], Iterator[Found | Refusal]]] = {
    InventoryFormat.LIST: plain_list.read,
    InventoryFormat.CSV: csv_list.read,
    InventoryFormat.NMAP: nmap.read,
    InventoryFormat.ANSIBLE_INI: ansible_ini.read,
    InventoryFormat.ANSIBLE_YAML: ansible_yaml.read,
}


@dataclass(frozen=True, slots=True)
class Inventory:
    entries: Mapping[TargetEntry, int]
    """And the line on which each was first met."""
    refusals: tuple[Refusal, ...]
    """Lines that are no target of a scan; with `ignored`, lines of which something was left out."""
    repeated: int
    """Entries that had come before."""

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return tuple(r for r in self.refusals if not r.ignored)


def read_inventory(data: bytes, form: InventoryFormat | None = None) -> Inventory:
    """Raises InventoryError for what cannot be read as a whole; single lines are refused instead."""
    text = _decoded(data)
    entries: dict[TargetEntry, int] = {}
    refusals: list[Refusal] = []
    repeated = 0
    for number, one in enumerate(_READERS[form or detect(text)](text)):
        if number >= READ_MAX:
            raise InventoryError(f"names more than {READ_MAX:,} targets, most of them more than once; write each once")
        made = one if isinstance(one, Refusal) else _entry(one)
        if isinstance(made, Refusal):
            refusals.append(made)
        elif made in entries:
            repeated += 1
        else:
            entries[made] = one.line
        if len(entries) > ENTRIES_MAX:
            raise InventoryError(f"names more than {ENTRIES_MAX:,} targets; write networks as blocks (10.0.0.0/8)")
    return Inventory(entries, tuple(refusals), repeated)


def detect(text: str) -> InventoryFormat:
    """What a text looks like."""
    head = text.lstrip()[:4096]
    if head.startswith("<"):
        return InventoryFormat.NMAP
    lines = [line for raw in text.splitlines()[:200] if (line := raw.strip()) and not line.startswith(("#", ";"))]
    first = lines[0] if lines else ""
    if first == "---" or _GROUP.match(first):
        return InventoryFormat.ANSIBLE_YAML
    if any(line.startswith("[") and line.endswith("]") for line in lines) or any("ansible_" in line for line in lines):
        return InventoryFormat.ANSIBLE_INI
    return InventoryFormat.CSV if csv_list.is_header(first) else InventoryFormat.LIST


def _decoded(data: bytes) -> str:
    if len(data) > BYTES_MAX:
        raise InventoryError(f"is larger than {BYTES_MAX >> 20} MiB; split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InventoryError("is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InventoryError("is not UTF-8 text; save it as UTF-8", line) from None


def _entry(found: Found) -> TargetEntry | Refusal:
    fields = {name: value for name in ("address", "host", "fqdn") if (value := getattr(found, name))}
    if any(len(value) > TEXT_MAX for value in fields.values()):
        return Refusal(found.line, f"is too long for an address or a name ({TEXT_MAX} characters)")
    try:
        return TargetEntry.model_validate(fields)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False, include_input=False)
        if first["type"] == "value_error":
            return Refusal(found.line, str(first["ctx"]["error"]))
        return Refusal(found.line, f"{fields[str(first['loc'][0])]!r} is no host name; correct it, or leave it out")
