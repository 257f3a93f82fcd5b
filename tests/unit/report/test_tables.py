"""Who gives way where a table is wider than the terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from orchestrator.report.tables import FittedTable, cell, column, fitted

WIDTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=8)


def drawn(table: FittedTable, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("room", "keeps", "words", "lines", "widths"),
    [
        (60, [1, 1], [5, 5], [20, 30], [20, 30]),  # all fits
        (40, [1, 1], [5, 5], [10, 90], [10, 30]),  # the longest lines are wrapped
        (40, [1, 1, 1], [5, 30, 5], [90, 90, 5], [5, 30, 5]),  # no word is broken while lines can be wrapped
        (40, [9, 1, 1], [10, 300, 9], [10, 300, 90], [10, 15, 15]),  # the longest word is broken
        (40, [1, 24, 1], [300, 24, 300], [300, 90, 300], [8, 24, 8]),  # what is kept is kept
        (41, [1, 24, 1], [300, 24, 300], [300, 90, 300], [9, 24, 8]),  # and no room is left over
        (9, [24, 24], [24, 24], [24, 24], [5, 4]),
    ],
)
def test_the_longest_gives_way_first(
    room: int, keeps: list[int], words: list[int], lines: list[int], widths: list[int]
) -> None:
    assert fitted(room, keeps, words, lines) == widths


@given(st.integers(8, 300), WIDTHS)
def test_the_room_is_kept_and_so_is_what_columns_keep(room: int, asked: list[tuple[int, int, int]]) -> None:
    words = [keep + more for keep, more, _ in asked]
    lines = [word + more for word, (_, _, more) in zip(words, asked, strict=True)]
    keeps = [keep for keep, _, _ in asked]
    widths = fitted(room, keeps, words, lines)
    assert sum(widths) <= room
    assert sum(widths) == min(room, sum(lines)), "and all of it is used"
    assert all(width >= 1 for width in widths)
    if sum(keeps) <= room:
        assert all(width >= keep for width, keep in zip(widths, keeps, strict=True))
    if sum(words) <= room:
        assert all(width >= word for width, word in zip(widths, words, strict=True))


def test_an_endless_name_costs_the_other_columns_no_word() -> None:
    table = FittedTable("", column("Name", keep=39), column("Reason", keep=24), column("Address", keep=39))
    table.add_row(cell("x" * 500), cell("BAD_CREDENTIALS"), cell("2001:db8::4711"))
    table.add_row(cell("u@127.255.255.254"), cell("PASSED"), cell(""))
    lines = drawn(table, 60)
    assert all(len(line) == 60 for line in lines)
    assert "│ BAD_CREDENTIALS │ 2001:db8::4711 │" in lines[3]
    assert lines[-2].startswith("│ u@127.255.255.254 ")
    assert sum(line.count("x") for line in lines) == 500


def test_wide_characters_take_two_places() -> None:
    table = FittedTable("", column("Name"), column("Reason", keep=24))
    table.add_row(cell("\u30b5\u30fc\u30d0\u30fc" * 20), cell("BAD_CREDENTIALS"))
    lines = drawn(table, 40)
    assert all(cell_len(line) == 40 for line in lines)
    assert "│ BAD_CREDENTIALS │" in lines[3]


def test_a_cell_is_text_and_nothing_else() -> None:
    table = FittedTable("", column("[bold]Head[/bold]"))
    table.add_row(cell(":warning: [red]\x1b[31m\r\n"))
    assert drawn(table, 80)[3] == r"│ :warning: [red]\x1b[31m\r\n │"
    assert "[bold]Head[/bold]" in drawn(table, 80)[1]


def test_a_table_without_a_row_is_its_heading() -> None:
    assert len(drawn(FittedTable("Title", column("A"), column("B")), 80)) == 5
