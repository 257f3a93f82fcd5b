"""What each command says and does when all is well, against a simulated estate of six hosts."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER, Ended, Product
from tests.cli.refusals import here, refused, unboxed
from tests.cli.terminal import CTRL_C, CTRL_D, on_terminal
from tests.schemas import conforms

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.keeps_open("one estate for all tests of the module"),
]

ESTATE = """
seed = 3
[[hosts]]
count = 6
network = "127.72.0.0/16"
faults = { none = 3, wrong_password = 1, closed = 1, no_sudo = 1 }
"""
PLANNED = 6
COLOUR = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m")


@dataclass(frozen=True, slots=True)
class Bench:
    lab: Lab
    campaign: Path
    keymuster: Product
    """Its latest run, at first, is `run`."""
    run: str
    first: Ended
    second: Ended
    """Of the same campaign, while the account that is refused has a logon left."""

    def address(self, fault: str) -> str:
        return next(str(host["address"]) for host in self.lab.hosts if host["fault"] == fault)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("commands")
    with running_lab(directory, ESTATE) as lab:
        campaign = directory / "campaign.toml"
        closed = next(host["port"] for host in lab.hosts if host["fault"] == "closed")
        assert closed != lab.ready["ssh_port"]
        campaign.write_text(
            'name = "breadth"\ngate = ["coverage>=0.5", "reason.ACCOUNT_LOCKED==0"]\n'
            + lab.vault_table()
            + _records(lab)
        )
        keymuster = Product(directory / "state")
        first = keymuster("run", campaign, "--format", "json")
        assert first.code == 0, first.stderr
        second = keymuster("run", campaign, "--format", "json")
        yield Bench(lab, campaign, keymuster, first.document["run"]["id"], first, second)


def _records(lab: Lab) -> str:
    tables = []
    for title, is_closed in (("Unix", False), ("Closed", True)):
        hosts = [host for host in lab.hosts if (host["fault"] == "closed") is is_closed]
        tables.append(f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
root_delegation = "sudo"
port = {hosts[0]["port"]}
ips = {[host["address"] for host in hosts]}
""")
    addresses = [host["address"] for host in lab.hosts]
    return "".join(tables) + f"\n[targets]\ninclude = {addresses}\n[pace]\nretries = 0\n"


# -- runs and reports --------------------------------------------------------------------------------------------------


def test_a_run_says_what_it_does_on_stderr_and_the_report_on_stdout(bench: Bench) -> None:
    assert f"run {bench.run}: {PLANNED} planned" in bench.first.stderr
    expected = {"none": "PASSED", "wrong_password": "BAD_CREDENTIALS", "closed": "PORT_CLOSED"}
    reasons = {host["address"]: expected.get(host["fault"]) for host in bench.lab.hosts}
    got = bench.first.reasons
    assert {address: got[address] for address, reason in reasons.items() if reason} == {
        address: reason for address, reason in reasons.items() if reason
    }
    assert got[bench.address("no_sudo")].startswith("PRIV_")


def test_runs(bench: Bench) -> None:
    table = bench.keymuster("runs")
    assert bench.run in table.stdout
    conforms(bench.keymuster("runs", "--json").document, "runs")
    listed = [run for run in bench.keymuster.planned_runs() if run["id"] == bench.run]
    assert [(run["campaign"], run["state"], run["parent"]) for run in listed] == [("breadth", "finished", None)]


