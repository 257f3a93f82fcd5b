"""Places: what is looked at, and that what could not be looked at is told."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from appliance.leaks.finder import Sought
from appliance.leaks.forms import text_forms
from appliance.leaks.orders import Looked, Process
from appliance.leaks.search import search

SECRET = "KMS-0123456789abcdef01234567"
SOUGHT = [Sought("s", text_forms(SECRET))]
ROOT = os.geteuid() == 0


def look(*paths: Path, processes: tuple[Process, ...] = ()) -> Looked:
    return search(SOUGHT, map(str, paths), processes)


def test_files_are_looked_at_below_a_directory_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(SECRET)
    state = tmp_path / "state"
    (state / "deep" / "deeper").mkdir(parents=True)
    (state / "link").symlink_to(tmp_path / "elsewhere")
    (state / "deep" / "clean").write_text("nothing")
    assert look(state).found == ()
    (state / "deep" / "deeper" / "log").write_text(f"password: {SECRET}")
    looked = look(state)
    [found] = looked.found
    assert (found.place, found.offset, found.form) == (str(state / "deep" / "deeper" / "log"), 10, "as it is")
    assert looked.files == 2
    assert looked.bytes == len("nothing") + 10 + len(SECRET)


@pytest.mark.skipif(not ROOT, reason="only root may look at another process's memory")
def test_part_of_a_login_may_be_where_the_vault_is_asked_from_but_not_in_the_bus() -> None:
    kept = "import sys; kept = sys.stdin.readline(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(f"{SECRET}\n")
        one.stdin.flush()
        one.stdout.readline()
        by_right, not_so = (
            search(SOUGHT, (), (Process(pid=one.pid, what=what),), logins).found
            for what, logins in (("appliance", {"s"}), ("bus", {"s"}))
        )
        one.communicate()
    assert by_right == ()
    assert {found.place for found in not_so} == {f"memory of bus (process {one.pid})"}


def test_part_of_a_login_may_be_in_no_file(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(SECRET)
    assert search(SOUGHT, [str(tmp_path)], (), {"s"}).found


def test_a_files_name_may_hold_a_secret(tmp_path: Path) -> None:
    (tmp_path / f"{SECRET}.txt").write_text("")
    assert [found.place.startswith("the name of") for found in look(tmp_path).found] == [True]


def test_a_value_that_a_database_has_cut_to_pieces_is_found(tmp_path: Path) -> None:
    """At a page size of 512 bytes, with the secret across the first page's end, whatever the header takes."""
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute('CREATE TABLE "odd ""name" (number INTEGER, text TEXT, blob BLOB)')
        for before in range(380, 520):
            row = (before, "x" * before + SECRET + "x" * 2000, None)
            database.execute('INSERT INTO "odd ""name" VALUES (?, ?, ?)', row)
        database.execute('INSERT INTO "odd ""name" VALUES (0, NULL, ?)', (b"\xff" + SECRET.encode(),))
        database.commit()
        pages = file.read_bytes().count(SECRET.encode())
    assert pages < 141, "some are in pieces"
    found = look(file).found
    assert {f.place for f in found} == {str(file), f"{file}, value by value"}
    assert look(file).values >= 141


def test_a_broken_database_is_told_and_still_searched_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "broken.db"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000 + SECRET.encode())
    looked = look(file)
    assert [f.place for f in looked.found] == [str(file)]
    assert [s.place for s in looked.skipped] == [f"{file}, value by value"]


def test_a_database_whose_tables_cannot_be_named_is_told(tmp_path: Path) -> None:
    file = tmp_path / "odd.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE told (value)")
        database.execute("PRAGMA writable_schema = 1")
        database.execute(
            "UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT), sql = 'CREATE TABLE '||CAST(x'ff' AS TEXT)||'(v)'"
        )
        database.commit()
    looked = look(file)
    assert (looked.files, [s.place for s in looked.skipped]) == (1, [f"{file}, value by value"])


def test_a_pipe_a_socket_and_a_device_are_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        for place in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            assert [(s.place, s.why) for s in look(place).skipped] == [
                (str(place), "it is neither a file nor a directory")
            ]
    assert look(tmp_path).skipped == ()


def test_a_file_that_cannot_be_read_to_its_end_is_told_by_its_name() -> None:
    assert [s.place for s in look(Path("/proc/self/mem")).skipped] == ["/proc/self/mem"]


def test_names_that_are_not_utf_8_can_be_told(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_text(SECRET)
    looked = look(tmp_path)
    assert [f.place for f in Looked.decode(looked.encode()).found] == [f"{tmp_path}/\\xff"]


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text(SECRET)
    (tmp_path / "closed").chmod(0)
    assert [(s.place, s.why) for s in look(tmp_path).skipped] == [(str(tmp_path / "closed"), "Permission denied")]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    process = Process(pid=2**22 - 1, what="command")
    looked = look(gone, processes=(process,))
    assert [(s.place, s.why) for s in looked.skipped] == [
        (str(gone), "No such file or directory"),
        (f"memory of {process}", "it has ended"),
    ]


@pytest.mark.skipif(not ROOT, reason="only root may read the memory of other processes")
def test_the_memory_and_arguments_of_a_process(tmp_path: Path) -> None:
    script = "import sys; kept = bytes(reversed(sys.argv[1].encode())); print(flush=True); sys.stdin.read()"
    backwards = SECRET[::-1]
    command = [sys.executable, "-c", script, backwards]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as planted:
        assert planted.stdout is not None
        planted.stdout.readline()
        process = Process(pid=planted.pid, what="command")
        looked = look(processes=(process,))
        argv = search([Sought("b", text_forms(backwards))], (), (process,))
        planted.communicate()
    assert {f.place for f in looked.found} == {f"memory of {process}"}
    assert looked.processes == (process,)
    assert f"arguments and environment of {process}" in {f.place for f in argv.found}


@pytest.mark.skipif(not ROOT, reason="only root may read the memory of other processes")
@pytest.mark.parametrize(("planted", "called"), text_forms(SECRET).items())
def test_each_form_is_found_in_a_memory(planted: bytes, called: str) -> None:
    """The planted process hears it by pipe, and keeps it in a list."""
    script = "import sys; kept = [sys.stdin.buffer.read(int(sys.argv[1]))]; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(len(planted))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(planted)
        process.stdin.flush()
        process.stdout.readline()
        found = look(processes=(Process(pid=process.pid, what="command"),)).found
        process.communicate()
    assert called in {f.form for f in found}
