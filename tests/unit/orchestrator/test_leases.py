"""Which leases may be taken over: by what somebody has seen of them, and for how long."""

from __future__ import annotations

from zlib import crc32

from orchestrator.leases import BEAT_S, GAP_S, KNOWN_S, LOOK_S, LOST_S, LeaseWatch
from orchestrator.sharding import SHARDS, shard_of
from orchestrator.store.frozen import SILENT_S
from orchestrator.store.leases import LeaseRow

NAME = "run r"


def row(beat: int = 0, owner: str = "other", token: str = "t") -> LeaseRow:
    return LeaseRow(NAME, owner, token, beat)


def watched(watch: LeaseWatch, seen: LeaseRow, since: float, until: float) -> float:
    """Looks at the same row all that time; when it looked last."""
    now = since
    while now <= until:
        watch.look({NAME: seen}, now)
        now += LOOK_S
    return now - LOOK_S


def test_what_nobody_holds_is_free() -> None:
    assert LeaseWatch("me").is_free(None, 0.0)


def test_one_that_is_counted_up_is_not() -> None:
    watch, now = LeaseWatch("me"), 0.0
    for beat in range(30):
        watch.look({NAME: row(beat)}, now)
        assert not watch.is_free(row(beat), now)
        now += BEAT_S


def test_one_that_is_not_counted_up_for_long_is() -> None:
    watch = LeaseWatch("me")
    now = watched(watch, row(), 0.0, LOST_S - 0.1)
    assert not watch.is_free(row(), now)
    now = watched(watch, row(), now + LOOK_S, LOST_S)
    assert watch.is_free(row(), now)
    assert not watch.is_free(row(1), now), "its holder has counted it up since the last look"
    assert not watch.is_free(row(token="u"), now), "somebody else has taken it since"


def test_taken_over_within_15_seconds_of_the_holders_death() -> None:
    """At worst it dies just after it has counted, and that is seen at the latest moment."""
    assert LOOK_S + LOST_S + LOOK_S <= 12.0


def test_whoever_has_not_looked_begins_anew() -> None:
    watch = LeaseWatch("me")
    watched(watch, row(), 0.0, LOST_S / 2)
    late = LOST_S / 2 + GAP_S + 2 * LOST_S
    watch.look({NAME: row()}, late)
    assert not watch.is_free(row(), late), "it slept, and so perhaps did the store"
    assert not watch.is_free(row(), late + GAP_S + LOST_S), "what was seen long ago is nothing"
    assert watch.is_free(row(), watched(watch, row(), late, late + LOST_S + LOOK_S))


def test_one_that_is_silent_may_be_frozen() -> None:
    watch = LeaseWatch("me")
    assert not watch.is_one_silent(0.0)
    now = watched(watch, row(), 0.0, SILENT_S - 0.1)
    assert not watch.is_one_silent(now)
    now = watched(watch, row(), now + LOOK_S, SILENT_S + LOOK_S)
    assert watch.is_one_silent(now)
    watch.look({NAME: row(1)}, now)
    assert not watch.is_one_silent(now), "it has been counted up"
    now = watched(watch, row(1), now, now + KNOWN_S + 2 * LOOK_S)
    assert not watch.is_one_silent(now), "whatever it held has been let go of by now"
    mine = LeaseWatch("other")
    now = watched(mine, row(), 0.0, 2 * LOST_S)
    assert not mine.is_one_silent(now), "we ourselves are awake"


def test_what_an_earlier_process_of_ours_has_left_is_ours() -> None:
    assert LeaseWatch("me").is_free(row(owner="me"), 0.0)


def test_shards_are_the_same_in_every_release() -> None:
    """Two releases that deal authorities out otherwise would be two pacers."""
    assert SHARDS == 64
    assert [shard_of(a) for a in ("dir:corp", "host:10.0.0.1", "host:10.0.0.2")] == [
        crc32(a) % 64 for a in (b"dir:corp", b"host:10.0.0.1", b"host:10.0.0.2")
    ]
    assert len({shard_of(f"host:10.0.{n >> 8}.{n & 255}") for n in range(1000)}) == SHARDS
