"""The reason table is well-formed and keeps its own rules. What each row should say: unit/test_reason_rows.py."""

from __future__ import annotations

import re

import pytest

from appliance.contract import Technology
from appliance.reasons import REASONS, Lockout, Owner, Reason, Status, qids

ALL = pytest.mark.parametrize("reason", REASONS.values(), ids=list(REASONS))


@ALL
def test_what_surely_counted_is_never_tried_again_but_for_a_rotation(reason: Reason) -> None:
    if reason.lockout is Lockout.YES and reason.code != "ROTATED_MID_SCAN":
        assert not reason.transient
        of_root = reason.code in ("PRIV_SUDO_REFUSED", "PRIV_SU_REFUSED")  # beside a login that is good
        assert reason.status is (Status.PASSED_LIMITED if of_root else Status.FAILED)


@ALL
def test_what_a_human_must_settle_is_never_tried_again(reason: Reason) -> None:
    if reason.breaks or reason.status is Status.PASSED_LIMITED or reason.code in ("VAULT_LOGIN_REFUSED", "INTERNAL"):
        assert not reason.transient


@ALL
def test_only_the_directorys_own_word_breaks(reason: Reason) -> None:
    if reason.breaks:
        assert reason.status is Status.FAILED
        assert reason.owner is Owner.DIRECTORY
        # It refused without counting: the account's state came before the password.
        assert reason.lockout is Lockout.NO


@ALL
@pytest.mark.parametrize("technology", Technology)
def test_a_failed_authentication_and_nothing_else_has_a_qid(reason: Reason, technology: Technology) -> None:
    numbers = [q.number for q in qids(reason, technology)]
    primary = {Technology.WINDOWS: 105015, Technology.UNIX: 105053}[technology]
    if reason.status is not Status.FAILED:
        assert numbers == []
    elif reason.code == "ACCOUNT_LOCKED" and technology is Technology.WINDOWS:
        assert numbers == [105015, 105052]
    else:
        assert numbers == [primary]


@ALL
def test_a_row_is_well_formed(reason: Reason) -> None:
    assert REASONS[reason.code] is reason
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", reason.code)
    for sentence in (reason.meaning, reason.advice):
        assert re.fullmatch(r"[A-Za-z].{8,}\.", sentence), sentence
        assert sentence == sentence.strip()
        assert sentence.isprintable()
        assert sentence.isascii()


def test_no_two_rows_say_the_same() -> None:
    meanings = [r.meaning for r in REASONS.values()]
    assert len(set(meanings)) == len(meanings)
