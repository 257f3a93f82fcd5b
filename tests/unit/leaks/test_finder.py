from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.leaks.finder import Finder, Hit, Sought

A = Sought("a", {b"abcdef": "as it is", b"cde": "inner"})
B = Sought("b", {b"abcdef": "as it is"})


def test_every_owner_of_a_value_is_told_with_its_first_place() -> None:
    hits = Finder([A, B]).hits([b"xxabcdefabcdef"])
    assert sorted(hits, key=str) == sorted(
        [Hit("a", "inner", 4), Hit("a", "as it is", 2), Hit("b", "as it is", 2)], key=str
    )


def test_nothing_sought_or_nothing_there_is_nothing_found() -> None:
    assert Finder([]).hits([b"abc"]) == []
    assert Finder([Sought("empty", {})]).hits([b"abc"]) == []
    assert Finder([A]).hits([]) == []


@given(data=st.binary(max_size=60), place=st.integers(0, 60), cuts=st.lists(st.integers(0, 80), max_size=8))
def test_how_the_stream_is_cut_makes_no_difference(data: bytes, place: int, cuts: list[int]) -> None:
    text = data[:place] + b"abcdef" + data[place:]
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in pairwise(edges)]
    whole = set(Finder([A, B]).hits([text]))
    assert set(Finder([A, B]).hits(chunks)) == whole
    assert {hit.name for hit in whole} == {"a", "b"}


def test_a_secrets_forms_are_not_in_its_repr() -> None:
    assert "abcdef" not in repr(A)
