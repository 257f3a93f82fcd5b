"""What a run's vaults are told: the campaign's own comment and ticket, and for whom."""

from __future__ import annotations

from appliance.contract import (
    AccessTerms,
    Account,
    Candidate,
    CredentialRef,
    Jump,
    Part,
    SecretLookup,
    Selection,
    Target,
    Ticket,
)
from orchestrator.purposes import Purposes, RunComment, VaultTerms

TARGET = Target(address="10.0.0.7")
TICKET = Ticket(number="CHG-4711", system=3)


def candidate(record: str, vault: str) -> Candidate:
    secret = CredentialRef(vault=vault, by=SecretLookup.NAME, key="s")
    account = Account(authority="host:10.0.0.7", user="u")
    return Candidate(record=record, user="u", account=account, secret=secret, selection=Selection.IP, port=22)


def test_a_vault_without_terms_is_told_what_it_always_was() -> None:
    purposes = Purposes("quarterly", "r1", {"Plain": VaultTerms()})
    assert purposes.plain(TARGET) == "Keymuster: campaign quarterly, run r1, target 10.0.0.7"
    assert purposes.of_job("j1", TARGET, [candidate("A", "Plain"), candidate("B", "Unknown")]) == ()
    assert purposes.of_run("Plain", "win") == RunComment("keymuster run r1, secret win")


def test_each_record_has_its_vaults_terms() -> None:
    own = VaultTerms("{campaign}/{run}/{job}/{target}/{record}", TICKET)
    purposes = Purposes("q {brace}", "r1", {"Own": own, "Plain": VaultTerms(), "Ticket": VaultTerms(ticket=TICKET)})
    records = [candidate("A", "Own"), candidate("B", "Plain"), candidate("C", "Ticket")]
    assert purposes.of_job("j1", TARGET, records) == (
        AccessTerms(record="A", comment="q {brace}/r1/j1/10.0.0.7/A", ticket=TICKET),
        AccessTerms(record="C", ticket=TICKET),
    )


def test_a_jump_hosts_secret_has_the_terms_of_its_own_vault() -> None:
    purposes = Purposes("q", "r1", {"Own": VaultTerms("{record}", approval=True), "Ticket": VaultTerms(ticket=TICKET)})

    def through(vault: str, jump_vault: str) -> Candidate:
        there = candidate("", jump_vault)
        jump = Jump(address="b", port=22, user="j", account=there.account, secret=there.secret)
        return candidate("A", vault).model_copy(update={"jump": jump})

    own, ticket = AccessTerms(record="A", comment="A", approval=True), AccessTerms(record="A", ticket=TICKET)
    assert purposes.of_job("j1", TARGET, [through("Own", "Ticket")]) == (
        own,
        ticket.model_copy(update={"part": Part.JUMP}),
    )
    unasked = own.model_copy(update={"part": Part.JUMP, "approval": False})
    assert purposes.of_job("j1", TARGET, [through("Ticket", "Own")]) == (ticket, unasked)
    assert purposes.of_job("j1", TARGET, [through("Plain", "Own")]) == (unasked,)


def test_what_is_done_for_the_whole_run_says_so_in_place_of_a_target() -> None:
    own = VaultTerms("{campaign}, run {run}: {target} ({job}, {record})", TICKET)
    purposes = Purposes("quarterly", "r1", {"Own": own, "Ticket": VaultTerms(ticket=TICKET)})
    told = "quarterly, run r1: all targets of secret win (all, A)"
    assert purposes.of_run("Own", "win", "A") == RunComment(told, TICKET, told=True)
    assert purposes.of_run("Ticket", "win") == RunComment("keymuster run r1, secret win", TICKET, told=True)
    assert purposes.for_command("Own", "verify-clean") == "quarterly, run r1: verify-clean (all, all)"
