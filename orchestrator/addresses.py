"""Addresses as campaigns write them, and sets of them that never hold an address singly.

An entry is a literal, a range `a-b`, a CIDR block, or a DNS name. Every address of a block counts, its first and last
included: whoever wants them out excludes them. Inside, an address is one number: IPv4 as it is, IPv6 above 2**32. So
one sorted list of disjoint intervals holds both families, a /8 costs as much as a single host, and the n-th address of
a set is one bisection away. An IPv4-mapped IPv6 address is the IPv4 address, so that no exclusion is got round by
spelling. DNS names are compared as text, in lower case and without the final dot: nothing is resolved here.

IPv4 literals, of which a plan makes one and reads several for each target, go past `ipaddress` (membership among
100,000 addresses took 3.6 us of CPU, and takes 1.3; planning a target 21 us, and 17: `python -m tests.bench.scale
--planning`).
Whatever the C library refuses to read, `ipaddress` has the last word on.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from socket import AF_INET, inet_pton

Span = tuple[int, int]
"""First and last address as numbers, both included."""

_V6 = 1 << 32
_MAPPED = 0xFFFF << 32
"""Where IPv4-mapped addresses (::ffff:0:0/96) begin, as an IPv6 number."""
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


class AddressError(ValueError):
    """An entry that is no address. The text quotes it and says what to write instead."""


@dataclass(frozen=True, slots=True)
class Name:
    """A DNS name, folded."""

    text: str


def parse_entry(text: str) -> Span | Name:
    """Read a literal, a range, a CIDR block or a DNS name. Raises AddressError."""
    entry = text.strip().lower()
    if "/" in entry:
        return _block(entry)
    literal = _literal(entry)
    if literal is not None:
        return (literal, literal)
    left, dash, right = (part.strip() for part in entry.partition("-"))
    if dash and _literal(left) is not None:
        return _range(entry, left, right)
    return Name(_name(entry))


def number_of(address: str) -> int | None:
    """The number of an IP literal; None for anything else. Raises AddressError for one with a network interface."""
    try:
        return int.from_bytes(inet_pton(AF_INET, address), "big")
    except (OSError, ValueError):  # ValueError: what no C string can hold
        return _literal(address.strip().lower())


def text_of(number: int) -> str:
    """The literal of a number, in its canonical spelling."""
    if number >= _V6:
        return str(IPv6Address(number - _V6))
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def canonical_address(address: str) -> str:
    """One spelling per target: the canonical literal, or the folded DNS name. Raises AddressError."""
    number = number_of(address)
    return text_of(number) if number is not None else _name(address.strip().lower())


def _literal(text: str) -> int | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return int(address)
    if address.scope_id is not None:
        raise AddressError(f"{text!r} names a network interface after '%', which only one machine knows; leave it out")
    return int(address.ipv4_mapped) if address.ipv4_mapped is not None else _V6 + int(address)


def _block(text: str) -> Span:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise AddressError(f"{text!r} is no CIDR block; write for example 10.0.0.0/24 or 2001:db8::/64") from None
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise AddressError(f"{text!r} does not begin on its own boundary; write {network}, or a range")
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first, last) if network.version == 4 else _fold(text, first, last)


def _range(text: str, left: str, right: str) -> Span:
    try:
        start, end = ip_address(left), ip_address(right)
    except ValueError:
        raise AddressError(f"{text!r} is no range; write both ends in full, for example 10.0.0.5-10.0.0.20") from None
    if start.version != end.version:
        raise AddressError(f"{text!r} runs from one address family into the other; write one range for each")
    if int(start) > int(end):
        raise AddressError(f"{text!r} ends before it begins; swap the two addresses")
    if start.version == 4:
        return (int(start), int(end))
    if "%" in text:
        raise AddressError(f"{text!r} names a network interface after '%', which only one machine knows; leave it out")
    return _fold(text, int(start), int(end))


def _fold(text: str, first: int, last: int) -> Span:
    """An IPv6 interval as a span; one that lies in the mapped block is IPv4, one that straddles it is refused."""
    end = _MAPPED + _V6 - 1
    if first > end or last < _MAPPED:
        return (_V6 + first, _V6 + last)
    if first < _MAPPED or last > end:
        raise AddressError(f"{text!r} holds IPv4-mapped addresses and others; write the IPv4 part as IPv4")
    return (first - _MAPPED, last - _MAPPED)


def _name(text: str) -> str:
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError(f"{text!r} is no address, range, CIDR block or DNS name; correct it")
    return name


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted, disjoint, with neighbours joined."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _common(one: tuple[Span, ...], other: tuple[Span, ...]) -> Iterator[Span]:
    """The overlaps of two merged lists, in one pass over both."""
    i = j = 0
    while i < len(one) and j < len(other):
        first, last = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if first <= last:
            yield (first, last)
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1


def _rest(spans: tuple[Span, ...], gone: tuple[Span, ...]) -> Iterator[Span]:
    """What is left of a merged list without another one."""
    holes = iter(gone)
    hole = next(holes, None)
    for first, last in spans:
        start = first
        while hole is not None and hole[1] < start:
            hole = next(holes, None)
        while hole is not None and hole[0] <= last:
            if hole[0] > start:
                yield (start, hole[0] - 1)
            start = hole[1] + 1
            if hole[1] > last:
                break
            hole = next(holes, None)
        if start <= last:
            yield (start, last)


@dataclass(frozen=True)
class AddressSet:
    """Merged spans and distinct DNS names. Its order is: addresses by number, then names by text."""

    spans: tuple[Span, ...] = ()
    names: tuple[str, ...] = ()

    @staticmethod
    def of(entries: Iterable[Span | Name]) -> AddressSet:
        spans: list[Span] = []
        names: set[str] = set()
        for entry in entries:
            if isinstance(entry, Name):
                names.add(entry.text)
            else:
                spans.append(entry)
        return AddressSet(merge(spans), tuple(sorted(names)))

    @staticmethod
    def parse(texts: Iterable[str]) -> AddressSet:
        """Raises AddressError for the first entry that is none."""
        return AddressSet.of(parse_entry(text) for text in texts)

    @staticmethod
    def everything() -> AddressSet:
        """Every address of both families. What IPv6 maps IPv4 to is IPv4 here, so the block of it is left out."""
        last = (1 << 128) - 1
        return AddressSet(((0, _V6 + _MAPPED - 1), (_V6 + _MAPPED + _V6, _V6 + last)))

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """How many addresses lie in the spans up to and including the n-th."""
        return tuple(itertools.accumulate(last - first + 1 for first, last in self.spans))

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        return tuple(first for first, _ in self.spans)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    @property
    def count(self) -> int:
        """How many addresses and names; not `len`, which ends at 2**63 while a /64 alone has 2**64."""
        return (self._ends[-1] if self._ends else 0) + len(self.names)

    def at(self, index: int) -> str:
        """The index-th member in its canonical spelling. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        n = bisect.bisect_right(self._ends, index)
        if n == len(self.spans):
            return self.names[index - (self._ends[-1] if self._ends else 0)]
        return text_of(self.spans[n][1] - (self._ends[n] - 1 - index))

    def __contains__(self, address: str) -> bool:
        try:
            number = number_of(address)
        except AddressError:
            return False  # what is no address is in no set
        if number is None:
            return address.strip().lower().removesuffix(".") in self._names
        n = bisect.bisect_right(self._firsts, number) - 1
        return n >= 0 and number <= self.spans[n][1]

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet(merge((*self.spans, *other.spans)), tuple(sorted({*self.names, *other.names})))

    def __sub__(self, other: AddressSet) -> AddressSet:
        names = tuple(name for name in self.names if name not in other._names)
        return AddressSet(tuple(_rest(self.spans, other.spans)), names)

    def __and__(self, other: AddressSet) -> AddressSet:
        names = tuple(name for name in self.names if name in other._names)
        return AddressSet(tuple(_common(self.spans, other.spans)), names)

    def networks(self) -> tuple[str, ...]:
        """The addresses as the fewest CIDR blocks."""
        return tuple(str(block) for first, last in self.spans for block in _blocks(first, last))

    def describe(self, limit: int = 3) -> str:
        """The first few members as a person would write them: `10.0.0.5-10.0.0.9, web.example and 4 more`."""
        parts = [text_of(a) if a == b else f"{text_of(a)}-{text_of(b)}" for a, b in self.spans[:limit]]
        parts += self.names[: limit - len(parts)]
        left = len(self.spans) + len(self.names) - len(parts)
        return ", ".join(parts) + (f" and {left} more" if left else "")


def _blocks(first: int, last: int) -> Iterator[IPv4Network | IPv6Network]:
    if first < _V6 <= last:
        yield from _blocks(first, _V6 - 1)
        yield from _blocks(_V6, last)
    elif last < _V6:
        yield from summarize_address_range(IPv4Address(first), IPv4Address(last))
    else:
        yield from summarize_address_range(IPv6Address(first - _V6), IPv6Address(last - _V6))
