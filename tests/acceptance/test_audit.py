"""`keymuster audit`: a clean run pairs without a rest; rows dropped, doubled and forged are told exactly."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from targets.material import MARKER
from tests.acceptance.chaos.processes import until
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product, abort
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.keeps_open("one estate for the whole module")]

ESTATE = """
[[hosts]]
count = 8
network = "127.72.0.0/16"
faults = { none = 6, wrong_password = 1, closed = 1 }

[[hosts]]
count = 2
network = "127.72.0.0/16"
login = "key"

[[hosts]]
count = 4
network = "127.73.0.0/16"
secret = "shared"

[[hosts]]
network = "127.74.0.0/16"
fault = "silent"
"""
ONCE = """
seed = 11
[[hosts]]
count = 16
network = "127.72.1.0/24"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    keymuster: Product
    lab: Lab
    campaign: Path
    first: str = ""
    """A clean run's id."""

    def run(self) -> str:
        """A new run of the whole campaign; its id."""
        ended = self.keymuster.run(self.campaign)
        assert ended.code == 0, ended.stderr
        return str(ended.document["run"]["id"])

    def audit(self, *more: str) -> tuple[int, dict[str, Any]]:
        ended = self.keymuster("audit", *more, "--json")
        assert ended.code in (0, 1), ended.stderr
        assert not MARKER.search((ended.stdout + ended.stderr).encode())
        conforms(ended.document, "audit")
        return ended.code, ended.document

    @property
    def own_secrets(self) -> list[str]:
        """Secrets that one host reads once: what is done to their rows cannot be taken for anything else."""
        return [
            h["secret"]
            for h in self.lab.hosts
            if h["fault"] == "none" and h["login"] == "password" and h["address"].startswith("127.72.")
        ]

    def injected(self) -> Counter[str]:
        counts = self.lab.audit_of(self.own_secrets[0])
        return Counter({name: counts[name] for name in ("dropped", "duplicated", "forged")})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with estate(tmp_path_factory.mktemp("audit"), ESTATE) as ran:
        yield replace(ran, first=ran.run())


@contextmanager
def estate(home: Path, hosts: str) -> Iterator[Ran]:
    """A vault's clock that goes back leaves rows in the future behind: a test that sets it has an estate of its own."""
    with running_lab(home, hosts) as lab:
        campaign = home / "campaign.toml"
        campaign.write_text(campaign_of(lab), encoding="utf-8")
        yield Ran(Product(home / "state"), lab, campaign)


