"""`stop`, `allow` and `stops` on a state directory that nobody holds: what they say, and each kind of bad input."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from tests.acceptance.product import Ended
from tests.cli.refusals import here, refused, unboxed
from tests.schemas import conforms


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def say(state: Path, *arguments: str) -> Ended:
    return here(*arguments, "--state", state)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("stop",), "say what: --account USER@AUTHORITY, --secret NAME [--vault TITLE], or --vault TITLE"),
        (("allow",), "say what: --account USER@AUTHORITY"),
        (("stop", "--why", "leaked"), "say what:"),
        (("stop", "--account", "svc"), "'svc' is no account; write USER@AUTHORITY (a directory, domain or host)"),
        (("stop", "--account", "@corp"), "'@corp' is no account"),
        (("stop", "--account", "a@b", "--secret", "s"), "--account stands alone"),
        (("allow", "--account", "a@b", "--vault", "V"), "--account stands alone"),
        (("stop", "--secret", ""), "'' is no name; write one line"),
        (("stop", "--secret", "s", "--vault", " "), "' ' is no name; write one line"),
        (("stop", "--vault", "x" * 300), "is no name; write one line of at most 256 characters"),
        (("stop", "--vault", "V", "--why", "two\nlines"), "--why: the reason must be one line"),
    ],
)
def test_what_cannot_be_selected(state: Path, arguments: tuple[str, ...], text: str) -> None:
    refused(say(state, *arguments), text)
    assert not (state / "keymuster.db").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("allow", "--all", "--account", "a@b"), "--all lifts every stop; leave the rest out"),
    ],
)
def test_options_that_do_not_go_together(state: Path, arguments: tuple[str, ...], text: str) -> None:
    ended = say(state, *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert text in unboxed(ended.stderr)


def test_a_stop_is_shown_until_it_is_lifted(state: Path) -> None:
    assert say(state, "stops").stdout == "nothing is stopped\n"
    assert not state.exists()
    stopped = say(state, "stop", "--account", "CORP\\Svc", "--why", "it has leaked")
    assert (stopped.code, stopped.stderr) == (0, "")
    assert stopped.stdout.startswith("stopped: account svc@corp.")
    say(state, "stop", "--secret", "s", "--vault", "V")
    shown = say(state, "stops", "--json")
    conforms(shown.document, "stops")
    me = pwd.getpwuid(os.getuid()).pw_name
    assert [(one["kind"], one["name"], one["vault"], one["why"]) for one in shown.document["stops"]] == [
        ("account", "svc@corp", None, "it has leaked"),
        ("secret", "s", "V", ""),
    ]
    assert all(one["by"].endswith(me) for one in shown.document["stops"])
    table = say(state, "stops").stdout
    for word in ("account svc@corp", "secret s in V", "it has leaked", me):
        assert word in table
    again = say(state, "stop", "--account", "svc@corp", "--why", "another", "--json")
    assert json.loads(again.stdout)["stops"] == shown.document["stops"][:1]

    refused(say(state, "allow", "--secret", "s"), "secret s is not stopped; what is: account svc@corp, since", code=5)
    assert say(state, "allow", "--secret", "S", "--vault", "v").stdout == "allowed again: secret s in V\n"
    assert say(state, "allow", "--all").stdout == "allowed again: account svc@corp\n"
    refused(say(state, "allow", "--all"), "nothing is stopped", code=5)
    refused(say(state, "allow", "--vault", "V"), "nothing is stopped", code=5)


def test_who_gave_the_order_through_sudo(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    (one,) = say(state, "stop", "--vault", "V", "--json").document["stops"]
    assert one["by"] == f"alice as {pwd.getpwuid(os.getuid()).pw_name}"
