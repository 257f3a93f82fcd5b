from __future__ import annotations

import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import aiohttp
import anyio
import anyio.abc
import pytest

from targets import material
from targets.lab import vault_alone
from targets.spec import EstateError
from tests.unit.targets.targets_lab import build, running, until

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def process(
    tmp_path: Path, text: str, *more: str, stderr: int | None = None
) -> AsyncIterator[tuple[anyio.abc.Process, dict[str, Any]]]:
    """The estate as its users start it, and its ready line."""
    file = tmp_path / "estate.toml"
    file.write_text(text)
    command = [sys.executable, "-m", "targets", str(file), "--state", str(tmp_path / "state"), *more]
    async with await anyio.open_process(command, cwd=ROOT, stderr=stderr) as child:
        try:
            assert child.stdout is not None
            with anyio.fail_after(20):
                line = await child.stdout.receive()
            yield child, json.loads(line)
        finally:
            if child.returncode is None:
                child.kill()


def read(path: str) -> tuple[str, int]:
    """A file's text and mode."""
    return Path(path).read_text(), Path(path).stat().st_mode & 0o777


async def get(url: str, **how: Any) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url, **how) as response:
        return await response.json()


async def post(url: str, body: object, **how: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body, **how) as response:
        return response.status, await response.text()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_starts_says_where_it_is_and_stops_on_a_signal(tmp_path: Path, stop: signal.Signals) -> None:
    text = 'seed = 7\n[[hosts]]\ncount = 2\n[[hosts]]\nfault = "silent"'
    async with process(tmp_path, text) as (child, ready):
        left = f"{tmp_path}/state/metrics.json"
        password, mode = read(ready["vault_password_file"])
        assert mode == 0o600
        assert material.MARKER.fullmatch(password.encode())
        truth = [json.loads(line) for line in read(ready["truth"])[0].splitlines()]
        assert [(row["fault"], row["port"]) for row in truth] == [
            ("none", ready["ssh_port"]),
            ("none", ready["ssh_port"]),
            ("silent", ready["ssh_port"]),
        ]
        async with (
            await anyio.connect_tcp(truth[2]["address"], ready["ssh_port"]),
            await anyio.connect_tcp(truth[0]["address"], ready["ssh_port"]) as talking,
        ):
            assert (await talking.receive()).startswith(b"SSH-2.0-OpenSSH")
            seen = await get(ready["metrics_url"])
            assert [host["connections"] for host in seen["hosts"].values()] == [1, 0, 1]
            assert json.loads(read(left)[0]) == {"since": seen["since"], "url": ready["metrics_url"]}
            assert seen["vault"]["requests"] == 0
            child.send_signal(stop)
            with anyio.fail_after(5):
                assert await child.wait() == 0
        final = json.loads(read(left)[0])
        assert final["since"] == seen["since"] < final.pop("until")
        assert final["hosts"] == seen["hosts"]


@pytest.mark.slow
async def test_counters_that_cannot_be_left_are_told(tmp_path: Path) -> None:
    async with process(tmp_path, "[[hosts]]", stderr=PIPE) as (child, _):
        (tmp_path / "state" / "metrics.json").unlink()
        (tmp_path / "state" / "metrics.json").mkdir()
        child.terminate()
        assert child.stderr is not None
        with anyio.fail_after(5):
            assert await child.wait() == 2
        said = (await child.stderr.receive()).decode()
        assert f"cannot write the counters to {tmp_path}/state/metrics.json: Is a directory" in said


async def test_counters_that_an_estate_has_left_stay_until_the_next_one_is_up(tmp_path: Path) -> None:
    async with running("[[hosts]]", tmp_path) as (_, world):
        world.metrics.opened("127.20.0.1")
    left = read(f"{tmp_path}/metrics.json")
    assert json.loads(left[0])["hosts"]["127.20.0.1"]["connections"] == 1
    with pytest.raises(EstateError, match="certificate"):
        async with running('[vault]\ntls = {certificate = "/no", key = "/no"}', tmp_path):
            pass
    assert read(f"{tmp_path}/metrics.json") == left


async def test_a_directory_is_one_labs_while_it_serves(tmp_path: Path) -> None:
    """The other one would put its passwords, truth and counters in place of these."""
    async with running("[[hosts]]", tmp_path) as (ready, _):
        truth = read(ready.truth)
        for another in (
            running("seed = 9\n[[hosts]]\ncount = 3", tmp_path),
            vault_alone(build("seed = 9"), tmp_path, 0),
        ):
            with pytest.raises(EstateError, match=r"another lab serves from .*--dir"):
                async with another:
                    pass
        assert read(ready.truth) == truth
    async with running("seed = 9\n[[hosts]]\ncount = 3", tmp_path) as (ready, _):
        assert len(read(ready.truth)[0].splitlines()) == 3


@pytest.mark.slow
async def test_the_seed_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    async with process(tmp_path, 'seed = 7\n[vault]\nuser = "u"', "--seed", "8") as (_, ready):
        assert read(ready["vault_password_file"])[0] == material.marker(8, "vault", "u")


