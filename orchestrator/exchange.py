"""A run as NDJSON, to be carried from one store to another: what is written, and what is read strictly.

A header (`keymuster`, `version`, the run's own row), a line for each row (`{"job": {...}}`), and an end with the number
of each kind, without which a file has been cut off. Rows are the store's, so that nothing is lost on the way; secrets
are none of them. A reader takes the versions that it knows, and no field more or less.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from appliance.contract import Evidence, Technology
from appliance.reasons import REASONS, Status
from appliance.utf8 import is_text
from orchestrator.permit_ledger import EntryKind
from orchestrator.run_state import RunState
from orchestrator.store.records import RecordUse
from orchestrator.store.unlisted import TABLES, Row, Unlisted, shape_of

WHAT, VERSION = "run export", 2
OLDEST = 1
_SINCE = {("attempt", "zone"): 2}
"""Fields that older exports do not have; they are read as null."""
LONGEST = 64 << 20
"""Bytes of a line; the longest is the header, with the campaign in it."""


def may_be_moved(state: RunState) -> bool:
    """Nobody is at work on it, nor about to be. One that is paused goes on where it is carried to."""
    return state is not RunState.QUEUED and not state.under_way


class ExchangeError(Exception):
    """What is wrong with a file; begins with its line."""


async def exported(rows: Unlisted, run: Row) -> AsyncIterator[str]:
    """The lines of an export, some at a time."""
    yield _line({"keymuster": WHAT, "version": VERSION, "run": run})
    numbers = dict.fromkeys(TABLES, 0)
    for kind in TABLES:
        async for page in rows.pages(kind, run["id"]):
            numbers[kind] += len(page)
            if page:
                yield "".join(_line({kind: row}) for row in page)
    yield _line({"end": numbers})


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


@dataclass(slots=True)
class Reader:
    """Reads an export line by line. `run` is the run's own row, known from the first line on."""

    lines: Iterator[str]
    number: int = 0
    run: Row = field(default_factory=dict)
    version: int = VERSION
    _counts: Counter[str] = field(default_factory=Counter)

    def header(self) -> Row:
        """The first line. Raises ExchangeError."""
        value = self._next()
        if value is None:
            raise ExchangeError("line 1: the file is empty; write it with `keymuster export`")
        if value.get("keymuster") != WHAT:
            raise self._wrong("this is no export of a run; write it with `keymuster export`")
        if value.get("version") not in range(OLDEST, VERSION + 1):
            known = f"{OLDEST} to {VERSION}"
            raise self._wrong(f"the export is of version {value.get('version')}, and this release reads {known}")
        self.version = value["version"]
        if value.keys() != {"keymuster", "version", "run"}:
            raise self._wrong(f"a header has keymuster, version and run, not {', '.join(map(str, value))}")
        self.run = self._checked("run", value["run"])
        state = self._one_of("run", "state", RunState, self.run["state"])
        if not may_be_moved(state):
            raise self._wrong(f"run: it is {state.value}, and only a run that has ended or is paused can be moved")
        return self.run

    def batches(self, size: int) -> Iterator[tuple[str, list[Row]]]:
        """Rows of one kind at a time, checked, up to the end. Raises ExchangeError."""
        kinds, batch, kind = list(TABLES), list[Row](), ""
        while (value := self._next()) is not None:
            if len(value) != 1:
                raise self._wrong(f"a line has one key, one of {', '.join(kinds)} and end")
            [(key, row)] = value.items()
            if batch and (key != kind or len(batch) >= size):
                yield kind, batch
                batch = []
            if key == "end":
                self._end(row)
                return
            if key not in TABLES:
                raise self._wrong(f"{key!r} is no kind of row; there are {', '.join(kinds)}")
            if kind and kinds.index(key) < kinds.index(kind):
                raise self._wrong(f"a {key} after a {kind}: the order is {', '.join(kinds)}")
            kind = key
            batch.append(self._row(kind, row))
            self._counts[kind] += 1
        raise ExchangeError(f"line {self.number}: the file ends there, without its last line: it has been cut off")

    def _end(self, told: object) -> None:
        found = {kind: self._counts[kind] for kind in TABLES}
        if told != found:
            raise self._wrong(f"end: it counts {told}, and before it there are {found}")
        if self._next() is not None:
            raise self._wrong("there is nothing after the end of an export")

    def _next(self) -> dict[str, Any] | None:
        self.number += 1
        try:
            text = next(self.lines, "")
        except UnicodeDecodeError:
            raise self._wrong("this is not UTF-8") from None
        if not text:
            self.number -= 1
            return None
        if len(text) > LONGEST:
            raise self._wrong("the line is too long for an export")
        try:
            value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"this is no JSON object: {error}") from None
        if not isinstance(value, dict):
            raise self._wrong("this is no JSON object")
        return value

    def _row(self, kind: str, value: object) -> Row:
        row = self._checked(kind, value)
        if row["run"] != self.run["id"]:
            raise self._wrong(f"{kind}: run is {row['run']!r}, and the header's is {self.run['id']!r}")
        for name, kinds in (("technology", Technology), ("status", Status)):
            if row.get(name) is not None:
                self._one_of(kind, name, kinds, row[name])
        if row.get("reason") is not None and row["reason"] not in REASONS:
            raise self._wrong(f"{kind}: {row['reason']!r} is no reason that this release knows")
        if kind == "permit":
            self._one_of(kind, "kind", EntryKind, row["kind"])
        if row.get("evidence") is not None:
            try:
                Evidence.model_validate_json(row["evidence"])
            except ValidationError as error:
                raise self._wrong(f"{kind}: evidence: {error.errors()[0]['msg']}") from None
        if kind == "attempt" and row["ended_at"] is not None and row["evidence"] is None:
            raise self._wrong("attempt: one that has ended has evidence")
        if kind == "attempt" and not _are_texts(row["tried"]):
            raise self._wrong("attempt: tried is a list of texts")
        if kind == "job" and not _are_records(row["records"]):
            raise self._wrong("job: records is a list of [record, user, vault, secret, port, account, others]")
        return row

    def _checked(self, kind: str, value: object) -> Row:
        """The columns of this kind, and no others, each of its type."""
        shape = shape_of(kind)
        if not isinstance(value, dict):
            raise self._wrong(f"{kind}: this is no JSON object")
        later = {name: None for (of, name), since in _SINCE.items() if of == kind and since > self.version}
        if early := [name for name in later if name in value]:
            raise self._wrong(f"{kind}: {early[0]!r} is no field of version {self.version}")
        value = {**value, **later}
        if lost := [name for name in shape if name not in value]:
            raise self._wrong(f"{kind}: {lost[0]!r} is missing")
        if strange := [name for name in value if name not in shape]:
            raise self._wrong(f"{kind}: {strange[0]!r} is no field of it")
        for name, (wanted, nullable) in shape.items():
            if not (_is(value[name], wanted) or (nullable and value[name] is None)):
                raise self._wrong(f"{kind}: {name} is {value[name]!r:.60}, and ought to be {_NAMES[wanted]}")
        return cast("Row", value)

    def _one_of(self, kind: str, name: str, known: Callable[[Any], Any], value: object) -> Any:
        try:
            return known(value)
        except ValueError:
            raise self._wrong(f"{kind}: {value!r} is no {name} that this release knows") from None

    def _wrong(self, text: str) -> ExchangeError:
        return ExchangeError(f"line {self.number}: {text}")


_NAMES = {str: "a text", int: "a whole number", float: "a number", object: "a JSON object or list"}


def _is(value: object, wanted: type) -> bool:
    if wanted is object:
        return isinstance(value, dict | list)
    if isinstance(value, bool):
        return False
    if wanted is str:
        # What a database of either kind can hold.
        return isinstance(value, str) and "\0" not in value and is_text(value)
    if wanted is int:
        return isinstance(value, int) and abs(value) < 2**63
    return isinstance(value, int | float) and abs(value) < 1e18


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_records(value: object) -> bool:
    if not isinstance(value, list):
        return False
    for one in value:
        if not (isinstance(one, list) and len(one) == len(RecordUse.__slots__)):
            return False
        *texts, others = one
        port = texts.pop(4)
        if not (_are_texts(texts) and isinstance(port, int) and isinstance(others, list)):
            return False
        if not all(_are_texts(pair) and len(pair) == 2 for pair in others):
            return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")
