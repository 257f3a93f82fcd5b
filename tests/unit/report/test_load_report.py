"""A load test's report: valid and harmless HTML, JSON as published, a table; whatever a peer has said."""

from __future__ import annotations

import io
import json
import re

import anyio.to_thread
import html5lib

from orchestrator.report.load import LoadFormat, write_load
from orchestrator.report.load.charts import charts
from tests.schemas import conforms
from tests.unit.load.results import driven
from tests.unit.report.report_rows import HOSTILE

BREAKING = "</code><script>alert(1)</script><img src=x onerror=alert(2)>" + HOSTILE


async def written(form: LoadFormat, text: str = "", *, stopped_after: float = 0.0) -> str:
    out = io.StringIO()
    result = await driven(text, stopped_after=stopped_after)
    await anyio.to_thread.run_sync(write_load, result, form, out)
    return out.getvalue()


async def test_the_page_is_valid_and_runs_nothing() -> None:
    text = await written(LoadFormat.HTML, BREAKING)
    html5lib.HTMLParser(strict=True).parse(text)
    assert "<script" not in text
    assert "<img" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)


async def test_the_page_says_what_the_test_found() -> None:
    text = await written(LoadFormat.HTML)
    for said in ("10/s of logins was not held", "BAD_CREDENTIALS", "VAULT_RATE_LIMITED", "UNFINISHED", "<b>vault</b>"):
        assert said in text
    assert text.count("<polyline") == 9


async def test_a_stopped_test_says_so() -> None:
    for form in (LoadFormat.HTML, LoadFormat.TABLE):
        assert "Stopped: it was interrupted." in await written(form, stopped_after=2.5)


async def test_the_json_is_as_published() -> None:
    for text, stopped in (("", 0.0), (BREAKING, 2.5)):
        document = json.loads(await written(LoadFormat.JSON, text, stopped_after=stopped))
        conforms(document, "load")
        assert sum(interval["due"] for interval in document["intervals"]) >= document["arrivals"]["due"]


async def test_the_table_says_the_same() -> None:
    text = await written(LoadFormat.TABLE)
    for said in ("10/s", "BAD_CREDENTIALS", "Bottleneck: vault", "p99", "cores of 2"):
        assert said in text
    assert "\x1b" not in await written(LoadFormat.TABLE, BREAKING)


async def test_every_point_of_a_chart_lies_within_it() -> None:
    for chart in charts(await driven()):
        for line in chart.lines:
            points = [tuple(map(float, point.split(","))) for point in line.points.split()]
            assert points
            assert all(64 <= x <= 1000 and 8 <= y <= 176 for x, y in points)
        assert len(chart.y_ticks) >= 2


async def test_a_chart_says_its_peaks_to_those_who_cannot_see_it() -> None:
    rates, *_ = charts(await driven())
    assert rates.about == "Arrivals per second: offered at most 10, ended at most 10, errors at most 1"