def test_the_report_in_every_format(bench: Bench, tmp_path: Path) -> None:
    def report(form: str) -> str:
        ended = bench.keymuster("report", bench.run, "--format", form)
        assert (ended.code, ended.stderr) == (0, "")
        return ended.stdout

    assert json.loads(report("json")) == bench.first.document
    assert bench.keymuster("report", bench.run, "--json").document == bench.first.document
    assert bench.keymuster("report", bench.run, "--json", "--format", "json").document == bench.first.document
    lines = [json.loads(line) for line in report("ndjson").splitlines()]
    assert sum("reason" in line for line in lines) >= PLANNED
    for line in lines:
        conforms(line, "ndjson")
    with io.StringIO(report("csv"), newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == PLANNED
    file = tmp_path / "report.csv"
    written = bench.keymuster("report", bench.run, "--format", "csv", "-o", file)
    assert (written.code, written.stdout, written.stderr) == (0, "", "")
    assert file.read_bytes().decode() == report("csv").replace("\n", "\r\n")
    table = report("table")
    for word in ("BAD_CREDENTIALS", "105053", "Commonest causes", "Owner", bench.run):
        assert word in table


@pytest.mark.parametrize(
    "command",
    [("run", "c.toml"), ("rerun", "R", "--failed"), ("report",), ("probe", "10.0.0.1", "--record", "Unix")],
    ids=lambda command: command[0],
)
def test_json_is_the_short_form_of_a_format_and_contradicts_every_other(command: tuple[str, ...]) -> None:
    for form in ("table", "ndjson", "csv", "html"):
        ended = here(*command, "--json", "--format", form)
        refused(ended)
        assert f"--json is --format json, and --format {form} was given too; leave one out" in unboxed(ended.stderr)


def test_the_report_without_a_run_is_the_latest(bench: Bench) -> None:
    latest = bench.keymuster.planned_runs()[0]["id"]
    assert bench.keymuster("report", "--format", "json").document["run"]["id"] == latest


def test_a_sample(bench: Bench) -> None:
    ended = bench.keymuster("run", bench.campaign, "--sample", "50%", "--json")
    assert ended.code in {0, 1}, "gates are judged on the sample, and chance draws it"
    assert len(ended.targets) == PLANNED // 2


def test_a_rerun_takes_the_part_that_is_asked_for(bench: Bench) -> None:
    def again(*which: str) -> set[str]:
        ended = bench.keymuster("rerun", bench.run, *which, "--json")
        assert ended.code == 1, "of none that failed half may pass"
        assert ended.document["run"]["parent"] == bench.run
        return set(ended.reasons)

    wrong, closed = bench.address("wrong_password"), bench.address("closed")
    assert again("--failed") == {wrong}
    assert again("--unreached", "--reason", "BAD_CREDENTIALS") == {wrong, closed}
    nothing = bench.keymuster("rerun", bench.run, "--reason", "ACCOUNT_LOCKED")
    assert nothing.code == 5
    assert f"run {bench.run} has no such target" in nothing.stderr


def test_gates_decide_the_exit_code(bench: Bench, tmp_path: Path) -> None:
    assert bench.first.code == 0, "its gates hold"
    file = tmp_path / "gated.toml"
    file.write_text(bench.campaign.read_text().replace("coverage>=0.5", "coverage>=0.98"))
    assert bench.keymuster("run", file).code == 1
    report = bench.keymuster("report")
    assert report.code == 1, "a report judges them too"
    assert "coverage>=0.98" in report.stdout


def test_a_run_that_is_not_there(bench: Bench) -> None:
    for question in (("report", "R"), ("run", "--resume", "R"), ("rerun", "R", "--failed")):
        refused(bench.keymuster(*question), "there is no run R; `keymuster runs` lists them")
    again = bench.keymuster("run", "--resume", bench.run)
    refused(again, f"run {bench.run} has finished; `keymuster rerun {bench.run} --failed` tries its failures again")


# -- questions ---------------------------------------------------------------------------------------------------------


def test_plan_touches_nothing(bench: Bench) -> None:
    before = bench.lab.metrics()
    table = bench.keymuster.stateless("plan", bench.campaign)
    assert table.code == 0
    assert bench.address("none") in table.stdout
    assert f"{PLANNED} unix targets are planned." in table.stdout
    document = bench.keymuster.stateless("plan", bench.campaign, "--json", "--limit", "2").document
    assert document["totals"] == {"unix": PLANNED}
    assert len(document["targets"]) == 2
    conforms(document, "plan")
    assert bench.lab.metrics() == before


def test_capacity_by_the_times_of_the_first_run(bench: Bench) -> None:
    asked = ("plan", bench.campaign, "--capacity", "--within", "2h", "--json")
    assert bench.keymuster(*asked).document["measured_in"]
    document = bench.keymuster(*asked, "--like", bench.run).document
    conforms(document, "capacity")
    assert document["targets"] == PLANNED
    assert (document["host_accounts"], document["accounts"]) == (PLANNED, [])
    assert document["assumed"] == []
    assert document["measured_in"] == [bench.run]
    assert document["appliances_needed"] == 1
    assert document["logins"] >= 4  # by the closed one no password was sent
    assert document["failed_logons"] == {"expected": 1, "at_most": 2 * PLANNED}
    assert document["limits"][0]["limit"] == document["bound_by"]["limit"]
    table = bench.keymuster("plan", bench.campaign, "--capacity", "--appliances", "3", "--like", bench.run)
    assert table.code == 0
    assert f"{PLANNED} targets with 3 appliances" in table.stdout
    assert f"Measured in: {bench.run}." in table.stdout


def test_capacity_before_any_run_is_assumed(bench: Bench, tmp_path: Path) -> None:
    nowhere = Product(tmp_path / "none")
    document = nowhere("plan", bench.campaign, "--capacity", "--json").document
    conforms(document, "capacity")
    assert document["measured_in"] == []
    assert len(document["assumed"]) == 3
    assert "no run yet" in nowhere("plan", bench.campaign, "--capacity").stdout
    assert not (tmp_path / "none").exists()


def test_a_report_shows_what_was_predicted(bench: Bench) -> None:
    told = bench.second.document["prediction"]
    assert told["measured_in"] == [bench.run]
    assert told["failed_logons_at_most"] == 2 * PLANNED
    assert told["predicted"]["failed_logons"] == told["actual"]["failed_logons"] == 1
    assert told["predicted"]["secret_views"] == told["actual"]["secret_views"]
    assert bench.first.document["prediction"]["measured_in"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--within", "2h"), "--appliances, --within and --like go with --capacity; add it"),
        (("--capacity", "--check-vault"), "--capacity and --check-vault are two questions; ask one after the other"),
    ],
)
def test_options_that_do_not_go_together(bench: Bench, arguments: tuple[str, ...], says: str) -> None:
    ended = bench.keymuster("plan", bench.campaign, *arguments)
    assert ended.code == 2
    assert says in unboxed(ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--within", "soon"), "--within 'soon' is no duration; write a number with its unit"),
        (("--within", "0s"), "--within 0 leaves no time; write how long the run may take, for example 2h"),
        (("--like", "r0"), "there is no run r0; `keymuster runs` lists them"),
    ],
)
def test_capacity_that_cannot_be_told(bench: Bench, arguments: tuple[str, ...], says: str) -> None:
    refused(bench.keymuster("plan", bench.campaign, "--capacity", *arguments), says)


