"""Who stands in for a zone that is not there, when a zone is given up, and how its clock is told from beats."""

from __future__ import annotations

from orchestrator.appliance_clocks import Clock, are_apart, told
from orchestrator.zone_watch import ZoneWatch
from orchestrator.zones import StandIn, Zoning

ZONES = Zoning({"lan": 5, "dmz": 5}, {"dmz": StandIn("lan", 30.0)})
BOTH, LAN, NONE = {"lan": 4, "dmz": 4}, {"lan": 4, "dmz": 0}, {"lan": 0, "dmz": 0}


def watch(zones: Zoning = ZONES, patience: float = 120.0) -> ZoneWatch:
    made = ZoneWatch(zones, patience)
    assert made.note(BOTH, 0.0) == ()
    return made


def test_the_fallback_takes_over_when_the_time_is_over_and_gives_back_at_once() -> None:
    under = watch()
    assert under.note(LAN, 29.9) == ()
    assert under.note(LAN, 30.0) == ("dmz",)
    assert (under.worked_in("dmz"), under.worked_in("lan")) == ("lan", "lan")
    assert under.note(LAN, 31.0) == ()
    assert under.note(BOTH, 32.0) == ("dmz",)
    assert under.worked_in("dmz") == "dmz"


def test_a_fallback_that_is_not_there_takes_nothing_over() -> None:
    under = watch()
    under.note(NONE, 60.0)
    assert under.worked_in("dmz") == "dmz"
    assert under.note(LAN, 61.0) == ("dmz",)


def test_a_queue_is_emptied_once_and_again_after_the_zone_has_been_there() -> None:
    under = watch()
    under.note(LAN, 30.0)
    out = [("dmz", "dmz"), ("lan", "lan")]
    assert under.to_recall(out, LAN) == ("dmz",)
    assert under.to_recall(out, LAN) == ()
    assert under.overdue(34.9, 35.0) == ()
    assert under.overdue(35.0, 35.0) == ("dmz",)
    under.note(BOTH, 40.0)
    assert under.overdue(90.0, 35.0) == ()
    under.note(LAN, 80.0)
    assert under.to_recall(out, LAN) == ("dmz",)
    assert watch().to_recall([("lan", "lan")], {"lan": 0, "dmz": 4}) == (), "nobody stands in for it"


def test_a_run_stops_when_only_zones_that_are_given_up_have_anything_left() -> None:
    under = watch(Zoning({"lan": 5, "dmz": 5}))
    under.note(LAN, 200.0)
    assert under.alone({"lan": 1, "dmz": 5}, 200.0) == "", "the others first"
    assert under.alone({}, 200.0) == ""
    text = under.alone({"dmz": 5}, 200.0)
    assert text == (
        "no appliance of zone 'dmz' has been alive to take its jobs for 120 s "
        "(drained ones take none until `keymuster fleet resume`)"
    )
    under.note(BOTH, 201.0)
    assert under.alone({"dmz": 5}, 201.0) == ""


def test_a_zone_whose_fallback_is_there_is_not_given_up() -> None:
    under = watch()
    under.note(LAN, 500.0)
    assert under.given_up(500.0) == ()
    under.note(NONE, 700.0)
    assert under.given_up(700.0) == ("lan", "dmz") or under.given_up(700.0) == ("dmz", "lan")


def test_where_one_appliance_does_everything_no_zone_is_missed() -> None:
    under = ZoneWatch(Zoning({"lan": 5, "dmz": 5}, {"dmz": StandIn("lan", 0.0)}, stand_in="own"), 120.0)
    assert under.note({"own": 4}, 0.0) == ()
    assert under.note({"own": 4}, 500.0) == ()
    assert (under.worked_in("dmz"), under.worked_in("lan")) == ("own", "own")
    assert under.alone({"dmz": 1}, 619.9) == ""
    assert "zone 'own'" in under.alone({"dmz": 1}, 620.0)


def test_a_clock_is_told_by_the_beat_that_was_held_up_least() -> None:
    clock = Clock()
    clock.beat(100.0, 112.0)
    assert clock.offset is None, "it may have lain there for long"
    for sent, heard in ((103.0, 103.4), (106.0, 106.05), (109.0, 111.0)):
        clock.beat(sent, heard)
    assert clock.offset is not None
    assert abs(clock.offset + 0.05) < 1e-9
    assert told(clock.offset) == "as ours"
    ahead = Clock()
    for beat in range(3):
        ahead.beat(beat * 3.0 + 7.5, beat * 3.0)
    assert are_apart(ahead.offset)
    assert told(ahead.offset) == "7.5 s ahead"
    assert not are_apart(None)
    assert told(None) == ""
