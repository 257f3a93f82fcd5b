"""What a campaign excludes by name stays out, however its host comes to be a target: probed, listed, looked up."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator.attempts import Planned
from orchestrator.campaign import parse_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli import starting
from orchestrator.cli.arguments import Format, From, Home, Where
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.targeting import with_targets
from orchestrator.plan import Plan, build_plan, select
from orchestrator.records import RecordBook
from tests.cli.conftest import VAULT

RECORD = """
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "V"
secret = "{host}-root"
accounts = "local"
ips = ["10.0.0.0/24"]
"""
NAMES = {"web1": "10.0.0.5", "db.example": "10.0.0.7", "www": "10.0.0.5"}


def campaign(include: str, exclude: str = "[]") -> Campaign:
    return parse_campaign(f'name = "c"\n{VAULT}{RECORD}[targets]\ninclude = {include}\nexclude = {exclude}\n', "c.toml")


OWN = '[{ address = "10.0.0.5", host = "web1" }, "10.0.0.6"]'


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[Campaign]:
    """The campaigns of probes that would be begun."""
    begun: list[Campaign] = []

    async def begin(where: Where, narrowed: Campaign, *rest: Any) -> Exit:
        begun.append(narrowed)
        return Exit.OK

    monkeypatch.setattr(starting, "_begin", begin)
    return begun


async def probe(own: Campaign, host: str) -> Exit:
    return await starting.probe(Where(Home(Path())), own, host, "Unix", Format.JSON)


@pytest.mark.parametrize("host", ["10.0.0.5", "::ffff:10.0.0.5", "web1"])
async def test_a_host_that_is_excluded_by_its_name_is_not_probed(host: str, probed: list[Campaign]) -> None:
    with pytest.raises(BadInput, match="is excluded by the campaign"):
        await probe(campaign(OWN, '["WEB1."]'), host)
    assert probed == []


async def test_a_probe_has_the_names_that_the_campaign_gives_its_host(probed: list[Campaign]) -> None:
    await probe(campaign(OWN), "10.0.0.5")
    await probe(campaign(OWN), "10.0.0.8")
    assert [select(one.targets).at(0).host for one in probed] == ["web1", ""]
    plan = build_plan(probed[0], RecordBook(probed[0].records, probed[0].vaults), run="r", seed=1)
    assert isinstance(plan, Plan)
    [unit] = plan.walk()
    assert isinstance(unit, Planned), "a template over {host} has what it needs"
    assert unit.candidates[0].secrets[0].key == "web1-root"


@pytest.mark.parametrize("host", ["fe80::1%eth0", "10.0.0.0/24", "no host!"])
async def test_what_is_no_host_is_not_probed(host: str, probed: list[Campaign]) -> None:
    with pytest.raises(BadInput, match="cannot be probed: it is no address and no name of a host"):
        await probe(campaign(OWN), host)
    assert probed == []


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
        if name not in NAMES:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (NAMES[name], 0))]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


def listed(tmp_path: Path, own: Campaign, *texts: str, resolve: bool = False, skip: bool = False) -> Campaign:
    files = tuple(tmp_path / f"list{n}" for n in range(len(texts)))
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return with_targets(own, From(files, None, skip, resolve))


def planned(own: Campaign) -> list[tuple[str, str, str]]:
    targets = select(own.targets)
    return [(t.address, t.host, t.fqdn) for t in map(targets.at, range(targets.count))]


def test_a_list_with_the_bare_address_of_a_host_that_is_excluded_by_name(tmp_path: Path) -> None:
    assert planned(listed(tmp_path, campaign(OWN, '["web1"]'), "10.0.0.5\n10.0.0.6\n")) == [("10.0.0.6", "", "")]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("text", "exclude", "left"),
    [
        ("[web]\napp1 ansible_host=web1\n", "[]", [("10.0.0.5", "app1", "")]),
        ("[web]\napp1 ansible_host=db.example\n", "[]", [("10.0.0.7", "app1", "db.example")]),
        ("[web]\napp1 ansible_host=web1\n", '["app1"]', []),
        ("[web]\napp1 ansible_host=web1\n", '["web1"]', []),
        ("web1\ndb.example\n", '["db.example"]', [("10.0.0.5", "web1", "")]),
        ("[web]\nweb1\nplain ansible_host=10.0.0.5\n", '["web1"]', []),
    ],
)
def test_looking_names_up_keeps_those_that_the_list_has(
    tmp_path: Path, text: str, exclude: str, left: list[tuple[str, str, str]]
) -> None:
    own = campaign(OWN, exclude)
    assert planned(listed(tmp_path, own, text, resolve=True, skip=True)) == left


@pytest.mark.parametrize(
    "texts",
    [("ip,hostname\n10.0.0.5,web1\n10.0.0.5,web2\n",), ("ip,hostname\n10.0.0.5,web1\n", "ip,name\n10.0.0.5,web2\n")],
    ids=["in one list", "in two"],
)
def test_two_names_for_one_address_are_refused(tmp_path: Path, texts: tuple[str, ...]) -> None:
    places = (f"{tmp_path}/list0:2", f"{tmp_path}/list{len(texts) - 1}:{4 - len(texts)}")
    with pytest.raises(BadInput, match="keep one of the two") as refused:
        listed(tmp_path, campaign(OWN), *texts)
    assert f"{places[1]}: 10.0.0.5 has another name in {places[0]};" in str(refused.value)
    assert planned(listed(tmp_path, campaign(OWN), *texts, skip=True)) == [("10.0.0.5", "web1", "")]
    assert planned(listed(tmp_path, campaign(OWN, '["web2"]'), *texts, skip=True)) == [], "one of its names is excluded"


@pytest.mark.usefixtures("names")
def test_two_names_that_lead_to_one_address_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has another name in"):
        listed(tmp_path, campaign(OWN), "web1\nwww\n", resolve=True)


def test_an_address_with_and_without_a_name_is_one_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = listed(tmp_path, campaign(OWN, '["web2"]'), "ip,hostname\n10.0.0.5,\n10.0.0.5,web1\n10.0.0.9,web2\n")
    assert planned(made) == [("10.0.0.5", "web1", "")]
    assert f"2 targets from {tmp_path}/list0, 1 of which the campaign excludes\n" in capsys.readouterr().err