def test_probe(bench: Bench) -> None:
    address = bench.address("none")
    ended = bench.keymuster("probe", address, "--record", "Unix", "--campaign", bench.campaign, "--json")
    assert ended.code == 0
    assert ended.reasons == {address: "PASSED"}


def test_a_host_that_the_campaign_excludes_is_not_probed(bench: Bench, tmp_path: Path) -> None:
    address = bench.address("none")
    careful = tmp_path / "careful.toml"
    whole = bench.campaign.read_text(encoding="utf-8")
    careful.write_text(whole.replace("[targets]", f'[targets]\nexclude = ["{address}"]'), encoding="utf-8")
    before = bench.lab.metrics()
    ended = bench.keymuster("probe", address, "--record", "Unix", "--campaign", careful)
    refused(ended, f"{address} is excluded by the campaign ([targets] exclude); take it out of there to probe it")
    assert bench.lab.metrics() == before


def test_vault_test(bench: Bench) -> None:
    good = bench.keymuster(
        "vault", "test", "Vault", "--campaign", bench.campaign, "--secret", f"unix-{bench.address('none')}"
    )
    assert good.code == 0, good.stderr
    assert "the vault answers and takes the login" in good.stdout
    missing = bench.keymuster("vault", "test", "Vault", "--campaign", bench.campaign, "--secret", "no such secret")
    assert missing.code == 3
    assert missing.stdout == (
        "Vault: SECRET_NOT_FOUND: No secret of that name, or for that machine, that the vault user may see. "
        "Correct the record's secret, or share the secret with the vault user.\n"
    )


def test_vault_test_as_json_whatever_the_vault_says(bench: Bench) -> None:
    def ask(*more: str) -> Ended:
        ended = bench.keymuster("vault", "test", "Vault", "--campaign", bench.campaign, *more, "--json")
        conforms(ended.document, "vault-test")
        return ended

    good, missing = ask(), ask("--secret", "no such secret")
    assert (good.code, good.document["vault"], good.document["secret"]) == (0, "Vault", None)
    assert (good.document["ok"], good.document["reason"]) == (True, None)
    assert (missing.code, missing.document["secret"]) == (3, "no such secret")
    assert (missing.document["ok"], missing.document["reason"]) == (False, "SECRET_NOT_FOUND")
    assert missing.document["text"] is None, "the vault says nothing of what it does not show"
    unknown = bench.keymuster("vault", "test", "V", "--campaign", bench.campaign, "--json")
    refused(unknown, "the campaign has no vault titled 'V'; it has 'Vault'")


