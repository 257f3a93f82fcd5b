"""Estates ready made: what they hold, and that a campaign on them names every cause right."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.cli.arguments import Preset
from orchestrator.cli.estates import estate_text
from orchestrator.score import EXPECTED
from targets import estate, spec
from tests.bench.score import right


@pytest.mark.parametrize("preset", Preset)
@pytest.mark.parametrize("hosts", [1, 7, 300, 1000, pytest.param(65536, marks=pytest.mark.slow)])
def test_a_preset_is_an_estate_of_so_many_hosts(preset: Preset, hosts: int) -> None:
    made = estate.build(spec.parse(estate_text(preset, hosts, 1)))
    assert len(made.hosts) == hosts


def test_every_fault_is_in_the_hostile_one() -> None:
    made = estate.build(spec.parse(estate_text(Preset.HOSTILE, 300, 1)))
    held = {
        technology: {h.fault.name for h in made.hosts.values() if h.technology == technology} for technology in EXPECTED
    }
    assert held == {technology: set(faults) for technology, faults in EXPECTED.items()}


def test_one_host_in_twenty_of_the_enterprise_has_a_fault_of_its_own() -> None:
    made = estate.build(spec.parse(estate_text(Preset.ENTERPRISE, 1000, 1)))
    own = [h for h in made.hosts.values() if h.system not in ("busybox", "network-device")]
    faulty = Counter(h.fault.name != "none" for h in own)[True]
    assert 40 <= faulty <= 60
    assert {h.account for h in own} == {"local", "CORP"}


def test_a_seed_gives_the_same_estate_and_another_one_another() -> None:
    first, again, other = (estate.build(spec.parse(estate_text(Preset.ENTERPRISE, 200, s))) for s in (1, 1, 2))
    assert first.hosts == again.hosts
    assert first.hosts != other.hosts


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(("preset", "seed"), [("enterprise", 11), ("enterprise", 12), ("domain", 13)])
def test_every_reason_is_right(preset: str, seed: int) -> None:
    assert right(preset, seed, 1000)
