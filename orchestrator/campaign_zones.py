"""What must hold between the zones of a campaign file; as `campaign_checks`, on the file's raw data.

1. A zone is named once. It has entries, unless it is the campaign's own (`pace.zone`, whose rest it has) or stands in
   for another.
2. Entries of two zones lie within each other or apart: where they cross, or are the same, no entry is the smaller one.
   A DNS name is in one zone only.
3. A fallback is another zone that the campaign names, and nobody's fallback leads back to himself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance.toml_lines import KeyPath
from orchestrator.addresses import AddressError, Name, Span, parse_entry, text_of
from orchestrator.zones import DEFAULT_ZONE

Complaint = tuple[KeyPath, str]
Tables = Sequence[tuple[int, Mapping[str, Any]]]
_Entry = tuple[Span, str, KeyPath, str]
"""What it spans, whose it is, where it stands and how it is written."""


def check_zones(data: Mapping[str, Any]) -> Iterator[Complaint]:
    given = data.get("zones")
    tables = [(i, t) for i, t in enumerate(given) if isinstance(t, dict)] if isinstance(given, list) else []
    own = _own(data)
    yield from _names(tables)
    yield from _without_entries(tables, own)
    yield from _entries(tables)
    yield from _fallbacks(tables, own)


def _own(data: Mapping[str, Any]) -> str:
    pace = data.get("pace")
    return (_text(pace, "zone") if isinstance(pace, dict) else "") or DEFAULT_ZONE


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) else ""


def _names(tables: Tables) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, table in tables:
        name = _text(table, "name")
        if name and first.setdefault(name, index) != index:
            yield ("zones", index, "name"), f"{name!r} is zones[{first[name]}] too; put the ips of both into one table"


def _without_entries(tables: Tables, own: str) -> Iterator[Complaint]:
    stand_ins = {_text(table, "fallback") for _, table in tables}
    for index, table in tables:
        name = _text(table, "name")
        if name and not table.get("ips") and name != own and name not in stand_ins:
            yield ("zones", index, "ips"), f"is missing, so that zone {name!r} has no targets; add them, or remove it"


def _entries(tables: Tables) -> Iterator[Complaint]:
    spans: list[_Entry] = []
    named: dict[str, str] = {}
    for index, table in tables:
        zone, ips = _text(table, "name"), table.get("ips")
        for n, text in enumerate(ips if isinstance(ips, list) else ()):
            path: KeyPath = ("zones", index, "ips", n)
            try:
                entry = parse_entry(text) if isinstance(text, str) else None
            except AddressError:
                continue  # its model has said so
            if isinstance(entry, Name):
                if named.setdefault(entry.text, zone) != zone:
                    yield path, f"{entry.text!r} is in zone {named[entry.text]!r} too; take it out of one of them"
            elif entry is not None:
                spans.append((entry, zone, path, text))
    yield from _crossing(spans)


def _crossing(spans: list[_Entry]) -> Iterator[Complaint]:
    """Sorted by address, the larger first: whatever holds an entry has come before it."""
    around: list[_Entry] = []
    for entry in sorted(spans, key=lambda one: (one[0][0], -one[0][1])):
        (first, last), zone, path, text = entry
        around = [one for one in around if one[0][1] >= first]
        for other, its_zone, _, its_text in around:
            if its_zone == zone:
                continue
            if other == (first, last):
                yield path, f"{text} is in zone {its_zone!r} too; take it out of one of them"
            elif other[1] < last:
                both = f"{text_of(first)}-{text_of(other[1])}"
                why = f"{text} and {its_text} of zone {its_zone!r} share {both}, and neither lies within the other"
                yield path, f"{why}; cut one of them off there"
        around.append(entry)


def _fallbacks(tables: Tables, own: str) -> Iterator[Complaint]:
    known = sorted({_text(table, "name") for _, table in tables} - {""} | {own})
    leads_to = {_text(table, "name"): _text(table, "fallback") for _, table in tables}
    for index, table in tables:
        path: KeyPath = ("zones", index, "fallback")
        name, to = _text(table, "name"), _text(table, "fallback")
        if not to:
            if "fallback_after" in table and "fallback" not in table:
                yield (*path[:-1], "fallback_after"), "has no effect without a fallback; name one, or remove it"
        elif to not in known:
            yield path, f"there is no zone {to!r}; name one of this file's ({', '.join(map(repr, known))})"
        elif name in (way := _way(name, leads_to)):
            yield path, f"leads back to {name!r} ({' -> '.join((name, *way))}); take one of these fallbacks out"


def _way(name: str, leads_to: Mapping[str, str]) -> tuple[str, ...]:
    way: list[str] = []
    at = leads_to.get(name, "")
    while at and at not in way:
        way.append(at)
        if at == name:
            break
        at = leads_to.get(at, "")
    return tuple(way)