def test_schema_and_version_and_help() -> None:
    def say(*arguments: str) -> str:
        done = subprocess.run([str(KEYMUSTER), *arguments], capture_output=True, text=True, check=True)
        assert not done.stderr
        return done.stdout

    schema: dict[str, Any] = json.loads(say("config", "schema"))
    assert {"vaults", "records", "targets", "pace", "gate"} <= schema["properties"].keys()
    assert say("--version").startswith("keymuster 0.")
    for command in (
        "run",
        "rerun",
        "plan",
        "runs",
        "report",
        "probe",
        "init",
        "reasons",
        "stop",
        "stops",
        "allow",
        "lab",
        "demo",
        "appliance",
    ):
        assert command in say("--help")
    assert "--resume" in say("run", "--help")


# -- terminals ---------------------------------------------------------------------------------------------------------


def test_bars_on_a_terminal_and_nowhere_else(bench: Bench) -> None:
    shown = on_terminal(bench.keymuster.command("run", bench.campaign, "--format", "json"))
    assert shown.code == 0
    assert "in flight" in shown.text
    assert f"{PLANNED}/{PLANNED}" in shown.text
    assert json.loads(shown.stdout)["totals"]["planned"] == PLANNED
    quiet = on_terminal(bench.keymuster.command("run", bench.campaign, "--no-progress", "--format", "json"))
    assert "in flight" not in quiet.text
    assert "in flight" not in bench.first.stderr
    assert "\x1b" not in bench.first.stderr


def test_no_colour_where_none_is_wanted(bench: Bench) -> None:
    report = bench.keymuster.command("report", bench.run)
    assert COLOUR.search(on_terminal(report, stdout_too=True).text), "a terminal gets colours"
    assert not COLOUR.search(on_terminal(report, {"NO_COLOR": "1"}, stdout_too=True).text)
    assert "\x1b" not in bench.keymuster("report", bench.run).stdout


def test_a_reader_that_goes_away_is_no_error(bench: Bench) -> None:
    """`keymuster report | head -1`."""
    command = bench.keymuster.command("report", bench.run, "--format", "ndjson")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert not done.stderr


def test_init_without_a_terminal_writes_a_template(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    done = here("init", file)
    assert (done.code, f"{file} written" in done.stderr) == (0, True)
    assert here("config", "check", file).code == 0


def test_init_on_a_terminal_asks(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    shown = on_terminal([str(KEYMUSTER), "init", str(file)])
    assert shown.code == 0, shown.text
    for question in ("Campaign", "Vault title", "Secret Server URL", "Where is its password?", "Targets"):
        assert question in shown.text
    assert here("config", "check", file).code == 0


def test_init_that_is_left_at_a_question_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    shown = on_terminal([str(KEYMUSTER), "init", str(file)], answer=CTRL_D)
    assert shown.code == 130, shown.text
    assert "internal error" not in shown.text
    assert not file.exists()


PROMPTED = """
name = "x"
[[vaults]]
title = "V"
url = "https://127.0.0.1:1/SecretServer"
user = "svc"
password = { prompt = true }
[[records]]
title = "Linux"
technology = "unix"
vault = "V"
ips = ["127.0.0.1"]
user = "scan"
secret = { id = 1 }
[targets]
include = ["127.0.0.1"]
"""


@pytest.mark.parametrize("keys", [b"\n", CTRL_D], ids=["enter", "ctrl-d"])
def test_no_password_at_the_prompt_never_reaches_the_vault(tmp_path: Path, keys: bytes) -> None:
    """An empty password would be a failed logon of the vault's own account, counted towards its lock-out."""
    file = tmp_path / "campaign.toml"
    file.write_text(PROMPTED)
    command = [str(KEYMUSTER), "vault", "test", "V", "--campaign", str(file), "--state", str(tmp_path / "state")]
    shown = on_terminal(command, answer=keys)
    assert shown.code == 2, shown.text
    assert "no password was entered; nothing was sent to the vault" in shown.text


def test_ctrl_c_at_a_password_prompt_ends_the_command_at_once(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(PROMPTED)
    for command in (("vault", "test", "V", "--campaign"), ("run",)):
        shown = on_terminal([str(KEYMUSTER), *command, str(file), "--state", str(tmp_path / "state")], answer=CTRL_C)
        assert shown.code == 130, shown.text
        assert shown.text.count("assword") == 1, "it was asked once, and one key was enough"
        assert "keymuster:" not in shown.text
