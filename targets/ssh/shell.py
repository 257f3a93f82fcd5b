"""What a simulated host's commands answer: enough for a scan that looks at who it is and what it may do. Pure.

A command is taken as words; leading `NAME=value` assignments are skipped as a shell would. `sh -c` takes a list of
commands with `;` and `||`, `NAME=value`, `$NAME`, `$?`, `$(...)` and `exec 2>&1`. There is no pipeline, no quoting
beyond words, and nothing is ever changed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from targets.estate import Host
from targets.faults import Session

UID = 1001
NOT_FOUND = 127
"""What shells end with where there is no such command."""


@dataclass(frozen=True, slots=True)
class Answer:
    stdout: str = ""
    stderr: str = ""
    status: int = 0


_INSTEAD = {
    Session.NOLOGIN: Answer("This account is currently not available.\n", status=1),
    Session.FORCED: Answer("rsync backup service, protocol 31\n"),
    Session.EXPIRED: Answer(
        stderr="WARNING: Your password has expired.\nPassword change required but no TTY available.\n", status=1
    ),
}


def answer(host: Host, user: str, command: str, *, terminal: bool = False) -> Answer:
    if host.fault.session in _INSTEAD:
        return _INSTEAD[host.fault.session]
    if host.fault.session is Session.DEVICE:
        return Answer(f'\r\nLine has invalid autocommand "{command}"')  # Cisco IOS, of a command that it has not
    try:
        words = shlex.split(command)
    except ValueError as error:
        return Answer(stderr=f"sh: syntax error: {error}\n", status=2)
    if words[:2] == ["sh", "-c"] and len(words) == 3:
        return _script(host, user, words[2])
    by_env = words[:1] == ["env"]
    if by_env:
        words.pop(0)
    while words and re.fullmatch(r"[A-Za-z_]\w*=.*", words[0]):
        words.pop(0)
    if words[:1] == ["sudo"] and host.fault.requiretty and not terminal:
        return Answer(stderr="sudo: sorry, you must have a tty to run sudo\n", status=1)
    said = _run(host, user, words)
    if by_env and said.status == NOT_FOUND:
        return Answer(stderr=host.unix.missing_to_env.format(command=words[0]) + "\n", status=NOT_FOUND)
    return said


def _script(host: Host, user: str, script: str) -> Answer:
    out, err, status, merged = "", "", 0, False
    variables = dict[str, str]()
    for statement in script.split(";"):
        for number, written in enumerate(statement.split("||")):
            if number and not status:
                break
            if written.strip() == "exec 2>&1":
                merged = True
                continue
            simple = _expanded(host, user, written, {**variables, "?": str(status)})
            if assigned := re.fullmatch(r"\s*([A-Za-z_]\w*)=(\S*)\s*", simple):
                variables[assigned[1]], status = assigned[2], 0
                continue
            said = answer(host, user, simple)
            status = said.status
            out += said.stdout + (said.stderr if merged else "")
            err += "" if merged else said.stderr
    return Answer(out, err, status)


def _expanded(host: Host, user: str, command: str, variables: Mapping[str, str]) -> str:
    command = re.sub(r"\$(\?|[A-Za-z_]\w*)", lambda found: variables.get(found[1], ""), command)
    return re.sub(r"\$\(([^)]*)\)", lambda found: answer(host, user, found[1]).stdout.strip(), command)


def _run(host: Host, user: str, words: list[str]) -> Answer:
    if not words:
        return Answer()
    command, *arguments = words
    if command == "sudo":
        return _sudo(host, user, arguments)
    if command == "su" and host.root == "su":
        return Answer(stderr="su: Permission denied\n", status=1)  # who is admitted is asked first
    if command == "echo":
        return Answer(" ".join(arguments) + "\n")
    if command == "export":
        return Answer()
    if command == "test" and arguments[1:2] == ["="]:
        return Answer(status=int(arguments[0] != arguments[2]))
    if command == "test" and arguments[1:2] == ["-ne"]:
        return Answer(status=int(arguments[0] == arguments[2]))
    return _fixed(host, user).get(" ".join(words)) or _not_found(host, command)


def _not_found(host: Host, command: str) -> Answer:
    return Answer(stderr=host.unix.missing.format(command=command) + "\n", status=NOT_FOUND)


def _fixed(host: Host, user: str) -> dict[str, Answer]:
    name = _name(host)
    return {
        "id": Answer(f"{_identity(host, user)}\n"),
        "id -u": Answer(f"{0 if user == 'root' else UID}\n"),
        "id -un": Answer(f"{user}\n"),
        "whoami": Answer(f"{user}\n"),
        "uname": Answer("Linux\n"),
        "uname -n": Answer(f"{name}\n"),
        "hostname": Answer(f"{name}\n"),
        "uname -a": Answer(f"{host.unix.uname.format(name=name)}\n"),
        "uname -snrvm": Answer(f"{_plain(host.unix.uname.format(name=name))}\n"),
        "cat /etc/os-release": Answer(host.unix.os_release),
        "true": Answer(),
        "false": Answer(status=1),
    }


def _plain(uname: str) -> str:
    """`uname -a` without what it has of processor, platform and operating system."""
    words = uname.removesuffix(" GNU/Linux").split()
    while words[-1:] == words[-2:-1]:
        words.pop()
    return " ".join(words)


def _name(host: Host) -> str:
    return f"host-{re.sub('[.:]', '-', host.address)}"


def _identity(host: Host, user: str) -> str:
    if user == "root":
        return "uid=0(root) gid=0(root) groups=0(root)"
    may_sudo = host.fault.sudo and host.fault.sudoer and _sudo_runs(host) == "ALL" and host.unix.admins
    groups = f"{UID}({user}),{host.unix.admins}" if may_sudo else f"{UID}({user})"
    return f"uid={UID}({user}) gid={UID}({user}) groups={groups}"


def _sudo_runs(host: Host) -> str:
    """The one command that sudo runs without a password, or ALL."""
    return host.fault.sudo_rule.rsplit(" ", 1)[-1]


def _sudo(host: Host, user: str, words: list[str]) -> Answer:
    if not host.fault.sudo_installed:
        return _not_found(host, "sudo")
    if not host.fault.sudoer:
        return Answer(stderr=f"Sorry, user {user} may not run sudo on {_name(host)}.\n", status=1)
    rest = [word for word in words if word not in {"-n", "--"}]
    free = rest == ["-l"] or not rest or _sudo_runs(host) in {"ALL", f"/usr/bin/{rest[0]}"}
    if not host.fault.sudo or not free or host.root != "free":
        return Answer(stderr="sudo: a password is required\n", status=1)
    if rest == ["-l"]:
        return Answer(f"User {user} may run the following commands on {_name(host)}:\n    {host.fault.sudo_rule}\n")
    return _run(host, "root", rest)
