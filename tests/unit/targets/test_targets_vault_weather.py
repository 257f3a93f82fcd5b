"""The simulated vault's weather, mangled answers, and an audit that lies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from targets.secret_server import mangling
from targets.secret_server.clock import VaultClock
from targets.secret_server.weather import Weather
from targets.vault_faults import Mangle
from targets.vault_weather import WeatherSpec
from tests.unit.targets.targets_lab import MOUNT, Clock, Vault, vault

SECRET = '[[secrets]]\nname = "s"\n'


def weather(clock: Clock, **spec: Any) -> Weather:
    return Weather(WeatherSpec.model_validate(spec), 7, VaultClock(clock, datetime(2026, 1, 1, tzinfo=UTC)))


async def raw(v: Vault, path: str) -> aiohttp.ClientResponse:
    response: aiohttp.ClientResponse = await v.client.get(
        f"{MOUNT}/api/{path}", headers={"Authorization": f"Bearer {v.token}"}
    )
    return response


async def order(v: Vault, path: str, body: Any) -> tuple[int, str]:
    async with v.client.post(f"/_lab/{path}", json=body) as response:
        return response.status, await response.text()


def test_latencies_have_the_median_and_the_percentile_that_were_asked_for_and_a_seed() -> None:
    how = {"latency": {"median": "20ms", "p99": "400ms"}}
    one, again = weather(Clock(), **how), weather(Clock(), **how)
    drawn = [one.delay() for _ in range(4000)]
    assert drawn == [again.delay() for _ in range(4000)]
    drawn.sort()
    assert drawn[2000] == pytest.approx(0.020, rel=0.15)
    assert drawn[3960] == pytest.approx(0.400, rel=0.35)
    assert weather(Clock()).delay() == 0


def test_a_limit_lets_a_burst_through_and_then_its_rate() -> None:
    clock = Clock()
    limited = weather(clock, requests_per_second=2, burst=3)
    assert [limited.turned_away() is None for _ in range(5)] == [True, True, True, False, False]
    away = limited.turned_away()
    assert away is not None
    assert (away.status, away.retry_after) == (429, "1")
    clock.now += 1
    assert [limited.turned_away() is None for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [limited.turned_away() is None for _ in range(4)] == [True, True, True, False]


def test_retry_after_can_be_a_date_of_the_vaults_own_clock() -> None:
    limited = weather(Clock(), requests_per_second=0.1, retry_after="date", clock_skew=3600)
    assert limited.turned_away() is None
    away = limited.turned_away()
    assert away is not None
    assert parsedate_to_datetime(away.retry_after) == datetime(2026, 1, 1, 1, 0, 10, tzinfo=UTC)


def test_bursts_of_errors_come_and_go() -> None:
    clock = Clock()
    bursts = weather(clock, bursts={"every": "60s", "lasting": "5s", "status": 502})
    seen = []
    for _ in range(120):
        away = bursts.turned_away()
        seen.append(away.status if away else 0)
        clock.now += 1
    assert seen == ([502] * 5 + [0] * 55) * 2


def test_shares_of_the_answers_are_mangled_as_the_seed_says() -> None:
    share = weather(Clock(), mangled={"reset": 0.1, "html": 0.2})
    drawn = [share.mangle() for _ in range(2000)]
    assert drawn.count(Mangle.RESET) == pytest.approx(200, abs=50)
    assert drawn.count(Mangle.HTML) == pytest.approx(400, abs=60)


@pytest.mark.parametrize(
    "bad",
    [{"latency": {"median": 0, "p99": 1}}, {"latency": {"median": 2, "p99": 1}}, {"mangled": {"reset": 2}},
     {"mangled": {"nonsense": 1}}, {"bursts": {"every": 0, "lasting": 1}}, {"wind": 1}],
)  # fmt: skip
async def test_weather_that_cannot_be_is_refused_and_the_old_one_stays(bad: Any) -> None:
    async with vault(SECRET) as v:
        assert (await order(v, "weather", {"requests_per_second": 5}))[0] == 200
        assert (await order(v, "weather", bad))[0] == 400
        async with v.client.get("/_lab/weather") as response:
            assert (await response.json())["requests_per_second"] == 5


async def test_a_limit_is_answered_with_429_and_the_labs_own_api_is_not_limited() -> None:
    async with vault(SECRET + "[vault.weather]\nrequests_per_second = 1\n") as v:
        await v.login()
        response = await raw(v, "v1/secrets/1")
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert v.world.metrics.vault.views == 0
        assert (await order(v, "weather", {}))[0] == 200
        assert (await raw(v, "v1/secrets/1")).status == 200


async def test_a_wrong_clock_shows_in_dates_and_in_the_header() -> None:
    async with vault(SECRET + "[vault.weather]\nclock_skew = 86400\n") as v:
        response = await raw(v, "v1/healthcheck")
        told = datetime.fromisoformat((await response.json())["utcNow"])
        assert 86300 < (told - datetime.now(UTC).replace(tzinfo=None)).total_seconds() < 86500
        header = parsedate_to_datetime(response.headers["Date"])
        assert abs((header.replace(tzinfo=None) - told).total_seconds()) < 2


async def test_answers_that_break_off_swell_or_do_not_come() -> None:
    async with vault(SECRET) as v:
        await v.login()
        seen = v.world.metrics.vault

        async def fault(name: str) -> None:
            assert (await order(v, "faults", {"vault": [name] if name else []}))[0] == 200

        await fault("truncated")
        response = await raw(v, "v1/secrets/1")
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        await fault("oversized")
        body = await (await raw(v, "v1/secrets/1")).read()
        assert len(body) > mangling.OVERSIZE
        assert json.loads(body)["id"] == 1
        await fault("reset")
        with pytest.raises(aiohttp.ClientConnectionError):
            await raw(v, "v1/secrets/1")
        assert seen.views >= 3, "what a mangled answer tells has happened all the same"
        assert set(seen.mangled) == {"truncated", "oversized", "reset"}
        await fault("")
        assert (await v.ask("v1/secrets/1"))[0] == 200


async def test_a_drip_is_whole_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mangling, "DRIP_S", 0)
    async with vault(SECRET + '[vault]\nfaults = ["drip"]') as v:
        assert (await (await raw(v, "v1/healthcheck")).json())["healthy"] is True


async def test_a_restart_forgets_the_tokens_and_read_only_mode_is_an_order() -> None:
    async with vault(SECRET) as v:
        await v.login()
        await order(v, "faults", {"vault": ["restart", "read_only"]})
        assert (await v.ask("v1/secrets/1"))[0] == 401
        await v.login()
        assert (await v.ask("v1/secrets/1"))[0] == 200
        assert (await v.ask("v1/healthcheck"))[1]["readOnlyMode"] is True
        await order(v, "faults", {"vault": []})
        assert (await v.ask("v1/healthcheck"))[1]["readOnlyMode"] is False


async def test_an_audit_can_drop_double_and_forge() -> None:
    async with vault(SECRET + "[vault.weather.audit]\ndrop = 1.0\n") as v:
        await v.login()
        await v.ask("v1/secrets/1")
        assert v.audit("s") == []
        await order(v, "weather", {"audit": {"duplicate": 1}})
        await v.ask("v1/secrets/1")
        forged = {"secret": "s", "user": "mallory", "notes": "never", "address": "10.9.9.9", "seconds_ago": 60}
        assert (await order(v, "audit", forged))[0] == 200
        assert v.audit("s") == [("VIEW", "svc_scan"), ("VIEW", "svc_scan"), ("VIEW", "mallory")]
        async with v.client.get("/_lab/audit?secret=s") as response:
            told = await response.json()
        assert [told[count] for count in ("dropped", "duplicated", "forged")] == [1, 1, 1]
        assert [row["address"] for row in told["rows"]] == ["127.0.0.1", "127.0.0.1", "10.9.9.9"]
        _, page = await v.ask("v1/secrets/1/audits")
        assert page["total"] == 3
        assert (await order(v, "audit", forged | {"secret": "none"}))[0] == 404
        assert (await order(v, "audit", {"secret": "s"}))[0] == 400


async def test_security_and_locks_are_changed_on_order() -> None:
    async with vault(SECRET) as v:
        await v.login()
        assert (await order(v, "security", {"secret": "s", "security": {"comment": True}}))[0] == 200
        assert (await v.ask("v1/secrets/1"))[1]["errorCode"] == "API_ValidateSecretAccessCommentRequired"
        clash = {"secret": "s", "security": {"checkout": True, "double_lock": "x"}}
        assert (await order(v, "security", clash))[0] == 400
        assert (await order(v, "security", {"secret": "none", "security": {}}))[0] == 404
        for _ in range(5):
            await v.grant(password="wrong")
        async with v.client.get("/_lab/audit") as response:
            assert len((await response.json())["rows"]) == 5
        assert (await v.grant())[0] == 400
        assert (await order(v, "unlock", {"user": "svc_scan"}))[0] == 200
        assert (await order(v, "unlock", {"user": "nobody"}))[0] == 404
        await v.login()


async def test_the_labs_api_wants_json_and_answers_in_words_of_its_own() -> None:
    async with vault(SECRET) as v:
        async with v.client.post("/_lab/faults", data=b"{}") as response:
            assert (response.status, await response.text()) == (415, "send the order as application/json")
        async with v.client.get("/_lab/metrics.json") as response:
            assert (await response.json())["vault"]["requests"] == 0
