"""The reason table, asked on the command line."""

from __future__ import annotations

from appliance.reasons import REASONS
from tests.cli.refusals import here, refused


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


def test_a_reason_that_there_is_not() -> None:
    refused(here("reasons", "NOPE"), "there is no reason NOPE; `keymuster reasons` lists them")
