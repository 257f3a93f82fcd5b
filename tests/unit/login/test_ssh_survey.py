"""What a session answers to the one command, and what it is worth."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from appliance.contract import Failure, named
from appliance.login.privilege import CommandResult
from appliance.login.ssh_survey import command, judge

ID = "uid=1000(scan) gid=1000(scan) groups=1000(scan),27(sudo)\n== id 0\n"
UNAME = "Linux web1 6.1.0-25-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.106-3 (2024-08-26) x86_64\n== uname 0\n"
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n== release 0\n'
NONE = "cat: /etc/os-release: No such file\ncat: /usr/lib/os-release: No such file\n== release 1\n"
LISTING = "User scan may run the following commands on web1:\n    (ALL) NOPASSWD: ALL\n    (www) /bin/ls\n== sudo 0\n"
PROOF = "0\n== proof 0\n"


def judged(*parts: str, sudo: bool = False, status: int | None = 0) -> dict[str, str] | Failure:
    session = judge(CommandResult(status, "".join(parts).encode()), sudo=sudo)
    if isinstance(session, Failure):
        return session
    if isinstance(session.sudo, Failure):
        failure = session.sudo
        return Failure(failure.phase, failure.signal, failure.text, {**session.facts, **failure.facts})
    return {**session.facts, **session.sudo}


def test_all_that_there_is_to_know() -> None:
    assert judged(ID, UNAME, DEBIAN, LISTING, PROOF, sudo=True) == {
        "id": "uid=1000(scan) gid=1000(scan) groups=1000(scan),27(sudo)",
        "uid": "1000",
        "groups": "scan,sudo",
        "hostname": "web1",
        "kernel": "Linux 6.1.0-25-amd64 x86_64",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "os_version": "12",
        "sudo": "all",
        "sudo_rules": "(ALL) NOPASSWD: ALL; (www) /bin/ls",
    }


@pytest.mark.parametrize(
    ("release", "os"),
    [
        (NONE, ("Linux 6.1.0-25-amd64", "6.1.0-25-amd64")),
        ("NAME='Void'\n== release 0\n", ("Void", None)),
        ('NAME="Alpine Linux"\r\nVERSION_ID=3.19\r\n== release 0\r\n', ("Alpine Linux 3.19", "3.19")),
        ('# broken\nNAME="unclosed\nlower=x\n== release 0\n', ('"unclosed', None)),
        ("", ("Linux 6.1.0-25-amd64", "6.1.0-25-amd64")),
    ],
)
def test_systems(release: str, os: tuple[str, str | None]) -> None:
    facts = judged(ID, UNAME, release)
    assert isinstance(facts, dict)
    assert (facts["os"], facts.get("os_version")) == os


@pytest.mark.parametrize(
    ("line", "groups"),
    [
        ("uid=1(a) gid=2(b) groups=2(b),3(Domain Users),4", "b,Domain Users,4"),
        ("uid=1(a) gid=2(b) groups=2(b) context=unconfined_u:unconfined_r:unconfined_t:s0", "b"),
        ("uid=100(a) gid=1(other)", "other"),  # Solaris
        ("uid=7", ""),
    ],
)
def test_groups(line: str, groups: str) -> None:
    facts = judged(f"{line}\n== id 0\n")
    assert isinstance(facts, dict)
    assert facts["groups"] == groups


def test_a_kernel_that_says_less() -> None:
    facts = judged(ID, "uname: illegal option\n== uname 1\n", NONE)
    assert isinstance(facts, dict)
    assert facts.keys() == {"id", "uid", "groups"}


@pytest.mark.parametrize(
    ("parts", "sudo", "status", "reason"),
    [
        (("uid=1000(scan) gid=1000(scan)\n",), False, 0, "PRIV_FORCED_COMMAND"),  # a forced `id`
        (("welcome\n",), False, 0, "PRIV_FORCED_COMMAND"),
        (("csh: sh: Command not found.\n",), False, 1, "PRIV_NO_SHELL"),
        (("",), False, 1, "PRIV_NO_SHELL"),
        (("sh: id: not found\n== id 127\n", UNAME, DEBIAN), False, 0, "PRIV_NO_SHELL"),
        (('% Ambiguous command:  "sh -c"\n',), False, 0, "PRIV_NO_SHELL"),
        (("bad command name sh (line 1 column 1)\n",), False, 0, "PRIV_NO_SHELL"),
        ((ID, UNAME, DEBIAN, "sudo: a password is required\n== sudo 1\n"), True, 0, "PRIV_SUDO_PASSWORD"),
        ((ID, UNAME, DEBIAN, "sh: 1: sudo: not found\n== sudo 127\n"), True, 0, "PRIV_NO_SUDO"),
        ((ID, UNAME, DEBIAN, "User scan may run\n    (ALL) NOPASSWD"), True, None, "PRIV_CHECK_FAILED"),
    ],
)
def test_what_is_no_pass(parts: tuple[str, ...], sudo: bool, status: int | None, reason: str) -> None:
    ended = judged(*parts, sudo=sudo, status=status)
    assert isinstance(ended, Failure)
    assert ended.signal == named(reason)
    assert ("uid" in ended.facts) == (reason not in ("PRIV_FORCED_COMMAND", "PRIV_NO_SHELL"))


def test_the_proof_counts_for_an_entry_that_wants_a_password_by_its_words() -> None:
    listing = LISTING.replace("NOPASSWD: ", "")  # which is how it stands where nobody is authenticated
    facts = judged(ID, UNAME, DEBIAN, listing, PROOF, sudo=True)
    assert isinstance(facts, dict)
    assert facts["sudo"] == "all"
    ended = judged(ID, UNAME, DEBIAN, listing, "sudo: a password is required\n== proof 1\n", sudo=True)
    assert isinstance(ended, Failure)
    assert ended.signal == named("PRIV_SUDO_PASSWORD")


def test_root_needs_no_sudo() -> None:
    facts = judged("uid=0(root) gid=0(root)\n== id 0\n", UNAME, DEBIAN, "== sudo 0\n", sudo=True)
    assert isinstance(facts, dict)
    assert "sudo" not in facts


def test_a_part_is_taken_the_first_time_that_it_is_there() -> None:
    facts = judged(ID, "uid=0(root)\n== id 0\n", UNAME, DEBIAN)
    assert isinstance(facts, dict)
    assert facts["uid"] == "1000"


@pytest.mark.parametrize("sudo", [True, False])
def test_the_command_is_one_quoted_word_for_any_shell(sudo: bool) -> None:
    words = shlex.split(command(sudo=sudo))
    assert words[:2] == ["sh", "-c"]
    assert re.search(r"[\'!\\\\\n]", words[2]) is None
    assert ("sudo" in words[2]) == sudo


def test_it_runs_here() -> None:
    done = subprocess.run(["sh", "-c", command(sudo=False)], capture_output=True, check=True)
    session = judge(CommandResult(0, done.stdout + done.stderr), sudo=False)
    assert not isinstance(session, Failure)
    facts = session.facts
    assert facts.keys() >= {"id", "uid", "groups", "hostname", "kernel", "os"}
