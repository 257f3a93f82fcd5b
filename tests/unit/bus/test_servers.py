from __future__ import annotations

import pytest
from nats.aio.client import Server

from appliance.bus.servers import LONGEST_WAIT_S, Redial, is_known, is_loopback, servers_of, wants_tls


def test_a_url_names_one_server_or_several() -> None:
    assert servers_of("tls://a:4222") == ["tls://a:4222"]
    assert servers_of("tls://a:4222, tls://b:4222,") == ["tls://a:4222", "tls://b:4222"]
    assert servers_of(" , ") == []


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("nats://127.0.0.1:4222", True),
        ("127.9.9.9:4222", True),
        ("nats://[::1]:4222", True),
        ("localhost", True),
        ("nats://localhost.example", False),
        ("tls://10.0.0.1:4222", False),
        ("nats://127.0.0.1:1,nats://127.0.0.1:2", True),
        ("nats://127.0.0.1:1,nats://10.0.0.1:2", False),
    ],
)
def test_all_servers_are_on_this_machine_or_it_is_not(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


@pytest.mark.parametrize(
    ("server", "known"),
    [
        ("nats://a:1", True),
        ("tls://a:1", True),
        ("a:1", True),
        ("ws://a:1", False),
        ("wss://a:1", False),
        ("https://a", False),
    ],
)
def test_how_a_server_is_spoken_to(server: str, known: bool) -> None:
    assert is_known(server) is known


def test_one_server_that_wants_tls_is_enough() -> None:
    assert wants_tls("nats://a:1,tls://b:1")
    assert not wants_tls("nats://a:1,nats://b:1")


def test_every_server_is_tried_in_turn_and_the_wait_grows_to_its_longest() -> None:
    servers = [Server(uri=name) for name in ("a", "b")]
    redial = Redial(uniform=max)
    tried = [redial(servers, {}) for _ in range(14)]
    assert [server.uri for server, _ in tried] == ["a", "b"] * 7
    assert [wait for _, wait in tried[::2]] == [0.1, 0.2, 0.4, 0.8, 1.6, LONGEST_WAIT_S, LONGEST_WAIT_S]
    redial.connected()
    assert redial(servers, {}) == (servers[0], 0.1)


def test_those_who_lost_a_server_together_do_not_come_back_together() -> None:
    servers = [Server(uri="a")]
    many = [Redial() for _ in range(200)]
    waits = [[redial(servers, {})[1] for _ in range(6)][-1] for redial in many]
    assert max(waits) - min(waits) > LONGEST_WAIT_S / 2
    assert len(set(waits)) == len(waits)