@pytest.mark.slow
async def test_a_relative_state_directory_is_told_from_the_root(tmp_path: Path) -> None:
    """Who reads the ready line may stand elsewhere: a campaign file's paths are relative to that file."""
    (tmp_path / "estate.toml").write_text("seed = 1")
    command = [sys.executable, "-m", "targets", "estate.toml", "--state", "below/lab"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with await anyio.open_process(command, cwd=tmp_path, env=env) as child:
        assert child.stdout is not None
        with anyio.fail_after(20):
            ready = json.loads(await child.stdout.receive())
        child.terminate()
    assert ready["vault_password_file"] == str(tmp_path / "below" / "lab" / "vault-password")
    assert ready["truth"] == str(tmp_path / "below" / "lab" / "truth.ndjson")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[vault]\nusr = 1", "vault.usr: unknown key"),
        ('[vault]\ntls = {certificate = "/no", key = "/no"}', "certificate"),
    ],
)
async def test_a_bad_estate_ends_with_2_and_says_why(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "estate.toml"
    file.write_text(text)
    command = [sys.executable, "-m", "targets", str(file), "--state", str(tmp_path / "state")]
    done = await anyio.run_process(command, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.slow
async def test_a_thousand_silent_connections_are_held_at_once(tmp_path: Path) -> None:
    text = '[[hosts]]\nfault = "silent"\ncount = 1000'
    async with process(tmp_path, text) as (child, ready):
        streams = [await anyio.connect_tcp(f"127.20.{n >> 8}.{n & 255}", ready["ssh_port"]) for n in range(1, 1001)]
        assert (await get(ready["metrics_url"]))["ssh"]["open"] == 1000
        for stream in streams[:500]:
            await stream.aclose()

        async def half_are_gone() -> bool:
            return bool((await get(ready["metrics_url"]))["ssh"]["open"] == 500)

        await until(half_are_gone)
        child.terminate()
        with anyio.fail_after(5):
            assert await child.wait() == 0
        for stream in streams[500:]:
            await stream.aclose()


async def test_https_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    async with running("[vault]\ntls = true", tmp_path) as (ready, _):
        assert ready.vault_url.startswith("https://127.0.0.1:")
        assert ready.vault_ca is not None
        url = f"{ready.vault_url}/api/v1/healthcheck"
        trusting = ssl.create_default_context(cafile=ready.vault_ca)
        trusting.verify_flags |= ssl.VERIFY_X509_STRICT
        assert (await get(url, ssl=trusting))["healthy"]
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await get(url)
        assert read(f"{tmp_path}/vault-key.pem")[1] == 0o600
    given = f'[vault]\ntls = {{certificate = "{tmp_path}/vault.pem", key = "{tmp_path}/vault-key.pem"}}'
    async with running(given, tmp_path / "second") as (ready, _):
        assert ready.vault_ca is None
        assert (await get(f"{ready.vault_url}/api/v1/healthcheck", ssl=trusting))["healthy"]


async def test_orders_are_taken_over_http_and_refused_with_a_reason(tmp_path: Path) -> None:
    async with running("[[hosts]]", tmp_path) as (ready, world):
        base, name = ready.control_url, "unix-127.20.0.1"
        assert await post(f"{base}/faults", {"vault": ["down", "slow"]}) == (200, '{"vault": ["down", "slow"]}')
        assert world.vault_faults == {"down", "slow"}
        assert await post(f"{base}/faults", {"secrets": {name: "inactive"}}) == (200, '{"vault": ["down", "slow"]}')
        assert world.vault.search(name, exact=True)[0].state == "inactive"
        assert await post(f"{base}/faults", {"vault": []}) == (200, '{"vault": []}')
        before = world.vault.search(name, exact=True)[0].material
        assert await post(f"{base}/rotate", {"secret": name, "where": "vault"}) == (200, '{"vault": 1, "hosts": 0}')
        assert world.vault.search(name, exact=True)[0].material != before
        for path, body, status in (
            ("faults", {"vault": ["up"]}, 400),
            ("faults", {"secrets": {"other": "inactive"}}, 404),
            ("faults", {"hosts": []}, 400),
            ("rotate", {"secret": "other"}, 404),
            ("rotate", {"secret": name, "where": "nowhere"}, 400),
        ):
            assert (await post(f"{base}/{path}", body))[0] == status
        async with aiohttp.ClientSession() as session, session.post(f"{base}/faults", data=b"{}") as response:
            assert response.status == 415
        assert not world.vault_faults


async def test_metrics_say_what_vault_hosts_and_accounts_saw(tmp_path: Path) -> None:
    async with running('[[hosts]]\naccount = "CORP"', tmp_path) as (ready, world):
        host = world.estate.hosts["127.20.0.1"]
        world.accounts.password(host, "scan", "wrong")
        world.metrics.logon(host.address, "scan", "password", ok=False)
        await get(f"{ready.vault_url}/api/v1/healthcheck")
        seen = await get(ready.metrics_url)
        assert seen["hosts"]["127.20.0.1"]["logons"] == [{"user": "scan", "ok": False, "method": "password"}]
        assert seen["accounts"] == {"scan@corp": {"ok": 0, "failed": 1, "locked": False, "lockouts": 0}}
        assert (seen["ssh"]["logons_failed"], seen["ssh"]["logons_ok"]) == (1, 0)
        assert {"grants", "failed_grants", "searches", "views", "requests", "views_by_secret"} <= set(seen["vault"])
        assert seen["vault"]["requests"] == 1
