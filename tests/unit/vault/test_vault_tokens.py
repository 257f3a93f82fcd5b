"""The rules at the head of `tokens`, each on a clock of our own."""

from __future__ import annotations

import pytest

from appliance.contract import Failure
from appliance.vault.answers import Grant
from appliance.vault.definition import Hidden
from appliance.vault.failures import fail
from appliance.vault.tokens import RENEWALS, UNANSWERED_WINDOW, Step, Token, TokenBook

LIFE = 1000.0
TIMEOUT = fail("VAULT_TIMEOUT", "no answer")


def granted(book: TokenBook, now: float, life: float = LIFE, refresh: str = "") -> None:
    book.granted(now, Grant(Hidden("token"), life, Hidden(refresh) if refresh else None))


def given(step: Step) -> Token:
    assert isinstance(step.give, Token), step
    return step.give


def refused(step: Step) -> Failure:
    assert isinstance(step.give, Failure), step
    assert not step.renew
    return step.give


def test_a_token_serves_until_85_percent_of_its_life() -> None:
    book = TokenBook()
    assert book.step(0.0, None) == Step(None, renew=True)
    granted(book, 0.0)
    step = book.step(800.0, None)
    assert (given(step).fresh_for, step.renew) == (50.0, False)
    step = book.step(850.0, None)
    assert (given(step).fresh_for, step.renew) == (5.0, True), "an ageing token serves while the next is on its way"
    assert given(book.step(998.0, None)).fresh_for == 2.0
    assert book.step(1000.0, None) == Step(None, renew=True)


def test_generations_tell_tokens_apart() -> None:
    book = TokenBook()
    granted(book, 0.0)
    assert given(book.step(1.0, None)).generation == 1
    assert book.step(1.0, 1) == Step(None, renew=True)
    assert book.step(1.0, 1) == Step(None, renew=True), "and it is nobody's any more"
    granted(book, 2.0)
    assert given(book.step(2.0, 1)).generation == 2, "who comes late with the old one gets the new one"


def test_a_refused_login_is_refused_to_everybody_for_ever() -> None:
    book = TokenBook()
    book.refused(fail("VAULT_LOGIN_REFUSED", "Login failed.", status="400"))
    for now in (0.0, 10.0, 1e6):
        failure = refused(book.step(now, None))
        assert failure.signal.name == "VAULT_LOGIN_REFUSED"
        assert failure.text.startswith("Login failed. (not tried again")


def test_tokens_that_were_due_are_renewed_as_often_as_they_are_refused() -> None:
    """A life of two seconds, and requests that take some of it to arrive."""
    book = TokenBook()
    for turn in range(20):
        now = 2.0 * turn
        granted(book, now, 2.0)
        assert book.step(now + 1.9, turn + 1) == Step(None, renew=True)
    for turn in range(RENEWALS + 1):
        granted(book, 50.0, 2.0)
        step = book.step(50.1, 21 + turn)
        assert step.renew is (turn < RENEWALS), "a fresh one that is refused counts"


def test_a_refusal_leaves_the_living_token_alone() -> None:
    book = TokenBook()
    granted(book, 0.0)
    book.refused(fail("VAULT_LOGIN_REFUSED"))
    assert given(book.step(900.0, None)).generation == 1
    assert not book.step(900.0, None).renew
    assert refused(book.step(900.0, 1)).signal.name == "VAULT_LOGIN_REFUSED"


def test_a_failure_is_followed_by_a_growing_pause() -> None:
    book = TokenBook()
    now = 0.0
    for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        book.failed(now, TIMEOUT, submitted=False)
        assert refused(book.step(now + pause - 0.01, None)) == TIMEOUT
        now += pause
        assert book.step(now, None) == Step(None, renew=True)


@pytest.mark.parametrize(("said", "pause"), [("20", 20.0), ("86400", 300.0), ("Wed, 21 Oct", 1.0)])
def test_the_pause_is_the_one_that_the_vault_asks_for(said: str, pause: float) -> None:
    book = TokenBook()
    book.failed(0.0, fail("VAULT_RATE_LIMITED", retry_after=said), submitted=False)
    refused(book.step(pause - 0.01, None))
    assert book.step(pause, None).renew


def test_unanswered_passwords_end_the_trying() -> None:
    book = TokenBook()
    book.failed(0.0, TIMEOUT, submitted=True)
    assert book.doubtful
    assert book.step(100.0, None).renew
    book.failed(100.0, TIMEOUT, submitted=True)
    failure = refused(book.step(1000.0, None))
    assert failure.signal.name == "VAULT_TIMEOUT"
    assert "not again for 800 s" in failure.text
    assert book.step(UNANSWERED_WINDOW, None).renew, "the first one is half an hour old"


def test_a_success_forgives_what_was_unanswered() -> None:
    book = TokenBook()
    book.failed(0.0, TIMEOUT, submitted=True)
    granted(book, 10.0)
    assert not book.doubtful
    book.failed(900.0, TIMEOUT, submitted=True)
    assert book.step(1001.0, None).renew


def test_an_ageing_token_serves_through_a_pause() -> None:
    book = TokenBook()
    granted(book, 0.0)
    book.failed(860.0, TIMEOUT, submitted=False)
    step = book.step(860.5, None)
    assert given(step).generation == 1
    assert not step.renew
    assert book.step(870.0, None).renew


def test_a_vault_that_refuses_its_own_tokens_is_not_asked_for_ever() -> None:
    book = TokenBook()
    granted(book, 0.0)
    for generation in range(1, RENEWALS + 1):
        assert book.step(1.0, generation).renew
        granted(book, 1.0)
    assert refused(book.step(2.0, RENEWALS + 1)).signal.name == "VAULT_TOKEN_EXPIRED"
    assert book.step(61.0, RENEWALS + 1).renew


def test_a_refresh_token_is_used_once() -> None:
    book = TokenBook()
    granted(book, 0.0, refresh="r-1")
    assert book.take_refresh() == Hidden("r-1")
    assert book.take_refresh() is None
