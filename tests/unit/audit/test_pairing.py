"""Injected drops, duplicates and forgeries are found exactly, whatever else happens around them."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.audit.pairing import Window, pair

SLACK = 1.0
GAP = 3 * SLACK + 0.5
"""Between windows that cannot be taken for one another."""

FATES = st.sampled_from(["paired", "paired", "dropped", "doubled", "unsure, seen", "unsure, unseen"])


@given(fates=st.lists(FATES, max_size=40), forged=st.lists(st.integers(0, 40), max_size=5), seed=st.integers(0, 2**32))
def test_what_was_injected_is_found_exactly(fates: list[str], forged: list[int], seed: int) -> None:
    """Uses that lie apart: each fault is told by its own use or row."""
    rng, number = Random(seed), count()  # noqa: S311 - a seed, no secret
    uses: list[Window] = []
    rows: dict[int, float] = {}
    expected: dict[str, list[int]] = {"drops": [], "duplicates": [], "forgeries": []}
    now = 1000.0
    for place, fate in enumerate(fates):
        now += GAP
        for _ in range(forged.count(place)):
            expected["forgeries"].append(next(number))
            rows[expected["forgeries"][-1]] = now
        now += GAP
        use = Window(now, now + rng.uniform(0, 3), sure="unsure" not in fate)
        uses.append(use)
        now = use.end
        copies = {"dropped": 0, "doubled": 2, "unsure, unseen": 0}.get(fate, 1)
        made = [next(number) for _ in range(copies)]
        at = rng.uniform(use.begin - SLACK, use.end + SLACK)
        rows |= dict.fromkeys(made, at)
        if fate == "dropped":
            expected["drops"].append(place)
        expected["duplicates"] += made[1:]
    found = pair(uses, [rows[n] for n in sorted(rows)], slack=SLACK)
    assert list(found.drops) == expected["drops"]
    assert len(found.duplicates) == len(expected["duplicates"])
    assert {rows[row] for row in found.duplicates} == {rows[row] for row in expected["duplicates"]}
    assert list(found.forgeries) == expected["forgeries"]
    assert found.clean == (not any(expected.values()))


windows = st.builds(
    lambda begin, length, sure: Window(begin, begin + length, sure),
    st.integers(0, 20).map(float),
    st.integers(0, 8).map(float),
    st.booleans(),
)


@given(uses=st.lists(windows, max_size=7), rows=st.lists(st.integers(0, 28).map(float), max_size=7))
def test_no_other_assignment_leaves_less(uses: list[Window], rows: list[float]) -> None:
    """Held against every assignment that there is."""
    found = pair(uses, rows, slack=0.0)
    assert len(set(found.pairs.values())) == len(found.pairs)
    assert all(uses[use].begin <= rows[row] <= uses[use].end for use, row in found.pairs.items())
    unexplained = set(found.duplicates) | set(found.forgeries)
    assert sorted([*found.pairs.values(), *unexplained]) == list(range(len(rows)))
    assert (len(found.drops), len(unexplained)) == fewest(uses, rows, frozenset(range(len(uses))), 0)
    for row in found.forgeries:
        assert not any(uses[use].begin <= rows[row] <= uses[use].end for use in found.pairs)
    for row, use in found.duplicates.items():
        assert uses[use].begin <= rows[row] <= uses[use].end


def fewest(uses: list[Window], rows: list[float], free: frozenset[int], row: int) -> tuple[int, int]:
    """Drops, then unexplained rows, of the best assignment."""
    if row == len(rows):
        return sum(uses[use].sure for use in free), 0
    drops, left = fewest(uses, rows, free, row + 1)
    best = (drops, left + 1)
    for use in free:
        if uses[use].begin <= rows[row] <= uses[use].end:
            best = min(best, fewest(uses, rows, free - {use}, row + 1))
    return best


@given(seed=st.integers(0, 2**32), size=st.integers(0, 60), dropped=st.integers(0, 3))
def test_a_crowd_on_one_secret_is_counted_exactly(seed: int, size: int, dropped: int) -> None:
    """Uses on top of each other: which one was dropped nobody can tell, but how many."""
    rng = Random(seed)  # noqa: S311 - a seed, no secret
    begins = [rng.uniform(0, 10) for _ in range(size)]
    uses = [Window(begin, begin + rng.uniform(0, 2)) for begin in begins]
    rows = [rng.uniform(use.begin, use.end) for use in uses]
    rng.shuffle(rows)
    gone = min(dropped, size)
    found = pair(uses, rows[gone:], slack=SLACK)
    assert (len(found.drops), found.duplicates, found.forgeries) == (gone, {}, ())


@given(
    gaps=st.lists(st.integers(1, 400), max_size=40),
    interval=st.sampled_from([0, 60, 300]),
    lost=st.sets(st.integers(0, 40), max_size=3),
)
def test_a_row_stands_for_what_the_vault_does_not_write_again(gaps: list[int], interval: int, lost: set[int]) -> None:
    """The vault writes a view down unless it has done so within the interval; a lost row is missed by all of those."""
    now, rows, uses = 0, list[int](), list[int]()
    for gap in gaps:
        now += gap
        uses.append(now)
        if not rows or now - rows[-1] > interval:
            rows.append(now)
    kept = [row for number, row in enumerate(rows) if number not in lost]
    found = pair([Window(use, use) for use in uses], kept, slack=0.0, interval=interval)
    missed = [n for n, use in enumerate(uses) if not any(use - interval <= row <= use for row in kept)]
    assert list(found.drops) == missed
    assert (found.duplicates, found.forgeries) == ({}, ())
    assert lost & set(range(len(rows))) or len(found.pairs) + len(found.covered) == len(uses)


def test_an_unsure_use_takes_a_row_that_another_can_spare() -> None:
    """The row of 0.5 goes to the cut-off view, since the sure one can have the other: nothing is left."""
    found = pair([Window(0, 10), Window(0, 1, sure=False)], [0.5, 5.0], slack=0.0)
    assert (dict(found.pairs), found.clean) == ({0: 1, 1: 0}, True)


@pytest.mark.parametrize(("interval", "drops"), [(0.0, 1), (4.0, 1), (5.0, 0)])
def test_the_interval_counts_from_the_row(interval: float, drops: int) -> None:
    assert len(pair([Window(0, 0), Window(5, 5)], [0.0], slack=0.0, interval=interval).drops) == drops
