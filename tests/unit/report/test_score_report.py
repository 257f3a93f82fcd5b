"""A run's score as people read it: directories first, the many summed up, and nothing wrong left out."""

from __future__ import annotations

import io
import re

import pytest

from orchestrator.logons import AccountLine, Asked, HostCount, Logons
from orchestrator.report.score_report import HOSTS_SHOWN, WRONG_SHOWN, score_document, write_score
from orchestrator.score import Cell, Score
from tests.drawn import cells, is_whole
from tests.schemas import conforms

SCORE = Score(
    (
        Cell("unix", "none", "PASSED", "PASSED", right=True, number=1200),
        Cell("unix", "closed", "PORT_CLOSED", "SECRET_PASSPHRASE_WRONG", right=False, number=1),
    )
)
SINCE = 1_700_000_000.0


def account(
    authority: str, *, user: str = "scan", hosts: HostCount | None = None, failed: int = 0, directory: bool = False
) -> AccountLine:
    seen = hosts or HostCount(succeeded=1)
    asked = Asked(granted=1, failed=failed)
    return AccountLine(user, authority, directory, seen, asked, asked, budget=2)


def logons(*accounts: AccountLine, runs: tuple[str, ...] = ("r1",)) -> Logons:
    return Logons(SINCE, None, runs, accounts)


def shown(given: Logons | str, *, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    write_score(SCORE, given, out)
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    return cells(text.partition("Right logons")[2])


def test_directories_are_shown_and_many_hosts_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [account(f"127.0.1.{n}", hosts=HostCount(succeeded=1, failed=n % 2), failed=1) for n in range(9)]
    hosts = [AccountLine(h.user, h.authority, False, h.hosts, Asked(2, 1), Asked(2, 1), 2) for h in hosts]
    assert len(hosts) > HOSTS_SHOWN
    text = shown(logons(account("corp", directory=True), *hosts), width=160, monkeypatch=monkeypatch)
    assert "Right logons: 10 of 10 accounts, as counted since 2023-11-14T22:13:20.000Z" in text
    assert rows(text) == [
        ["scan@corp", "1 ok, 0 failed", "1 granted, 0 failed", "2", "right"],
        [
            "9 accounts of single hosts",
            "9 ok, 4 failed (at most 1 each)",
            "18 granted, 9 failed",
            "2 each",
            "right",
        ],
    ]
    few = shown(logons(*hosts[:HOSTS_SHOWN]), width=160, monkeypatch=monkeypatch)
    assert [row[0] for row in rows(few)] == [f"scan@127.0.1.{n}" for n in range(HOSTS_SHOWN)]


def test_what_is_wrong_is_told_account_by_account(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = account("corp", hosts=HostCount(failed=5, lockouts=1), failed=1, directory=True)
    hosts = [account(f"127.0.1.{n}") for n in range(9)] + [account("127.0.2.1", hosts=HostCount(failed=1), failed=0)]
    text = shown(logons(locked, *hosts), width=160, monkeypatch=monkeypatch)
    assert "Right logons: 9 of 11 accounts" in text
    assert [(row[0], row[1], row[4]) for row in rows(text)] == [
        ("scan@corp", "0 ok, 5 failed, LOCKED", "WRONG"),
        ("scan@127.0.2.1", "0 ok, 1 failed", "WRONG"),
        ("9 accounts of single hosts", "9 ok, 0 failed", "right"),
    ]
    assert (
        "WRONG scan@corp: 5 logons, and the ledger has 1 permits; 5 failed logons, and the ledger knows of 1; "
        "its directory has locked it\n"
    ) in text
    assert "another state directory" in text


def test_no_more_wrong_accounts_are_told_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [account(f"127.0.1.{n}", hosts=HostCount(failed=1)) for n in range(WRONG_SHOWN + 3)]
    text = shown(logons(*wrong), width=160, monkeypatch=monkeypatch)
    assert len(rows(text)) == len(re.findall(r"^WRONG scan@", text, re.MULTILINE)) == WRONG_SHOWN
    assert "WRONG and 3 more, all of them with --json\n" in text
    assert f"Right logons: 0 of {WRONG_SHOWN + 3} accounts" in text


def test_several_runs_on_one_lab_have_a_column_for_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    line = AccountLine("scan", "corp", True, HostCount(failed=2), Asked(1, 1), Asked(3, 1, 1), 2)
    text = shown(logons(line, runs=("r0", "r1")), width=160, monkeypatch=monkeypatch)
    assert "All 2 runs since" in text
    assert rows(text)[0][2:4] == ["1 granted, 1 failed", "3 granted, 1 failed, 1 unanswered"]


@pytest.mark.parametrize("width", [80, 160])
def test_neither_account_nor_reason_is_broken_however_long_a_user(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    line = account("127.255.255.254", user="u" * 200, hosts=HostCount(failed=1))
    text = shown(logons(line, account("127.255.255.253"), runs=("r0", "r1")), width=width, monkeypatch=monkeypatch)
    assert "scan@127.255.255.253" in text
    assert "SECRET_PASSPHRASE_WRONG" in text
    assert "PORT_CLOSED" in text
    assert sum(row[0].count("u") for row in rows(text)) == 200
    is_whole(text, width)
    assert "\x1b" not in text


def test_without_counters_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown("there is no x; do y", width=80, monkeypatch=monkeypatch)
    assert text.endswith("No logons: there is no x; do y.\n")
    document = score_document("r1", SCORE, "there is no x; do y")
    assert (document["logons"], document["no_logons"]) == (None, "there is no x; do y")
    conforms(document, "score")


def test_the_document_has_every_account() -> None:
    many = [account(f"127.0.1.{n}", hosts=HostCount(failed=1)) for n in range(WRONG_SHOWN + 3)]
    document = score_document("r1", SCORE, logons(*many, account("corp", directory=True)))
    conforms(document, "score")
    told = document["logons"]
    assert (told["right"], told["total"], len(told["accounts"])) == (1, WRONG_SHOWN + 4, WRONG_SHOWN + 4)
    assert told["accounts"][0]["wrong"] == ["1 failed logons, and the ledger knows of 0"]
