"""A simulated estate as a user starts it, a campaign on every fault there is, and its score."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from targets.faults import FREE, HOST_FAULTS
from tests.acceptance.product import KEYMUSTER, Product
from tests.bench.processes import family
from tests.cli.refusals import refused
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STALE = """
[[directories]]
name = "CORP"
threshold = 3
[[hosts]]
count = 6
network = "127.76.0.0/16"
account = "CORP"
secret = "shared"
fault = "wrong_password"
[[hosts]]
count = 2
network = "127.76.0.0/16"
"""
"""Hosts that ask a directory, with the wrong password in the vault."""


def every_fault() -> str:
    """A host of every fault, twice, and a directory whose account is wrong in the vault."""
    groups = []
    for number, technology in enumerate(("unix", "windows")):
        # What only another way to root can show has hosts of its own, in test_root_delegation.
        shown = [n for n, fault in HOST_FAULTS.items() if technology in fault.technologies and FREE in fault.roots]
        faults = ", ".join(f"{name} = 1" for name in shown)
        count = 2 * len(shown)
        groups.append(
            f'[[hosts]]\ncount = {count}\ntechnology = "{technology}"\nnetwork = "127.7{7 + number}.0.0/16"\n'
            f"faults = {{ {faults} }}\n"
            f'[[hosts]]\ncount = 5\ntechnology = "{technology}"\nnetwork = "127.7{7 + number}.0.0/16"\n'
            f'account = "corp{number}"\nsecret = "shared"\nfault = "wrong_password"\n'
        )
    return "seed = 5\n[vault]\ntls = true\n" + "".join(groups)


@contextmanager
def lab_up(
    directory: Path, estate: str, end: signal.Signals = signal.SIGINT, *, within: Sequence[str] = (), shards: int = 0
) -> Iterator[dict[str, Any]]:
    """`keymuster lab up`, until it is interrupted; its line. The campaign for it is in `directory`. `within`: a command
    that runs others, in a network namespace for one.
    """
    file = directory / "estate.toml"
    file.write_text(estate)
    command = [*within, str(KEYMUSTER), "lab", "up", str(file), "--dir", str(directory / "lab")]
    command += ["--shards", str(shards)]
    command += ["--write-campaign", str(directory / "campaign.toml")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            ready = json.loads(process.stdout.readline())
            assert "campaign.toml written" in process.stderr.readline()
            yield ready
            process.send_signal(end)
            assert process.wait(20) == (0 if end is signal.SIGINT else -end)
        finally:
            process.kill()


def test_every_fault_gets_its_right_reason(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path, every_fault()) as ready:
        ran = keymuster("run", tmp_path / "campaign.toml", "--format", "json")
        assert ran.code == 0, ran.stderr
        truth = Path(ready["truth"])
        live = keymuster("lab", "score", "--truth", truth, "--json")
    judged = keymuster("lab", "score", "--truth", truth, "--json")
    assert [cell for cell in judged.document["cells"] if not cell["right"]] == []
    assert [account for account in judged.document["logons"]["accounts"] if account["wrong"]] == []
    assert judged.code == live.code == 0
    conforms(judged.document, "score")
    conforms(ran.document, "report")
    assert judged.document["right"] == judged.document["total"] == len(ran.targets)
    table = keymuster("lab", "score", ran.document["run"]["id"], "--truth", truth)
    assert f"Right reasons: {len(ran.targets)} of {len(ran.targets)}" in table.stdout

    # What the hosts counted is the same from the lab that is up and from what it has left.
    logons = judged.document["logons"]
    assert logons.pop("until") is not None
    assert {**live.document["logons"], "until": None} == {**logons, "until": None}
    assert logons["runs"] == [ran.document["run"]["id"]]
    shared = [account for account in logons["accounts"] if account["directory"]]
    assert [(account["account"], account["failed"], account["budget"]) for account in shared] == [
        ("scan@corp0", 1, 2),
        ("scan@corp1", 1, 2),
    ]
    assert f"Right logons: {logons['total']} of {logons['total']} accounts" in table.stdout

    rows = truth.read_text().splitlines()
    turned = tmp_path / "turned.ndjson"
    turned.write_text("\n".join(row.replace('"fault": "none"', '"fault": "closed"') for row in rows))
    wrong = keymuster("lab", "score", "--truth", turned)
    assert wrong.code == 1
    assert "WRONG" in wrong.stdout
    assert f"No logons: there is no {tmp_path}/metrics.json; name the truth in its lab's own directory" in wrong.stdout
    turned.write_text(rows[0])
    refused(keymuster("lab", "score", "--truth", turned), "it is another estate's")
    turned.write_text(rows[0] + "\n{}")
    refused(keymuster("lab", "score", "--truth", turned), f"{turned}:2: is no row of an estate's truth.ndjson")
    refused(keymuster("lab", "score", "--truth", tmp_path / "none"), "No such file or directory")


def test_runs_on_one_lab_are_summed_up_and_a_stranger_is_noticed(keymuster: Product, tmp_path: Path) -> None:
    other = Product(tmp_path / "another state")
    with lab_up(tmp_path, STALE) as ready:
        truth, campaign = Path(ready["truth"]), tmp_path / "campaign.toml"
        first = keymuster.run(campaign).document["run"]["id"]
        second = keymuster.run(campaign).document["run"]["id"]
        both = keymuster("lab", "score", "--truth", truth, "--json")
        assert both.code == 0, both.stdout
        shared = both.document["logons"]["accounts"][0]
        assert both.document["logons"]["runs"] == [first, second]
        assert (shared["account"], shared["failed"], shared["locked"]) == ("scan@corp", 2, False)
        assert (shared["ledger"]["failed"], shared["ledger_all_runs"]["failed"], shared["budget"]) == (1, 2, 2)
        table = keymuster("lab", "score", "--truth", truth, env={"COLUMNS": "160"})
        assert "All 2 runs since" in table.stdout
        # A second state directory is a second pacer: the directory counts its failures too, and locks.
        assert other.run(campaign).code == 0
        noticed = keymuster("lab", "score", "--truth", truth)
    assert noticed.code == 1, noticed.stdout
    assert "Right reasons: 8 of 8" in noticed.stdout
    told = " ".join(noticed.stdout.split())
    assert "3 failed logons, and the ledger knows of 2; its directory has locked it" in told
    assert "a run with another state directory, too" in told

    with lab_up(tmp_path, STALE) as ready:  # its counters are not those of the runs before it
        before = keymuster("lab", "score", "--truth", truth, "--json")
        # Another lab may have got the port of one that was killed.
        copy = tmp_path / "copy" / "truth.ndjson"
        copy.parent.mkdir()
        copy.write_bytes(truth.read_bytes())
        copy.with_name("metrics.json").write_text(json.dumps({"since": 1.0, "url": ready["metrics_url"]}))
        mistaken = keymuster("lab", "score", "--truth", copy, "--json")
    assert mistaken.code == 0
    assert "ended without leaving its counters" in mistaken.document["no_logons"]
    assert before.code == 0
    assert before.document["logons"] is None
    assert f"and run {second} began before; run the campaign anew while its lab is up" in before.document["no_logons"]


def test_a_campaign_that_takes_a_directory_for_accounts_of_hosts(keymuster: Product, tmp_path: Path) -> None:
    """Every host's budget is kept, and the account is locked all the same: the hosts know, the ledger does not."""
    with lab_up(tmp_path, STALE) as ready:
        campaign = tmp_path / "campaign.toml"
        campaign.write_text(campaign.read_text().replace('accounts = "CORP"', 'accounts = "local"'))
        ran = keymuster.run(campaign)
    judged = keymuster("lab", "score", "--truth", ready["truth"], "--json")
    assert set(ran.reasons.values()) == {"BAD_CREDENTIALS", "PASSED"}
    assert judged.code == 1
    shared = judged.document["logons"]["accounts"][0]
    assert (shared["account"], shared["failed"], shared["ledger"]["failed"], shared["budget"]) == ("scan@corp", 6, 6, 2)
    assert shared["wrong"] == ["its directory has locked it"]


