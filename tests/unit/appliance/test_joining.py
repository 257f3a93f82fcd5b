"""What a container's process is by itself, and what `appliance join` finds when it starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import anyio
import pytest

from appliance.bus import BusError, BusRefused
from appliance.bus.users import new_user
from appliance.contract import EnrolmentRequest, EnrolmentToken
from appliance.enrolling import Local, _answer, enrol, has_enrolled, own_name
from appliance.process_one import end_on_sigterm
from appliance.sealed_logins import new_sealing_key
from appliance.settings import SettingsError

NOBODY = "nats://127.0.0.1:9"


@pytest.fixture
def sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm")
def test_process_one_of_a_container_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1)
    end_on_sigterm()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


@pytest.mark.usefixtures("sigterm")
def test_any_other_process_is_left_as_it_is() -> None:
    end_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_appliance_that_nobody_has_named_is_named_by_zone_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "web-1.example.net" + "x" * 80)
    assert own_name("dmz") == f"dmz-web-1-example-net{'x' * 43}"
    assert len(own_name("dmz")) == 64


def test_what_a_killed_enrolment_has_left_is_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    assert not has_enrolled(str(file))
    file.touch()
    assert not has_enrolled(str(file))
    assert not file.exists()
    file.write_text('name = "a"\n')
    assert has_enrolled(str(file))
    assert file.read_text() == 'name = "a"\n'


def token() -> EnrolmentToken:
    return EnrolmentToken(id="0" * 16, zone="dmz", url=NOBODY, seed="SU", user="", expires_at=4e9)


class _Doors:
    """In place of the bus: what it says, one answer after the other."""

    def __init__(self, *answers: BusError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, token: EnrolmentToken, request: object, *, tls: object) -> object:
        self.asked.append(str(getattr(request, "public", "")))
        raise self.answers.pop(0)


def request() -> EnrolmentRequest:
    _, sealing = new_sealing_key()
    return EnrolmentRequest(name="dmz-1", public=new_user().public, sealing=sealing, release="1")


async def test_a_bus_that_is_just_starting_is_waited_for_by_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = _Doors(BusError("nobody yet"), BusError("nobody yet"), BusRefused("the token has expired"))
    monkeypatch.setattr("appliance.enrolling.ask_for_enrolment", doors)
    monkeypatch.setattr("appliance.enrolling.AGAIN_S", 0.01)
    with pytest.raises(BusRefused, match="has expired"):
        await _answer(token(), request(), None, patience=5)
    assert len(doors.asked) == 3
    assert len(set(doors.asked)) == 1, "who has not heard the answer asks again as the same one"


async def test_a_token_that_is_over_is_told_by_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server knows no more than that it lets nobody in by it."""
    monkeypatch.setattr("appliance.enrolling.ask_for_enrolment", _Doors(BusRefused("its key is not known there")))
    over = token().model_copy(update={"expires_at": time.time() - 600})
    with pytest.raises(BusRefused, match=r"expired 10 min ago; `keymuster fleet add`.*its key is not known there"):
        await _answer(over, request(), None, patience=5)


async def test_without_patience_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = _Doors(BusError("nobody yet"))
    monkeypatch.setattr("appliance.enrolling.ask_for_enrolment", doors)
    with pytest.raises(BusError, match="nobody yet"):
        await _answer(token(), request(), None, patience=0)
    assert len(doors.asked) == 1


def test_what_is_wrong_with_the_words_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="networks"):
        anyio.run(enrol, token(), str(tmp_path / "appliance.toml"), Local("dmz-1", ("10.0.0.0/99",), "tofu", ()), 60.0)


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        well = self.path == "/readyz"
        self.send_response(200 if well else 503)
        self.end_headers()
        self.wfile.write(b"ok\n" if well else b"bus: not connected\n")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def pages() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def healthy(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.healthy", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_a_health_check_says_what_the_page_says() -> None:
    with pages() as url:
        assert healthy(f"{url}/readyz") == (0, "")
        assert healthy(f"{url}/other") == (1, "bus: not connected\n")
    code, said = healthy(f"{url}/readyz")
    assert (code, "refused" in said) == (1, True)
    for wrong in ((), ("https://127.0.0.1/",), ("nothing",)):
        code, said = healthy(*wrong)
        assert (code, said.startswith("usage:")) == (2, True)
