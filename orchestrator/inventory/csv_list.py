"""CSV with a header that says which column is what; other columns are left alone. Comma, semicolon or tab between."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from orchestrator.inventory.found import Found, InventoryError, Refusal, named

ADDRESSES = ("ip", "address", "ip_address", "ip address", "ipaddress", "target")
NAMES = ("fqdn", "dns", "dns_name", "dns name", "hostname", "host", "name")
_LINE_END = re.compile(r"[\r\n]")
"""As the csv module has it."""


def is_header(line: str) -> bool:
    """Does a first line name columns, at least one of which is known?"""
    return bool({*_cells(line)} & {*ADDRESSES, *NAMES})


def read(text: str) -> Iterator[Found | Refusal]:
    """Raises InventoryError for a header without any known column."""
    header = _LINE_END.split(text, maxsplit=1)[0]
    columns = _cells(header)
    address = next((columns.index(name) for name in ADDRESSES if name in columns), None)
    name = next((columns.index(name) for name in NAMES if name in columns), None)
    if address is None and name is None:
        known = ", ".join(sorted({*ADDRESSES, *NAMES}))
        raise InventoryError(f"names no column for the target; call one of them by one of: {known}", 1)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(header), strict=True)
    try:
        next(rows)
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _target(rows.line_num, row, address, name)
    except csv.Error as error:
        raise InventoryError(f"is no CSV from here on: {error}", rows.line_num) from None


def _target(line: int, row: list[str], address: int | None, name: int | None) -> Found | Refusal:
    where, called = (row[i].strip() if i is not None and i < len(row) else "" for i in (address, name))
    if not where and not called:
        return Refusal(line, "has neither an address nor a name; fill one in, or take the line out")
    return named(line, called, where) if called else Found(line, where)


def _cells(header: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in header.strip().split(_delimiter(header))]


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)
