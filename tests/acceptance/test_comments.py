"""A campaign's own comment and ticket, as the vault's audit shows them; and a ticket that the vault demands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from targets.material import MARKER
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product, result_lines
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

ADDRESSES = ["127.62.0.1", "127.62.0.2", "127.62.0.3"]
PLAIN, TICKETED, LENT = (f"unix-{address}" for address in ADDRESSES)
ESTATE = """
[[hosts]]
count = 3
network = "127.62.0.0/16"
"""
TERMS = """
comment = "{campaign}, run {run}: {target} by {record}"
ticket = "CHG-4711"
ticket_system = 3
"""


def parts(lab: Lab, more: str) -> tuple[str, str]:
    lab.secret_security(TICKETED, ticket="CHG-[0-9]{4}", ticket_system=3)
    lab.secret_security(LENT, checkout=True, ticket="CHG-[0-9]{4}")
    return (
        lab.vault_table(more=more),
        f"""
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {ADDRESSES}
[targets]
include = {ADDRESSES}
""",
    )


def test_comment_and_ticket_are_in_the_vaults_own_audit(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(ESTATE)
    ended = keymuster.run(campaign(*parts(vault, TERMS)))
    assert ended.reasons == dict.fromkeys(ADDRESSES, "PASSED"), ended.stderr
    run = ended.document["run"]["id"]
    for address, secret in zip(ADDRESSES[:2], (PLAIN, TICKETED), strict=True):
        rows = vault.audit_of(secret)["rows"]
        told = {(row["action"], row["notes"], row["ticket"]) for row in rows}
        assert told == {("VIEW", f"campaign, run {run}: {address} by Unix", "CHG-4711")}
    whole = f"campaign, run {run}: all targets of secret {LENT} by"
    notes = {row["action"]: row["notes"] for row in vault.audit_of(LENT)["rows"]}
    assert notes["CHECK OUT"] == f"{whole} Unix"
    assert notes["CHECK IN"] == f"{whole} all"
    assert notes["VIEW"] == f"campaign, run {run}: {ADDRESSES[2]} by Unix"
    assert {row["ticket"] for row in vault.audit_of(LENT)["rows"]} == {"CHG-4711"}


def test_the_audit_stays_exact_and_shows_them(lab: Serve, keymuster: Product, campaign: Write) -> None:
    """The campaign's words may be words of other actions, too: rows are paired by their time and user alone."""
    vault = lab(ESTATE)
    terms = TERMS.replace("{campaign}", "CHECK OUT and CANCEL")
    run = keymuster.run(campaign(*parts(vault, terms))).document["run"]["id"]
    ended = keymuster("audit", run, "--json")
    assert ended.code == 0, ended.stderr
    conforms(ended.document, "audit")
    assert (ended.document["drops"], ended.document["duplicates"], ended.document["forgeries"]) == ([], [], [])
    pairs = {pair["target"]: (pair["comment"], pair["ticket"]) for pair in ended.document["pairs"]}
    said = f"CHECK OUT and CANCEL, run {run}: {{}} by Unix"
    assert pairs == {address: (said.format(address), "CHG-4711") for address in ADDRESSES}
    assert "CHG-4711" in keymuster("audit", run).stdout


def test_a_ticket_that_is_demanded_and_not_configured(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab(ESTATE)
    ended = keymuster.run(campaign(*parts(vault, "")))
    wanted = [ADDRESSES[1], ADDRESSES[2]]
    assert ended.reasons == {ADDRESSES[0]: "PASSED", **dict.fromkeys(wanted, "SECRET_NEEDS_COMMENT")}, ended.stderr
    for row in ended.targets:
        if row["target"] in wanted:
            assert row["evidence"]["text"] == "The requested Secret requires a ticket number when viewed."
            assert "ticket number" in " ".join(result_lines(row).values())
    [cause] = [cause for cause in ended.document["causes"] if cause["reason"] == "SECRET_NEEDS_COMMENT"]
    assert "ticket (and ticket_system)" in cause["advice"]
    assert vault.vault_seen()["views"] == 1
    assert [row["notes"] for row in vault.audit_of(PLAIN)["rows"]] == [""], "nothing is told unasked"


def test_verify_clean_gives_the_ticket_too(lab: Serve, keymuster: Product, campaign: Write) -> None:
    vault = lab("[vault]\ncomment_interval = 0\n" + ESTATE)
    keymuster.run(campaign(*parts(vault, TERMS)))
    ended = keymuster("verify-clean", "--yes", "--json")
    assert not MARKER.search((ended.stdout + ended.stderr).encode())
    unread = {one["secret"] for one in ended.document["unread"]}
    assert not {name for name in unread if TICKETED in name}, ended.stdout
    assert vault.audit_of(TICKETED)["rows"][0]["ticket"] == "CHG-4711"
    notes = [row["notes"] for row in vault.audit_of(TICKETED)["rows"]]
    assert any("verify-clean" in note for note in notes)
