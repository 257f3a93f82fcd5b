"""What is told of a fleet: in `doctor` and `fleet list`, at the end of a drain; the vaults that each zone needs."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from appliance.contract import VERSION, Heartbeat
from orchestrator.assembly import Prepared, Selection, prepare, zoning
from orchestrator.campaign import parse_campaign
from orchestrator.cli.draining import _told
from orchestrator.cli.fleet_list import _table, document
from orchestrator.cli.live_fleet import Live
from orchestrator.doctor import Level
from orchestrator.doctor.fleet import judged
from orchestrator.fleet.roster import Drain, Member
from orchestrator.zone_vaults import vaults_by_zone
from tests.drawn import cells, is_whole
from tests.schemas import conforms
from tests.unit.orchestrator.test_zones import BASE


def beat(**changes: Any) -> Heartbeat:
    told = {"appliance": "dmz-1", "zone": "dmz", "capacity": 8, "in_flight": 0, "sent_at": 0.0, "reads": (1, VERSION)}
    return Heartbeat.model_validate({**told, **changes})


@pytest.mark.parametrize(
    ("given", "offset", "level", "text"),
    [
        (beat(release="1.2"), 0.02, Level.OK, "release 1.2, zone dmz; contract 1 to 2; its clock: as ours"),
        (beat(), None, Level.OK, "its clock: unknown"),
        (beat(release="1.2"), -7.0, Level.WARN, "its clock is 7.0 s behind"),
        (beat(reads=(1, 1)), 0.0, Level.WARN, "it reads contract version 1, and the newest is 2"),
    ],
)
def test_an_appliance_as_doctor_sees_it(given: Heartbeat, offset: float | None, level: Level, text: str) -> None:
    found = judged(given, offset)
    assert (found.check, found.level) == ("appliance dmz-1", level)
    assert text in found.text
    assert bool(found.advice) == (level is Level.WARN)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_list_is_whole_however_narrow_the_terminal(width: int) -> None:
    members = [
        Member("dmz-1", "U1", "", "dmz", "1.2", "i", 60.0),
        Member("old", "U2", "", "lan", "1.1", "i", 60.0, 1_795_716_942.0),
    ]
    out = io.StringIO()
    Console(file=out, width=width).print(_table(members, {"dmz-1": Live(beat(draining=True))}, []))
    is_whole(out.getvalue(), width)
    if width == 200:
        assert cells(out.getvalue()) == [
            ["dmz-1", "dmz", "1.2, contract 1 to 2", "", "drained, empty", "1970-01-01 00:01Z"],
            ["old", "lan", "1.1", "", "revoked 2026-11-26 18:15Z", "1970-01-01 00:01Z"],
        ]


@pytest.mark.parametrize("live", [None, {}, {"dmz-1": Live(beat(release="1.2"))}])
def test_a_list_for_machines_is_as_published_whoever_could_be_asked(live: dict[str, Live] | None) -> None:
    members = [
        Member("dmz-1", "U1", "", "dmz", "1.2", "i", 60.0),
        Member("old", "U2", "", "lan", "1.1", "i", 60.0, 1_795_716_942.0),
    ]
    told = document(members, live, [Drain("lan", "", 60.0, "root", "a move")])
    conforms(json.loads(json.dumps(told)), "fleet-list")
    assert [one["alive"] for one in told["appliances"]] == ([None, None] if live is None else [bool(live), False])
    assert [one["drained"] for one in told["appliances"]] == [False, True]


def test_when_a_drain_is_over() -> None:
    assert _told({"a": Live(beat(draining=True, in_flight=3)), "b": Live(beat(draining=True))}) is None
    assert _told({"a": Live(beat(draining=True, pulling=1))}) is None, "it may be taking a job this moment"
    assert _told({"a": Live(beat())}) is None
    assert _told({"b": Live(beat(draining=True)), "a": Live(beat(draining=True))}) == "empty: a, b"
    assert "learns it when it comes" in (_told({}) or "")
    assert "SIGTERM drains it" in (_told({"old": Live(beat(reads=(1, 1)))}) or "")
    assert Live(beat(reads=(1, 1))).contract == "1 (older than ours, 2)"
    assert [Live(beat(draining=True, in_flight=n)).state for n in (3, 0)] == ["draining, 3 in hand", "drained, empty"]


def test_a_zones_appliances_are_asked_for_the_vaults_that_its_targets_may_need() -> None:
    text = BASE.replace('ips = ["10.0.0.0/8", ', 'ips = ["10.1.0.0/16", "10.3.0.0/16", ')
    more = """
[[vaults]]
title = "Other"
url = "https://other.example/SecretServer"
user = "svc"
password = { env = "X" }
[[records]]
title = "Dmz"
technology = "unix"
user = "scan"
vault = "Other"
secret = "s"
accounts = "local"
ips = ["10.2.0.0/16"]
[[zones]]
name = "dmz"
ips = ["10.2.0.0/16"]
fallback = "spare"
[[zones]]
name = "spare"
"""
    parsed = parse_campaign(text + more, "c.toml")
    prepared = prepare(parsed, Selection(), run="r", seed=1, now=0.0)
    assert isinstance(prepared, Prepared)
    found = vaults_by_zone(prepared.plan, parsed, zoning(prepared))
    assert found == {"default": ("Vault",), "dmz": ("Other",), "spare": ("Other",)}
