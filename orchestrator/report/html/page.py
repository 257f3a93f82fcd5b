"""The page around the outcomes: what its template is given, and the policy that lets nothing but its own script run."""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from appliance.contract import Account
from appliance.reasons import Status
from orchestrator.account_state import Budget
from orchestrator.report.accounts import AccountLine, account_line
from orchestrator.report.comparing import COMPARED, figure
from orchestrator.report.documents import instant
from orchestrator.report.escape import plain
from orchestrator.report.html.survey import BINS, PhaseTimes, Survey
from orchestrator.store.records import LogonCount

_HERE = files("orchestrator.report.html")
_SPLIT = "@@outcomes@@"
"""Where the outcomes' data stand in the rendered page."""
ACCOUNTS_SHOWN = 200
CAUSES_SHOWN = 8
"""The others can be unfolded."""

_CLASSES = {
    Status.PASSED: "passed",
    Status.PASSED_LIMITED: "limited",
    Status.FAILED: "failed",
    Status.NOT_ATTEMPTED: "skipped",
}
_MEANINGS = {
    Status.PASSED: "login works, with the rights that a scan needs",
    Status.PASSED_LIMITED: "login works, but the rights fall short",
    Status.FAILED: "login does not work",
    Status.NOT_ATTEMPTED: "no login was tried",
}
_FACTORS = {
    "secret": "secret",
    "vault": "vault",
    "account": "account",
    "subnet": "subnet",
    "appliance": "appliance",
    "software": "host software",
    "jump host": "jump host",
}


def render(
    survey: Survey,
    logons: Sequence[LogonCount],
    budget_of: Callable[[Account], Budget | None],
    settings: Mapping[str, Any],
) -> tuple[str, str]:
    """The page, before and after the outcomes' data."""
    style, script = _text("report.css"), _text("report.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda n: f"{n:,}"
    environment.filters["ms"] = duration
    environment.filters["plain"] = plain
    environment.filters["spent"] = _spent
    summary = survey.summary()
    accounts = _accounts(logons, budget_of)
    over = survey.run.finished_at if survey.run.state.over else None
    page = environment.from_string(_text("report.html")).render(
        run=survey.run,
        began=instant(survey.run.created_at),
        ended=instant(over) if over is not None else None,
        took=duration(1000 * (over - survey.run.created_at)) if over is not None else None,
        summary=summary,
        totals=summary.totals,
        segments=_segments(survey),
        shown_causes=CAUSES_SHOWN,
        factors=_FACTORS,
        phases=survey.phases(),
        columns=_columns,
        bins=[duration(b) for b in BINS[:-1]] + ["more"],
        compared=COMPARED,
        figure=figure,
        accounts=accounts[:ACCOUNTS_SHOWN],
        accounts_left=len(accounts) - ACCOUNTS_SHOWN,
        appliances=sorted(survey.appliances.items()),
        settings=list(_flat(settings)),
        release=version("keymuster"),
        python=platform.python_version(),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_SPLIT,
    )
    before, _, after = page.partition(_SPLIT)
    return before, after


def duration(ms: float) -> str:
    """1234.5 -> 1.23 s"""
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.3g} s" if ms < 100_000 else f"{ms / 60_000:.1f} min"


def _segments(survey: Survey) -> list[dict[str, Any]]:
    """The bar of totals, drawn on a width of 1000."""
    numbers = survey.by_status()
    total = sum(number for _, number in numbers) or 1
    segments, x = [], 0.0
    for status, number in numbers:
        width = 1000 * number / total
        segments.append(
            {
                "name": status.value,
                "kind": _CLASSES[status],
                "meaning": _MEANINGS[status],
                "number": number,
                "percent": f"{100 * number / total:.1f}",
                "x": f"{x:.2f}",
                "width": f"{width:.2f}",
            }
        )
        x += width
    return segments


def _columns(times: PhaseTimes) -> list[dict[str, Any]]:
    """A phase's histogram, drawn 24 high."""
    scale = 24 / max(times.histogram)
    return [
        {"x": 12 * place, "height": f"{number * scale:.1f}", "y": f"{24 - number * scale:.1f}", "number": number}
        for place, number in enumerate(times.histogram)
    ]


def _accounts(logons: Sequence[LogonCount], budget_of: Callable[[Account], Budget | None]) -> list[AccountLine]:
    """Shared accounts first, then those with the most failures."""
    lines = [account_line(one, budget_of) for one in logons]
    return sorted(lines, key=lambda line: (not line.shared, -line.failed, -line.granted, line.account))


def _spent(line: AccountLine) -> int:
    """Percent of the budget, at most 100."""
    return min(100, round(100 * line.failed / line.budget.failures)) if line.budget else 0


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Settings as dotted names and values. Long lists are counted rather than shown."""
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping) and "title" not in value[0]:
            found.append((path, f"{len(value):,} entries"))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                found += _flat(item, f"{path}[{item['title']}].")
        elif isinstance(value, list) and len(value) > 8:
            found.append((path, f"{len(value):,} entries, from {value[0]} to {value[-1]}"))
        elif value not in (None, "", []):
            found.append((path, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
