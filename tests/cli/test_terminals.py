"""What people read, on terminals wide and narrow, without colours, dumb, and where there is no terminal at all.

The estate has names as long as somebody may give them: none may push a reason, an address or a run's id off the screen.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product
from tests.cli.terminal import on_terminal
from tests.drawn import COLOUR, ESCAPE, is_whole, joined

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.keeps_open("one estate for all tests of the module"),
]

LONG = "a_name_that_somebody_has_made_" + "very_" * 12 + "long"
USER = f"svc_{LONG}"
ESTATE = f"""
seed = 4
[[hosts]]
count = 4
technology = "windows"
network = "127.73.100.0/24"
user = "{USER}"
account = "CORP"
secret = "shared"
secret_name = "secret_{LONG}"
fault = "wrong_password"
[[hosts]]
count = 2
network = "127.73.200.0/24"
faults = {{ none = 1, reset = 1 }}
"""
PLANNED = 6


@dataclass(frozen=True, slots=True)
class Bench:
    keymuster: Product
    campaign: Path
    truth: Path
    addresses: tuple[str, ...]
    run: str
    again: str
    """A rerun of it."""

    def question(self, name: str) -> list[str]:
        return {
            "report": self.keymuster.command("report", self.run),
            "plan": self.keymuster.command("plan", self.campaign)[:-2],
            "runs": self.keymuster.command("runs"),
            "score": self.keymuster.command("lab", "score", self.run, "--truth", self.truth),
            "reasons": self.keymuster.command("reasons")[:-2],
            "reason": self.keymuster.command("reasons", "LOCKOUT_BUDGET_SPENT")[:-2],
            "probe": self.keymuster.command(
                "probe", self.addresses[0], "--record", f"Windows {LONG}", "--campaign", self.campaign
            ),
            "vault": self.keymuster.command(
                "vault", "test", f"Vault {LONG}", "--campaign", self.campaign, "--secret", f"no_{LONG}"
            ),
            "no run": self.keymuster.command("report", "20991231-235959-ffff"),
            "no campaign": self.keymuster.command("run", self.campaign.with_name(f"{LONG}.toml")),
        }[name]


LONG_NAMES = {
    "report": ((2, f"secret_{LONG}"),),
    "plan": ((1, LONG), (2, f"{USER}@corp"), (3, f"secret_{LONG}")),
    "runs": ((1, LONG),),
    "score": ((0, f"{USER}@corp"),),
}
"""By question: where which name must be there to its last letter."""
TABLES = ("report", "plan", "runs", "score", "reasons")
QUESTIONS = (*TABLES, "reason", "probe", "vault", "no run", "no campaign")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("terminals")
    with running_lab(directory, ESTATE) as lab:
        windows = [host for host in lab.hosts if host["technology"] == "windows"]
        unix = [host for host in lab.hosts if host["technology"] == "unix"]
        addresses = [str(host["address"]) for host in lab.hosts]
        records = f"""
