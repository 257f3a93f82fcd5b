"""The page of a load test: what its template is given. No script at all, and a policy that lets none run."""

from __future__ import annotations

import base64
import hashlib
import platform
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from orchestrator.load.result import LoadResult
from orchestrator.report.documents import instant
from orchestrator.report.escape import plain
from orchestrator.report.load.charts import HEIGHT, LEFT, WIDTH, charts
from orchestrator.report.load.words import duration, headline, numbers, rate


def load_page(result: LoadResult) -> str:
    style = _text("orchestrator.report.html", "report.css") + _text("orchestrator.report.load", "load.css")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=lambda n: f"{n:,}", ms=duration, rate=rate, plain=plain)
    page = environment.from_string(_text("orchestrator.report.load", "load.html"))
    return page.render(
        result=result,
        began=instant(result.began),
        headline=headline(result),
        numbers=numbers(result),
        charts=charts(result),
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        slowest=max((stage.latency.p99 for stage in result.stages), default=0.0) or 1.0,
        release=version("keymuster"),
        python=platform.python_version(),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text(encoding="utf-8")
