"""Query strings of the simulated vault: whatever comes, a value of its type or a `BadQueryError` that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from targets.secret_server.rest.query import BadQueryError, Query
from tests.unit.targets.targets_lab import vault

T = TypeVar("T")

names = st.sampled_from(["take", "skip", "filter.isExactMatch", "filter.searchText"])
spelled = st.tuples(names, st.sampled_from(["", "paging.", "PAGING."]), st.booleans()).map(
    lambda parts: parts[1] + (parts[0].upper() if parts[2] else parts[0])
)
values = (
    st.text() | st.integers().map(str) | st.sampled_from(["true", "False", " 7 ", "+7", "-1", "1e3", "٣", "7" * 5000])
)


@given(pairs=st.lists(st.tuples(spelled | st.text(), values)))
@example(pairs=[("take", "7" * 5000)])
@example(pairs=[("take", "2147483648")])
def test_any_pairs(pairs: list[tuple[str, str]]) -> None:
    read(Query(pairs))


@given(query=st.binary(max_size=200))
def test_any_bytes(query: bytes) -> None:
    read(Query(parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True)))


def read(query: Query) -> None:
    for name in ("take", "skip"):
        number = answered(name, lambda name: query.number(name, 10, least=0))
        assert number is None or 0 <= number < 2**31
    assert answered("filter.isExactMatch", query.flag) in (True, False, None)
    assert isinstance(query.text("filter.searchText"), str)


def answered(name: str, question: Callable[[str], T]) -> T | None:
    """None where it was refused by name."""
    try:
        return question(name)
    except BadQueryError as error:
        refused = str(error)
    assert refused == name
    return None


@pytest.mark.parametrize("take", ["7" * 5000, "2147483648", "-1", "ten"])
async def test_a_number_that_is_none_is_a_bad_request(take: str) -> None:
    async with vault("[[hosts]]") as v:
        await v.login()
        assert (await v.ask(f"v1/secrets?take={take}"))[0] == 400
