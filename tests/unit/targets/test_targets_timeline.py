"""`[timeline]`: events happen at their times, begin as the file says, and what lasts is over in the end."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from targets import spec
from targets.faults import SecretState
from targets.timeline import EventSpec
from targets.world import World
from tests.unit.targets.targets_lab import build, connect, running, until
from tests.unit.targets.test_targets_process import get, post

NAME = "unix-127.20.0.1"
SHARED = """
[timeline]
begins = "{begins}"
[[timeline.events]]
at = "50ms"
vault = ["slow", "down"]
lasts = "300ms"
[[timeline.events]]
at = "100ms"
secrets = {{ "unix-127.20.0.1" = "inactive" }}
lasts = "100ms"
[[timeline.events]]
at = "150ms"
rotate = "unix-127.20.0.1"
where = "hosts"
[[timeline.events]]
at = "150ms"
weather = {{ requests_per_second = 7 }}
[[timeline.events]]
at = "1h"
silent = "127.20.0.0/24"
[vault]
faults = ["slow"]
[[hosts]]
"""


async def happened(world: World) -> None:
    """Until all that happens within a second has happened, and what lasts is over."""

    async def so() -> bool:
        events = world.timeline.shown()["events"]
        return [event["state"] for event in events] == ["done"] * 4 + ["waits"] and "down" not in world.vault_faults

    await until(so)


async def test_events_happen_and_what_lasts_is_taken_back(tmp_path: Path) -> None:
    async with running(SHARED.format(begins="start"), tmp_path) as (_, world):
        seen: set[frozenset[str]] = set()

        async def so() -> bool:
            seen.add(world.vault_faults)
            return len(seen) == 2

        await until(so)
        await happened(world)
        assert seen == {frozenset({"slow"}), frozenset({"slow", "down"})}
        assert world.vault_faults == {"slow"}, "what it had before stays"
        assert world.vault.named(NAME).state is SecretState.READABLE
        assert world.weather.spec.requests_per_second == 7
        old = world.estate.secrets[NAME].material.password
        host = world.estate.hosts["127.20.0.1"]
        assert not world.accounts.opens(host.account_key, old)
        assert world.vault.named(NAME).material.password == old, "it was the hosts' rotation alone"


async def test_it_begins_by_order_and_only_once(tmp_path: Path) -> None:
    async with running(SHARED.format(begins="order"), tmp_path) as (ready, world):
        url = f"{ready.control_url}/timeline"
        await anyio.sleep(0.2)
        shown = await get(url)
        assert (shown["begins"], shown["age"]) == ("order", None)
        assert {event["state"] for event in shown["events"]} == {"waits"}
        assert (await post(url, {}))[0] == 200
        await happened(world)
        assert (await get(url))["events"][2] == {
            "at": 0.15, "rotate": NAME, "where": "hosts", "state": "done",
        }  # fmt: skip
        assert await post(url, {}) == (409, "the timeline has begun already")
        assert (await post(url, {"at": 1}))[0] == 400


async def test_it_begins_at_the_first_logon(tmp_path: Path) -> None:
    async with running(SHARED.format(begins="first-logon"), tmp_path) as (ready, world):
        await anyio.sleep(0.2)
        assert world.timeline.shown()["age"] is None
        password = world.estate.secrets[NAME].material.password
        async with connect(ready, "127.20.0.1", password=password):
            pass
        assert world.timeline.shown()["age"] is not None
        await happened(world)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("at = 1", "timeline.events.0: an event is exactly one of rotate, vault, secrets, weather, silent"),
        ('at = 1\nrotate = "x"\nvault = ["down"]', "an event is exactly one of"),
        ("at = 1\nvault = []", "an event is exactly one of"),
        ('at = 1\nvault = ["down"]\nwhere = "hosts"', "`where` is for `rotate`"),
        ('at = 1\nrotate = "x"\nlasts = 3', "`lasts` is for vault, secrets, silent: rotate is not taken back"),
        ('at = 1\nvault = ["up"]', "estate.toml:3: timeline.events.0.vault.0: unknown vault fault 'up'"),
        ('at = 1\nsilent = "127.20.0.0/33"', "estate.toml:3: timeline.events.0.silent"),
        ('at = "soon"\nvault = ["down"]', "estate.toml:2: timeline.events.0.at"),
        ('vault = ["down"]', "timeline.events.0.at: Field required"),
    ],
)
def test_an_event_that_is_none_is_refused_with_its_line_and_key(event: str, said: str) -> None:
    with pytest.raises(spec.EstateError) as caught:
        spec.parse(f"[[timeline.events]]\n{event}")
    assert said in str(caught.value)


@pytest.mark.parametrize("event", ['rotate = "nobody\'s"', 'secrets = { "nobody\'s" = "inactive" }'])
def test_an_event_of_no_secret_is_refused(event: str) -> None:
    with pytest.raises(spec.EstateError, match=r"timeline\.events\.0\.\w+: the estate has no secret \"nobody's\""):
        build(f"[[timeline.events]]\nat = 1\n{event}\n[[hosts]]")


def test_an_event_knows_which_order_it_is() -> None:
    assert EventSpec.model_validate({"at": "2m", "weather": {}}).order == "weather"
    assert EventSpec.model_validate({"at": 0, "silent": "::1/128"}).order == "silent"
