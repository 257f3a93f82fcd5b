"""The HTML report in Chromium: 10,000 outcomes, sorted, searched, filtered, opened and read by keyboard."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from orchestrator.report.html import html_report
from orchestrator.store.records import LogonCount, PastAttempt
from tests.unit.report.report_rows import HOSTILE, finished, joined, outcome, rows

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(120)]

HOSTS = 10_000
REASONS = ["PASSED"] * 6 + ["BAD_CREDENTIALS", "PORT_CLOSED", "PRIV_SUDO_PASSWORD", "SKIPPED_BREAKER"]
BREAKING = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>" + HOSTILE


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outcomes = [
        outcome(
            REASONS[n % 10],
            f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
            record=f"record {n % 3}",
            text=BREAKING if n % 10 == 6 else "",
            facts={"banner": "SSH-2.0-OpenSSH_9.2p1"},
            attempts=2 if n == 7 else 1,
            zone="dmz" if n < 300 else "default",
            earlier=(PastAttempt(1, "TCP_TIMEOUT", "record 1", submitted=False),) if n == 7 else (),
        )
        for n in range(HOSTS)
    ]
    logons = [LogonCount("scan@dir:corp", 9, 8, 1)]
    text = asyncio.run(
        joined(html_report(finished(outcomes), lambda: rows(*outcomes), (), logons, lambda _: None, {"name": BREAKING}))
    )
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    """After the report: while playwright is there, its loop runs."""
    arguments = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report; that it asks for anything else, or complains, fails the test."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: faults.append(request.url) if request.url != report.as_uri() else None)
    opened.goto(report.as_uri())
    yield opened
    title = opened.title()
    opened.close()
    assert faults == []
    assert title != "owned"


def hosts(page: Page) -> list[str]:
    return page.locator("#body tr td:first-child").all_inner_texts()


def test_failures_come_first_and_every_outcome_can_be_reached(page: Page) -> None:
    expect(page.locator("#shown")).to_have_text("10,000 outcomes")
    assert set(page.locator("#body .badge").all_inner_texts()) == {"Failed"}
    page.locator("#last").click()
    expect(page.locator("#page")).to_have_text("Page 100 of 100")
    assert hosts(page)[-1] == "10.0.39.11", "the last one that passed"


def test_sorting_by_address_is_by_its_numbers(page: Page) -> None:
    page.get_by_role("button", name="Host", exact=True).click()
    assert hosts(page)[:3] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
    expect(page.locator("#heads th").first).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Host").click()
    assert hosts(page)[0] == "10.0.39.15"
    expect(page.locator("#heads th").first).to_have_attribute("aria-sort", "descending")


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("status", "=Passed", 6000),
        ("reason", "=PORT_CLOSED", 1000),
        ("record", "=record 1", 3333),
        ("subnet", "=10.0.3.0/24", 256),
    ],
)
def test_filters(page: Page, name: str, value: str, number: int) -> None:
    page.locator(f"#{name}").select_option(value)
    expect(page.locator("#shown")).to_have_text(f"{number:,} of 10,000 outcomes")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#shown")).to_have_text("10,000 outcomes")


def test_searching_and_filtering_at_once(page: Page) -> None:
    page.locator("#search").fill("10.0.3. bad_cred")
    expect(page.locator("#shown")).to_have_text(re.compile(r"^\d+ of 10,000 outcomes$"))
    assert all(host.startswith("10.0.3.") for host in hosts(page))
    page.locator("#reason").select_option("=PASSED")
    expect(page.locator("#shown")).to_have_text("0 of 10,000 outcomes")


def test_a_zones_hosts_are_found(page: Page) -> None:
    page.locator("#search").fill("dmz")
    expect(page.locator("#shown")).to_have_text("300 of 10,000 outcomes")


def test_a_cause_leads_to_its_hosts(page: Page) -> None:
    page.locator(".causes [data-reason=PORT_CLOSED]").first.click()
    expect(page.locator("#shown")).to_have_text("1,000 of 10,000 outcomes")


def test_a_host_is_opened_and_left_by_keyboard(page: Page) -> None:
    page.locator("#search").fill("10.0.0.6")
    page.locator("#body tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    detail = page.locator("#detail")
    expect(detail).to_be_visible()
    expect(detail).to_contain_text("BAD_CREDENTIALS")
    expect(detail).to_contain_text("QID 105053")
    expect(detail.locator("dt", has_text=re.compile("^Zone$")).locator("+ dd")).to_have_text("dmz")
    expect(detail.locator("pre")).to_contain_text("</script>")
    assert detail.locator("img").count() == 0
    assert detail.locator(".ledger svg").count() == 2
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    assert page.evaluate("document.activeElement.tagName") == "TR"


def test_a_link_opens_its_host(page: Page, report: Path) -> None:
    page.goto("about:blank")
    page.goto(f"{report.as_uri()}#host=unix%2F10.0.0.7")
    expect(page.locator("#detail-title")).to_have_text("10.0.0.7:22 (unix)")
    expect(page.locator("#detail")).to_contain_text("TCP_TIMEOUT, with record 1, no credential was sent")
    expect(page.locator("#detail")).to_contain_text("Attempt 2, which decided")


def test_dark_by_choice_and_by_the_systems(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark")
    assert page.evaluate(ground) == dark


def test_on_paper_the_outcomes_stand_without_their_filters(page: Page) -> None:
    page.locator("#search").fill("10.0.3.")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(hosts(page)) > 100
    expect(page.locator("#filters")).to_be_hidden()


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_sums_and_causes_stand(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(report.as_uri())
    expect(plain.locator("#totals-title")).to_have_text("10,000 logins planned, 6,000 passed")
    expect(plain.locator("noscript p")).to_be_visible()
    context.close()
