"""The reason table, asked on the command line."""

from __future__ import annotations

from appliance.reasons import REASONS
from tests.cli.refusals import here, refused, unboxed
from tests.schemas import conforms


def test_one_reason_in_full() -> None:
    for asked in ("PORT_CLOSED", "port_closed"):
        ended = here("reasons", asked)
        assert ended.code == 0
        told = dict(line.split("  ", 1) for line in ended.stdout.splitlines())
        assert told["reason"].strip() == "PORT_CLOSED"
        assert told["do"].strip() == REASONS["PORT_CLOSED"].advice


def test_a_part_of_a_code_lists_those_that_have_it() -> None:
    listed = here("reasons", "SECRET_").stdout
    assert all((code in listed) == ("SECRET_" in code) for code in REASONS)
    everything = here("reasons").stdout
    assert all(code in everything for code in REASONS)


def test_the_table_as_json() -> None:
    everything, one = here("reasons", "--json").document, here("reasons", "port_closed", "--json").document
    for document in (everything, one):
        conforms(document, "reasons")
    assert [row["reason"] for row in everything["reasons"]] == list(REASONS)
    assert [row["reason"] for row in one["reasons"]] == ["PORT_CLOSED"]
    locked = next(row for row in everything["reasons"] if row["reason"] == "ACCOUNT_LOCKED")
    assert locked["qids"] == {"windows": [105015, 105052], "unix": [105053]}
    assert (locked["owner"], locked["counts_towards_lockout"], locked["opens_breaker"]) == ("directory", "no", True)


def test_a_reason_that_there_is_not() -> None:
    for more in ((), ("--json",)):
        refused(here("reasons", "NOPE", *more), "there is no reason NOPE; `keymuster reasons` lists them")


def test_two_forms_at_once() -> None:
    ended = here("reasons", "--json", "--markdown")
    refused(ended)
    assert "--json and --markdown are two forms of the same table; leave one out" in unboxed(ended.stderr)
