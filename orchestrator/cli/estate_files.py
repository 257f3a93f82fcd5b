"""What a lab leaves in its directory for whoever judges a run on it: the truth of its hosts, and what they counted.

`metrics.json` lies beside `truth.ndjson`. While the lab is up it says where the counters are served; when the lab
stops, it holds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from appliance.contract import account_key
from orchestrator.cli.errors import BadInput
from orchestrator.logons import HostCount, HostCounts
from orchestrator.score import HostAccount

_COLUMNS = ("address", "technology", "fault", "login", "user", "account")
"""What a row of the truth must have to be held against an outcome."""
ANSWER_S = 10.0
"""A lab under load takes its time."""

Truths = Sequence[Mapping[str, Any]]
"""The rows of a truth.ndjson."""
FAR_FUTURE = float(1 << 33)
"""The year 2242, in Unix seconds."""
_NOT_WRITTEN_BY_A_LAB = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of JSON that is none, or other JSON than expected."""


def read_truth(file: Path) -> list[dict[str, Any]]:
    """Raises BadInput, with the line."""
    try:
        lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row(json.loads(line)))
        except _NOT_WRITTEN_BY_A_LAB:
            raise BadInput(f"{file}:{number}: is no row of an estate's truth.ndjson") from None
    return rows


def _row(row: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(row[name], str) for name in _COLUMNS):
        raise TypeError
    return row


async def read_counts(truth: Path) -> HostCounts | str:
    """What the hosts of a truth's lab have counted; or why that cannot be had, and what to do. Raises BadInput for a
    file that no lab has written.
    """
    file = truth.with_name("metrics.json")
    try:
        left = json.loads(await anyio.Path(file).read_bytes())
        url, since = left.get("url"), _instant(left["since"])
        if url is None:
            return _counts(left)
    except FileNotFoundError:
        return f"there is no {file}; name the truth in its lab's own directory with --truth"
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    except _NOT_WRITTEN_BY_A_LAB:
        raise BadInput(f"{file}: is not what a lab writes; start the lab anew, and run the campaign on it") from None
    served = await _served(str(url))
    if served is None or served.get("since") != since:
        return f"the lab of {file} ended without leaving its counters; start it anew, and run the campaign on it"
    try:
        return _counts(served)
    except _NOT_WRITTEN_BY_A_LAB:
        raise BadInput(f"{url}: is not what a lab answers") from None


async def _served(url: str) -> dict[str, Any] | None:
    """What is answered there; None where nobody answers with an object of JSON."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            document = await response.json()
    except (aiohttp.ClientError, OSError, ValueError, LookupError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _counts(document: Mapping[str, Any]) -> HostCounts:
    accounts: dict[HostAccount, HostCount] = {}
    for name, seen in document["accounts"].items():
        user, _, authority = name.rpartition("@")
        folded = account_key(authority, user)
        key = folded.authority, folded.user
        before = accounts.get(key, HostCount())
        accounts[key] = HostCount(
            succeeded=before.succeeded + int(seen["ok"]),
            failed=before.failed + int(seen["failed"]),
            lockouts=before.lockouts + int(seen["lockouts"]),
        )
    until = document.get("until")
    return HostCounts(_instant(document["since"]), None if until is None else _instant(until), accounts)


def _instant(seconds: Any) -> float:
    """Unix seconds. Raises ValueError for what no clock says: JSON of Python's knows NaN and infinity."""
    instant = float(seconds)
    if not 0 <= instant < FAR_FUTURE:
        raise ValueError
    return instant
