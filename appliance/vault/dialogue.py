"""Conversations with a vault, apart from how they are carried: pure generators that ask, and are sent what was read.

`Session.converse` carries one: it makes each question into a request for the token in hand, sends it, and gives the
generator the value or Failure that its answer was read as.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from appliance.contract import Failure
from appliance.vault.definition import Hidden
from appliance.vault.messages import Answer, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, once there is a token, and what its answer means. Both functions are pure."""

    request: Callable[[Hidden], Request]
    read: Callable[[Answer], T | Failure]


Dialogue = Generator[Question[Any], Any, T]


def ask(question: Question[T]) -> Dialogue[T | Failure]:
    answer: T | Failure = yield question
    return answer


def said(value: T) -> Dialogue[T]:
    """A dialogue that is over before anything is asked."""
    yield from ()
    return value
