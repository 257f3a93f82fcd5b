"""What README's table of exit codes promises, whatever ended the command, even from inside several tasks at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.bus import BusRefused
from orchestrator.cli.ending import told
from orchestrator.cli.errors import AbortedError, Exit, Incomplete, NothingToDo, Unreachable
from orchestrator.nats_binary import NatsServerError
from orchestrator.nats_files import ServerFiles
from orchestrator.state_dir import StateDirError
from orchestrator.store import StoreError
from tests.cli.refusals import here, refused

README = Path(__file__).parents[2] / "README.md"
TAKEN = "[FTL] Error listening on port: 127.0.0.1:4222, listen tcp 127.0.0.1:4222: bind: address already in use"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StateDirError("text"), 2),
        (BusRefused("text"), 3),
        (Unreachable("text"), 3),
        (Incomplete("text"), 4),
        (StoreError("text"), 4),
        (NothingToDo("text"), 5),
    ],
)
def test_an_expected_failure_is_its_text_and_its_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(ExceptionGroup("of tasks", [error])) == code
    assert capsys.readouterr() == ("", "keymuster: text\n")


def test_readme_names_every_exit_code() -> None:
    table = README.read_text(encoding="utf-8").partition("| exit code | meaning |")[2].partition("\n\n")[0]
    named = {int(code) for codes in re.findall(r"^\| ([\d /]+) \|", table, re.MULTILINE) for code in codes.split(" / ")}
    assert named == set(Exit)


def test_a_server_whose_port_was_taken_while_it_was_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run was under way, and can be resumed."""
    (tmp_path / "server.log").write_text(TAKEN)
    assert told(NatsServerError(ServerFiles(tmp_path).explain(1, 4222))) == 4
    said = capsys.readouterr().err
    assert said == (
        "keymuster: port 4222 of 127.0.0.1 is in use by another program: end it, "
        "or start again, which takes another port\n"
    )


def test_what_an_error_quotes_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(StateDirError("title \x1b[2Jw\u202eer\udcff\nmore")) == 2
    assert capsys.readouterr().err == "keymuster: title \\x1b[2Jw\\u202eer\\udcff\nkeymuster: more\n"


def test_a_place_to_search_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    odd.touch()
    refused(here("verify-clean", "--state", tmp_path / "state", "--also", odd), "is not UTF-8; name the directory")


def test_an_interrupt_outweighs_what_it_broke() -> None:
    assert told(BaseExceptionGroup("of tasks", [AbortedError(), BusRefused("gone")])) == 130


def test_a_bug_is_told_without_what_it_was_working_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(ExceptionGroup("of tasks", [RuntimeError("password=hunter2"), BusRefused("gone")])) == 70
    said = capsys.readouterr()
    assert "internal error: RuntimeError" in said.err
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize("module", ["typer", "orchestrator.cli.app"])
def test_ctrl_c_before_a_command_has_begun_ends_it_without_a_traceback(module: str) -> None:
    """Python is interrupted where it is: while modules are being loaded."""
    script = f"""
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from orchestrator.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
