"""A load test's page in Chromium: it asks for nothing, complains of nothing, and fits on a telephone."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from orchestrator.report.load import LoadFormat, write_load
from tests.unit.load.results import driven
from tests.unit.report.report_rows import HOSTILE

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(120)]

BREAKING = "</code><script>document.title='owned'</script><img src=x onerror=document.title='owned'>" + HOSTILE


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = io.StringIO()
    write_load(asyncio.run(driven(BREAKING)), LoadFormat.HTML, out)
    file = tmp_path_factory.mktemp("load") / "load.html"
    file.write_text(out.getvalue(), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    """After the report: while playwright is there, its loop runs."""
    arguments = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_shows_its_charts_and_nothing_is_wider_than_the_window(
    browser: Browser, report: Path, scheme: str, width: int
) -> None:
    faults: list[str] = []
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url != report.as_uri() else None)
    page.goto(report.as_uri())
    assert page.title().endswith("load test load-1")
    assert page.locator("polyline").count() == 9
    lines = [page.locator("polyline").nth(n).evaluate("line => getComputedStyle(line).stroke") for n in range(9)]
    assert "none" not in lines, "every line has a colour"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if scheme == "dark" else "rgb(251, 251, 250)")
    page.close()
    assert faults == []
