"""A vault that limits its rate has no more attempts open than its appliances have room for."""

from __future__ import annotations

from orchestrator.vault_room import CALM_S, FORGET_S, LEAST, VaultRoom


def opened(number: int) -> VaultRoom:
    room = VaultRoom()
    for _ in range(number):
        room.count("V", 1)
    return room


def free(room: VaultRoom) -> int:
    """How many more may be opened now."""
    number = 0
    while room.has_room("V") and number < 1000:
        room.count("V", 1)
        number += 1
    for _ in range(number):
        room.count("V", -1)
    return number


def test_there_is_no_limit_before_a_vault_was_full() -> None:
    assert free(opened(500)) == 1000


def test_those_that_found_no_room_take_their_places_away() -> None:
    room = opened(500)
    for _ in range(100):
        room.full("V", 1.0)
        room.count("V", -1)
    assert free(room) == 0
    room.count("V", -1)
    assert free(room) == 1
    assert room.has_room("W")


def test_however_many_find_none_some_places_stay() -> None:
    room = opened(500)
    for _ in range(1000):
        room.full("V", 1.0)
    for _ in range(500):
        room.count("V", -1)
    assert free(room) == LEAST


def test_those_that_found_room_make_some_slowly_while_it_is_short_and_else_quickly() -> None:
    room = opened(200)
    room.full("V", 1.0)
    room.count("V", -1)
    for _ in range(199):
        room.ended("V", 1.0 + CALM_S / 2)
    assert free(room) <= 1
    for _ in range(100):
        room.ended("V", 1.0 + CALM_S)
    assert 99 <= free(room) <= 102


def test_it_is_forgotten() -> None:
    room = opened(200)
    room.full("V", 1.0)
    room.forget(FORGET_S)
    assert free(room) == 0
    room.forget(1.0 + FORGET_S)
    assert free(room) == 1000
