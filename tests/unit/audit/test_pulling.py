"""The vault's rows, page by page, through whatever order and length it gives them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from appliance.questions import AuditRow, VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.audit import pulling
from orchestrator.audit.judging import UNKNOWN_CLOCK_S, VaultClock
from orchestrator.audit.pulling import Refused, Who, pull_rows, pull_who

CLOCK = VaultClock(0.0, 0.0)
PAGE = 3
REFUSED = VaultAnswer(ok=False, reason="VAULT_FORBIDDEN", text="no")


class Pages:
    """A vault with these rows for every secret. `growing`: a row comes in front at every question."""

    def __init__(self, rows: Sequence[AuditRow], *, growing: bool = False, stuck: bool = False) -> None:
        self.rows = list(rows)
        self.growing = growing
        self.stuck = stuck
        self.asked: list[int] = []

    async def put(self, queries: Sequence[VaultQuery]) -> Sequence[VaultAnswer]:
        return [self._answer(query) for query in queries]

    def _answer(self, query: VaultQuery) -> VaultAnswer:
        assert query.kind is VaultQueryKind.AUDIT
        self.asked.append(query.skip)
        skip = 0 if self.stuck else query.skip
        page = self.rows[skip : skip + PAGE]
        if self.growing:
            self.rows.insert(0, row(len(self.rows) + 1000, 10_000.0))
        return VaultAnswer(ok=True, rows=tuple(page), more=len(self.rows) > skip + PAGE)


def row(number: int, at: float) -> AuditRow:
    return AuditRow(id=number, at=at, action="VIEW", user="svc")


def newest_first(count: int) -> list[AuditRow]:
    return [row(n, float(n)) for n in range(count, 0, -1)]


async def ids(pages: Pages, since: float = 0.0) -> list[int]:
    got = (await pull_rows(pages.put, "V", [7], CLOCK, since))[7]
    assert not isinstance(got, Refused)
    return sorted(row.id for row in got)


async def test_all_pages_are_read() -> None:
    assert await ids(Pages(newest_first(8))) == list(range(1, 9))


async def test_pages_from_before_the_run_are_not_asked_for() -> None:
    pages = Pages(newest_first(100))
    got = await ids(pages, since=95.0)
    assert set(got) >= set(range(95, 101))
    assert pages.asked == [0, 3, 6]


async def test_a_vault_that_sorts_otherwise_is_read_to_its_end() -> None:
    assert await ids(Pages(newest_first(9)[::-1]), since=8.0) == list(range(1, 10))


async def test_rows_that_come_meanwhile_push_none_out() -> None:
    assert set(await ids(Pages(newest_first(8), growing=True))) >= set(range(1, 9))


async def test_a_vault_that_gives_one_page_for_ever_is_left() -> None:
    pages = Pages(newest_first(9), stuck=True)
    assert await ids(pages) == [7, 8, 9]
    assert len(pages.asked) == 2


async def test_a_secret_with_too_many_rows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages(newest_first(50))
    monkeypatch.setattr(pulling, "MOST_PAGES", 4)
    got = (await pull_rows(pages.put, "V", [7], CLOCK, 0.0))[7]
    assert isinstance(got, Refused)
    assert "4 pages" in got.answer.text


async def test_a_refusal_is_a_value() -> None:
    async def put(queries: Sequence[VaultQuery]) -> Sequence[VaultAnswer]:
        return [REFUSED for _ in queries]

    assert await pull_rows(put, "V", [7, 8], CLOCK, 0.0) == {7: Refused(REFUSED), 8: Refused(REFUSED)}
    assert await pull_who(put, "V") == Refused(REFUSED)


async def test_a_vault_that_does_not_tell_its_time_is_taken_for_right_and_less_exact() -> None:
    facts = {"user": "svc", "display_name": "Scanner", "permissions": ""}

    async def put(queries: Sequence[VaultQuery]) -> Sequence[VaultAnswer]:
        return [VaultAnswer(ok=True, facts=facts) for _ in queries]

    who = await pull_who(put, "V")
    assert who == Who("svc", "Scanner", VaultClock(0.0, UNKNOWN_CLOCK_S, known=False))
    facts |= {"offset": "-12.500", "offset_error": "0.010", "local": "3600"}
    assert await pull_who(put, "V") == Who("svc", "Scanner", VaultClock(-12.5, 0.01, 3600.0))