def test_a_lab_that_was_killed_has_no_counters_and_its_reasons_are_judged(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path, STALE, signal.SIGKILL) as ready:
        assert keymuster.run(tmp_path / "campaign.toml").code == 0
    left = Path(ready["truth"]).with_name("metrics.json")
    judged = keymuster("lab", "score", "--truth", ready["truth"])
    assert judged.code == 0, judged.stderr
    assert "Right reasons: 8 of 8" in judged.stdout
    said = (
        f"No logons: the lab of {left} ended without leaving its counters; start it anew, and run the campaign on it."
    )
    assert said in judged.stdout
    for rubbish in ("{", "[]", '{"since": "x"}', '{"since": 1.5, "accounts": {"a@b": {"ok": 1}}}'):
        left.write_text(rubbish)
        refused(keymuster("lab", "score", "--truth", ready["truth"]), f"{left}: is not what a lab writes")


def test_a_lab_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text("[[hosts]]\ncount = 2\n")
    command = [str(KEYMUSTER), "lab", "up", str(file), "--dir", str(tmp_path / "lab"), "--shards", "2"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            json.loads(process.stdout.readline())
            *_, shard = family(process.pid)
            os.kill(shard, signal.SIGKILL)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 70
    assert "has ended, and its hosts with it; the lab ends: start it anew" in said
    assert "the simulated estate has ended with exit code 2; see above" in said


def test_an_estate_from_stdin_that_does_not_come(keymuster: Product, tmp_path: Path) -> None:
    ended = keymuster.stateless("lab", "up", "-", "--dir", tmp_path / "lab")
    refused(ended, "no estate has come on stdin")


def test_an_estate_from_stdin_for_the_directory_of_a_lab_that_serves(tmp_path: Path) -> None:
    estates = [f'seed = {seed}\n[[hosts]]\ncount = 1\nnetwork = "127.43.9.0/24"\n' for seed in (1, 2)]
    command = [str(KEYMUSTER), "lab", "up", "-", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdin is not None
            assert lab.stdout is not None
            lab.stdin.write(estates[0])
            lab.stdin.close()
            assert "ssh_port" in json.loads(lab.stdout.readline())
            second = subprocess.run(command, input=estates[1], capture_output=True, text=True, check=False, timeout=60)
            assert second.returncode == 2
            assert "another lab serves from" in second.stderr
            assert (tmp_path / "estate.toml").read_text() == estates[0]
        finally:
            lab.terminate()


def test_a_network_that_is_none_of_this_machines(keymuster: Product, tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text('[[hosts]]\nnetwork = "fd5e:1::/64"\n')
    ended = keymuster.stateless("lab", "up", file, "--dir", tmp_path / "lab")
    refused(ended, "run `ip -6 route add local fd5e:1::/64 dev lo` as root", "did not come up")


def test_an_event_of_a_secret_that_there_is_not(keymuster: Product, tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text('[[timeline.events]]\nat = 1\nrotate = "nobody"\n[[hosts]]\n')
    ended = keymuster.stateless("lab", "up", file, "--dir", tmp_path / "lab")
    refused(ended, f'{file}: timeline.events.0.rotate: the estate has no secret "nobody"')


def test_an_estate_with_a_fault(keymuster: Product, tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text('[[hosts]]\ntechnology = "windows"\nfault = "no_sudo"\n')
    ended = keymuster.stateless("lab", "up", file, "--dir", tmp_path / "lab")
    refused(ended, f"{file}:1: hosts.0:", '"no_sudo" is none that a windows host may have', "did not come up")