[[records]]
title = "Windows {LONG}"
technology = "windows"
user = "{USER}"
vault = "Vault {LONG}"
secret = "secret_{LONG}"
domain_type = "netbios-user-selected"
domain = "CORP"
port = {lab.ready["smb_port"]}
ips = {json.dumps([host["address"] for host in windows])}
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault {LONG}"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {json.dumps([host["address"] for host in unix])}
[targets]
include = {json.dumps(addresses)}
[pace]
retries = 0
"""
        campaign = directory / "campaign.toml"
        gate = f'name = "{LONG}"\ngate = ["coverage>=0.1", "reason.ACCOUNT_LOCKED==0"]\n'
        campaign.write_text(gate + lab.vault_table(f"Vault {LONG}") + records)
        keymuster = Product(directory / "state")
        run = keymuster.run(campaign)
        assert run.code == 0, run.stderr
        first = run.document["run"]["id"]
        again = keymuster("rerun", first, "--reason", "SKIPPED_BREAKER", "--json").document["run"]["id"]
        yield Bench(keymuster, campaign, Path(lab.ready["truth"]), tuple(addresses), first, again)


def expected(bench: Bench, question: str) -> list[str]:
    """What must stand there in one piece."""
    return {
        "report": ["BAD_CREDENTIALS", "SKIPPED_BREAKER", "CONNECTION_RESET", bench.run],
        "plan": [*bench.addresses, "scan@127.73.200."],
        "runs": [bench.run, bench.again],
        "score": ["BAD_CREDENTIALS", "SKIPPED_BREAKER", "CONNECTION_RESET", "scan@127.73.200."],
        "reasons": ["SECRET_PASSPHRASE_WRONG", "TOO_MANY_AUTH_FAILURES", "ACCOUNT_LOCKED"],
        "reason": ["LOCKOUT_BUDGET_SPENT"],
        "probe": ["LOCKOUT_BUDGET_SPENT"],
        "vault": ["SECRET_NOT_FOUND", LONG],
        "no run": ["20991231-235959-ffff"],
        "no campaign": [f"{LONG}.toml", "No such file or directory"],
    }[question]


@pytest.mark.parametrize(
    ("question", "columns"), [*((question, 80) for question in QUESTIONS), *((question, 160) for question in TABLES)]
)
def test_nothing_is_cut_off_or_pushed_away(bench: Bench, question: str, columns: int) -> None:
    shown = ESCAPE.sub("", on_terminal(bench.question(question), stdout_too=True, columns=columns).text)
    if question in (*TABLES, "probe"):
        is_whole(shown, columns)
    for text in expected(bench, question):
        assert text in shown, shown
    for place, name in LONG_NAMES.get(question, ()):
        assert name in joined(shown, place), shown


@pytest.mark.parametrize("question", ["report", "score", "vault", "no run"])
def test_a_dumb_terminal_and_another_program_get_no_escape_sequence(bench: Bench, question: str) -> None:
    command = bench.question(question)
    dumb = on_terminal(command, {"TERM": "dumb"}, stdout_too=True, columns=80)
    piped = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    for text in (dumb.text, piped.stdout, piped.stderr):
        assert "\x1b" not in text
    for text in expected(bench, question):
        assert text in dumb.text
        assert text in piped.stdout + piped.stderr


@pytest.mark.parametrize("question", ["report", "score"])
def test_no_colour_where_none_is_wanted(bench: Bench, question: str) -> None:
    command = bench.question(question)
    assert COLOUR.search(on_terminal(command, stdout_too=True).text), "a terminal gets colours"
    assert not COLOUR.search(on_terminal(command, {"NO_COLOR": "1"}, stdout_too=True).text)


@pytest.mark.parametrize("columns", [80, 160])
def test_a_run_in_progress(bench: Bench, columns: int) -> None:
    shown = on_terminal(bench.keymuster.command("run", bench.campaign, "--json"), columns=columns)
    assert f"run {json.loads(shown.stdout)['run']['id']}: {PLANNED} planned" in shown.text
    frames = [ESCAPE.sub("", line) for line in shown.text.replace("\r", "\n").splitlines()]
    bars = [line for line in frames if line.startswith("targets ")]
    assert bars
    assert max(map(len, frames)) <= columns
    assert all(f"/{PLANNED} 0:00:" in bar for bar in bars), bars
    assert not any("…" in frame for frame in frames)
    assert any("in flight · " in frame and frame.endswith(" not attempted") for frame in frames)


def test_a_dumb_terminal_gets_no_bar(bench: Bench) -> None:
    shown = on_terminal(bench.keymuster.command("run", bench.campaign, "--json"), {"TERM": "dumb"})
    assert f": {PLANNED} planned" in shown.text
    assert "in flight" not in shown.text
    assert "\x1b" not in shown.text


def test_neither_bar_nor_log_has_a_colour_where_none_is_wanted(bench: Bench) -> None:
    run = bench.keymuster.command("run", bench.campaign, "--json")
    shown = on_terminal([run[0], "-v", *run[1:]], {"NO_COLOR": "1"})
    assert "in flight" in shown.text
    assert "[info" in shown.text
    assert not COLOUR.search(shown.text)


def test_a_name_that_the_terminal_cannot_show_is_escaped(bench: Bench, tmp_path: Path) -> None:
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(bench.campaign.read_text().replace('title = "Unix"', 'title = "Unix \u043a\u043b\u044e\u0447"'))
    command = bench.keymuster.command("plan", campaign)[:-2]
    shown = on_terminal(command, {"PYTHONIOENCODING": "ascii"}, stdout_too=True)
    assert shown.code == 0, shown.text
    assert r"Unix \u043a\u043b\u044e\u0447" in shown.text
