"""What a scan asks a Unix session, all in one command, and how the answer is read. Pure.

Rules, stated here and nowhere else:
1. One channel, one command: servers limit sessions, and each costs a round trip. It reads, and writes nothing.
2. Whatever the login shell is (dash, busybox, csh, fish), it has to pass one quoted word to `sh`, which need be no more
   than POSIX has it: so no quote, `!`, backslash or newline is in the word.
3. Each part ends with a line of its own that has its exit status. A session that answers, but not with these lines, has
   not run what it was told.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from appliance.contract import Failure, Phase, named, peer_text
from appliance.login.privilege import CommandResult, Identity, judge_identity, judge_sudo, proves_root

_BEGIN = "exec 2>&1; LC_ALL=C; export LC_ALL"
_PARTS = {
    "id": "id",
    "uname": "uname -snrvm",
    "release": "cat /etc/os-release || cat /usr/lib/os-release",
}
# Only where the record asks for it: to whom may not use it, sudo may send its admin a mail. Root does not need it. The
# proof is asked for only where sudo has listed something, for the same reason.
_SUDO = (
    'test "$(id -u)" = 0 || sudo -n -l; s=$?; echo "== sudo $s"; '
    'test "$(id -u)" = 0 || test $s -ne 0 || sudo -n id -u; echo "== proof $?"'
)


def command(*, sudo: bool) -> str:
    """What is run. `sudo`: look at what sudo allows, too."""
    parts = [f'{part}; echo "== {name} $?"' for name, part in _PARTS.items()]
    script = "; ".join([_BEGIN, *parts, *([_SUDO] if sudo else [])])
    return f"sh -c '{script}'"


_NEEDS_TERMINAL = re.compile(rb"must have a tty", re.IGNORECASE)
_END = re.compile(rb"^(?P<output>.*?)^== (?P<name>[a-z]+) (?P<status>\d+)\r?\n?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Survey:
    """The parts of an answer that have come to their end, by name."""

    parts: dict[str, CommandResult]
    rest: bytes
    """What stands behind the last of them: of a part that was cut off."""

    @classmethod
    def of(cls, result: CommandResult) -> Survey:
        found = list(_END.finditer(result.output))
        parts = {m["name"].decode(): CommandResult(int(m["status"]), m["output"]) for m in reversed(found)}
        return cls(parts, result.output[found[-1].end() :] if found else result.output)


@dataclass(frozen=True, slots=True)
class Session:
    """Who the session is, and what it may do."""

    facts: dict[str, str]
    root: bool
    sudo: dict[str, str] | Failure = field(default_factory=dict)
    """What sudo allows without a password: facts, or why it is not enough. Nothing where it was not asked."""
    needs_terminal: bool = False
    """Sudo answers nobody without one (requiretty), so it has not been asked."""


def judge(result: CommandResult, *, sudo: bool) -> Session | Failure:
    """The session, or why there is none worth the name."""
    survey = Survey.of(result)
    if "id" not in survey.parts:
        judged = judge_identity(result)
        if isinstance(judged, Failure):
            return judged
        return Failure(Phase.PRIVILEGE, named("PRIV_FORCED_COMMAND"), peer_text(result.output))
    identity = judge_identity(survey.parts["id"])
    if isinstance(identity, Failure):
        return identity
    facts = _facts(identity, survey)
    if not sudo or identity.uid == 0:
        return Session(facts, root=identity.uid == 0)
    listed = survey.parts.get("sudo")
    if listed is None:
        missing = Failure(Phase.PRIVILEGE, named("PRIV_CHECK_FAILED"), peer_text(survey.rest))
        return Session(facts, root=False, sudo=missing)
    allowed = free_sudo(listed, survey.parts.get("proof"), survey.rest)
    return Session(facts, root=False, sudo=allowed, needs_terminal=bool(_NEEDS_TERMINAL.search(listed.output)))


def free_sudo(listed: CommandResult, proof: CommandResult | None, rest: bytes = b"") -> dict[str, str] | Failure:
    """Whether sudo makes root of the user without a password, from `sudo -n -l` and `sudo -n id -u`: the fact
    `sudo_rules`, where there are any, and why it does not. `rest`: where the proof should be.
    """
    rules = _rules(listed)
    facts = {"sudo_rules": rules} if rules else {}
    rights = judge_sudo(listed, ran=proof is not None and proves_root(proof.output))
    if isinstance(rights, Failure):
        return Failure(rights.phase, rights.signal, rights.text, facts)
    if proof is None:
        return Failure(Phase.PRIVILEGE, named("PRIV_CHECK_FAILED"), peer_text(rest), facts)
    if not proves_root(proof.output):
        return Failure(Phase.PRIVILEGE, named("PRIV_NOT_ROOT"), peer_text(proof.output), facts)
    return {**facts, **rights}


def _facts(identity: Identity, survey: Survey) -> dict[str, str]:
    facts = {**identity.facts, "uid": str(identity.uid), "groups": _groups(identity.facts["id"])}
    facts |= _uname(survey.parts.get("uname"))
    return facts | _release(survey.parts.get("release"), facts.get("kernel", ""))


_GROUPS = re.compile(r"\bgroups=(?P<groups>.*?)(?: context=\S+)?$")
_GID = re.compile(r"\bgid=(?P<gid>\d+(?:\([^)]*\))?)")
_GROUP = re.compile(r"(?P<number>\d+)(?:\((?P<name>[^)]*)\))?")


def _groups(line: str) -> str:
    """Their names; the numbers of those that have none. A host that lists none has told the first one only."""
    found = _GROUPS.search(line)
    listed = found["groups"] if found else (_GID.search(line) or {"gid": ""})["gid"]
    return ",".join(m["name"] or m["number"] for m in _GROUP.finditer(listed))


def _uname(part: CommandResult | None) -> dict[str, str]:
    """`uname -snrvm`: a version may have blanks, nothing else has."""
    words = _lines(part)[0].split() if part is not None and part.status == 0 and _lines(part) else []
    if len(words) < 4:
        return {}
    system, node, release, *_, machine = words
    return {"hostname": peer_text(node), "kernel": peer_text(f"{system} {release} {machine}")}


def _release(part: CommandResult | None, kernel: str) -> dict[str, str]:
    """The system by os-release(5); without it, by its kernel."""
    values: dict[str, str] = {}
    for line in _lines(part) if part is not None and part.status == 0 else ():
        name, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Z_]+", name):
            values[name] = _unquoted(value)
    version = values.get("VERSION_ID", "")
    pretty = values.get("PRETTY_NAME") or f"{values.get('NAME', '')} {values.get('VERSION') or version}".strip()
    if pretty:
        return {"os": peer_text(pretty), **({"os_version": peer_text(version)} if version else {})}
    if not kernel:
        return {}
    system, version, _ = kernel.split(" ", 2)
    return {"os": f"{system} {version}", "os_version": version}


_PLAIN = re.compile(r"""[\w.:/=@%+-]*|"[^"\\]*\"""", re.ASCII)
"""Values as nearly all of them are; for these the shell's rules come to nothing but the quotes."""


def _unquoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value.strip('"')
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    return words[0] if words else ""


def _rules(part: CommandResult) -> str:
    """What `sudo -l` lists, an entry after the other: `(ALL) NOPASSWD: ALL; (www) /bin/ls`."""
    entries = (line.strip() for line in _lines(part) if re.match(r"\s+\(", line))
    return peer_text("; ".join(entries))


def _lines(part: CommandResult) -> list[str]:
    return part.output.decode("utf-8", "replace").splitlines()