def campaign_of(lab: Lab) -> str:
    parts = [
        (title, secret, login, ips)
        for title, secret, login, network in (
            ("Password", "unix-{address}", "password", "127.72."),
            ("Key", "unix-{address}", "key", "127.72."),
            ("Shared", "unix-shared-3", "password", "127.73."),
        )
        if (ips := [h["address"] for h in lab.hosts if h["login"] == login and h["address"].startswith(network)])
    ]
    records = [
        f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "{secret}"
accounts = "local"
port = {lab.ready["ssh_port"]}
private_key = {str(login == "key").lower()}
ips = {ips}
"""
        for title, secret, login, ips in parts
    ]
    targets = [h["address"] for h in lab.hosts if not h["address"].startswith("127.74.")]
    rest = f"[targets]\ninclude = {targets}\n[pace]\nretries = 0\ndeadline = '30s'\n"
    return f'name = "audited"\n{lab.vault_table()}{"".join(records)}{rest}'


def counts(document: dict[str, Any]) -> tuple[int, int, int]:
    return tuple(len(document[name]) for name in ("drops", "duplicates", "forgeries"))  # type: ignore[return-value]


def test_a_clean_run_pairs_without_a_rest(ran: Ran) -> None:
    before = ran.lab.vault_seen()
    code, document = ran.audit()
    after = ran.lab.vault_seen()
    assert (code, document["clean"], counts(document)) == (0, True, (0, 0, 0))
    assert after["views"] == before["views"] == document["uses"] == len(document["pairs"]), "an audit views nothing"
    [vault] = document["vaults"]
    assert vault["rows"] == document["uses"]
    assert abs(vault["clock_offset_s"]) <= vault["clock_error_s"] + 0.1
    hosts = {h["address"]: h["secret"] for h in ran.lab.hosts}
    for pair in document["pairs"]:
        assert (hosts[pair["target"]], pair["user"], pair["appliance"]) == (
            pair["secret"],
            ran.lab.ready["vault_user"],
            "embedded",
        )
        assert (pair["run"], pair["campaign"], pair["sure"]) == (document["run"], "audited", True)
    refused = next(h["secret"] for h in ran.lab.hosts if h["fault"] == "wrong_password")
    read = Counter(pair["secret"] for pair in document["pairs"])
    assert read[refused] == 2, "a refused login reads its secret once more"


def test_the_same_for_people(ran: Ran) -> None:
    told = ran.keymuster("audit", env={"COLUMNS": "200"})
    assert told.code == 0
    assert "0 drops, 0 duplicates, 0 forgeries" in told.stdout
    assert "its clock is" in told.stdout
    assert all(secret in told.stdout for secret in ran.own_secrets)


@pytest.mark.parametrize("skew", [0, 3600])
def test_rows_that_are_dropped_or_doubled_are_told_exactly(tmp_path: Path, skew: int) -> None:
    with estate(tmp_path, ESTATE) as ran:
        for fault, name in (("drop", "dropped"), ("duplicate", "duplicated")):
            before = ran.injected()
            ran.lab.vault_weather(audit={fault: 0.4}, clock_skew=skew)
            run = ran.run()
            ran.lab.vault_weather(clock_skew=skew)
            done = ran.injected() - before
            code, document = ran.audit(run)
            assert (code, counts(document)) == (1, (done["dropped"], done["duplicated"], 0))
            assert done[name] > 0
            assert len(document["pairs"]) == document["uses"] - done["dropped"]
            assert abs(document["vaults"][0]["clock_offset_s"] - skew) < 5


def test_all_kinds_at_once_on_a_vault_whose_clock_is_behind(tmp_path: Path) -> None:
    """Secrets that one host each reads once: every fault is told by its own secret."""
    with estate(tmp_path, ONCE) as ran:
        lab, secrets = ran.lab, ran.own_secrets
        lab.vault_weather(audit={"drop": 0.25, "duplicate": 0.4}, clock_skew=-7000)
        run = ran.run()
        rows = {secret: len(lab.audit_of(secret)["rows"]) for secret in secrets}
        lab.vault_weather(clock_skew=-7000)
        assert set(rows.values()) == {0, 1, 2}, "all kinds have come"
        for secret in secrets[:4]:
            lab.forge_row(secret, seconds_ago=-60, notes="it was not me")
            lab.forge_row(secret, user="somebody", action="CHECK OUT")
        code, document = ran.audit(run)
        assert code == 1
        for name, copies in (("drops", 0), ("duplicates", 2)):
            assert Counter(row["secret"] for row in document[name]) == dict.fromkeys(
                (secret for secret in secrets if rows[secret] == copies), 1
            )
        assert Counter(row["secret"] for row in document["forgeries"]) == dict.fromkeys(secrets[:4], 1)
        assert {row["comment"] for row in document["forgeries"]} == {"it was not me"}
        assert {row["user"] for row in document["others"]} == {"somebody"}
        told = ran.keymuster("audit", run, env={"COLUMNS": "200"})
        assert told.code == 1
        for word in ("dropped", "duplicates", "forged", "behind the appliance's", "it was not me"):
            assert word in told.stdout


def test_the_comment_that_a_vault_asked_for_says_why(ran: Ran) -> None:
    secret = ran.own_secrets[0]
    ran.lab.secret_states(**{secret: "comment"})
    try:
        run = ran.run()
    finally:
        ran.lab.secret_states(**{secret: "readable"})
    code, document = ran.audit(run)
    assert code == 0, document
    [pair] = [pair for pair in document["pairs"] if pair["secret"] == secret]
    assert run in pair["comment"]
    assert "audited" in pair["comment"]
    assert pair["target"] in pair["comment"]


def test_what_verify_clean_reads_is_ours(ran: Ran) -> None:
    run, before = ran.run(), ran.lab.vault_seen()["views"]
    assert ran.keymuster("verify-clean", "--yes", run).code == 0
    assert ran.lab.vault_seen()["views"] > before
    code, document = ran.audit(run)
    assert (code, counts(document)) == (0, (0, 0, 0))


def test_through_the_holder_of_the_state_directory(ran: Ran, tmp_path: Path) -> None:
    """Another run holds it, over a host that says nothing; an audit of that one has to wait."""
    done = ran.keymuster.planned_runs()[0]["id"]
    file = tmp_path / "silent.toml"
    silent = next(h["address"] for h in ran.lab.hosts if h["fault"] == "silent")
    file.write_text(
        f"""
name = "silent"
{ran.lab.vault_table()}
[[records]]
title = "Silent"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {ran.lab.ready["ssh_port"]}
ips = ["{silent}"]
[targets]
include = ["{silent}"]
[pace]
deadline = "60s"
""",
        encoding="utf-8",
    )
    command = ran.keymuster.command("run", file)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as holder:
        until(lambda: ran.keymuster.planned_runs()[0]["id"] != done, "the run")
        code, document = ran.audit(done)
        running = ran.keymuster("audit")
        alive = holder.poll() is None
        abort(holder)
    assert alive
    assert (code, document["clean"], document["run"]) == (0, True, done)
    assert (running.code, "goes on" in running.stderr) == (2, True)


def test_a_secret_whose_audit_is_withheld_is_told_by_its_reason(ran: Ran) -> None:
    ran.lab.vault_weather()
    run, secret = ran.run(), ran.own_secrets[0]
    ran.lab.secret_states(**{secret: "forbidden"})
    try:
        code, document = ran.audit(run)
    finally:
        ran.lab.secret_states(**{secret: "readable"})
    assert (code, document["clean"], counts(document)) == (1, False, (0, 0, 0))
    assert [(one["secret"], one["reason"]) for one in document["unread"]] == [(secret, "SECRET_ACCESS_DENIED")]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("down", "VAULT_"), ("refuse", "VAULT_LOGIN_REFUSED"), ("forbidden", "View Secret Audit"), ("html", "VAULT_")],
)
def test_a_vault_that_does_not_answer_is_told(ran: Ran, fault: str, reason: str) -> None:
    ran.lab.vault_faults(fault)
    try:
        ended = ran.keymuster("audit", ran.first, "--json")
    finally:
        ran.lab.vault_faults()
    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert reason in ended.stderr


def test_bad_input_is_told(ran: Ran, tmp_path: Path) -> None:
    for arguments, said in (
        (("audit", "no-such-run"), "no-such-run"),
        (("audit", "--view-interval", "-1"), "--view-interval"),
        (("audit", ran.first, "--nats", "nats://127.0.0.1:1"), "--nats-seed"),
    ):
        ended = ran.keymuster(*arguments)
        assert (ended.code, said in ended.stderr, ended.stdout) == (2, True, ""), ended.stderr
    assert Product(tmp_path / "empty")("audit").code == 2
