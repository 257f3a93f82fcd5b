"""`python -m tests.bench.vault [--secrets 100000]`: how soon a large simulated vault is up, and how fast it answers.

One client, one connection at a time, on the machine of the server: read them as costs of an answer, not as a rate.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ROUNDS = 300
ESTATE = """
[[secrets]]
name = "secret-{{n}}"
machine = "10.{{n}}"
count = {few}
folder = '\\Scan\\Few'
[[secrets]]
name = "server-{{n}}"
count = {most}
login = "key"
folder = '\\Scan\\Most'
"""


class Client:
    def __init__(self, ready: dict[str, Any]) -> None:
        url = urlsplit(ready["url"])
        self._base = url.path
        self._connection = http.client.HTTPConnection(url.netloc, timeout=30)
        password = Path(ready["password_file"]).read_text(encoding="utf-8")
        form = urlencode({"grant_type": "password", "username": ready["user"], "password": password})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", f"{self._base}/oauth2/token", form, kind)
        self._bearer = {"Authorization": f"Bearer {json.loads(self._connection.getresponse().read())['access_token']}"}

    def get(self, path: str) -> bytes:
        self._connection.request("GET", f"{self._base}/api/{path}", headers=self._bearer)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return body


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secrets", type=int, default=100_000)
    secrets = parser.parse_args().secrets
    few = max(1, secrets // 100)
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as home:
        file = Path(home) / "estate.toml"
        file.write_text(ESTATE.format(few=few, most=secrets - few), encoding="utf-8")
        began = time.perf_counter()
        command = [sys.executable, "-m", "targets", str(file), "--state", home, "--vault-only"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                ready = json.loads(process.stdout.readline())
                up = time.perf_counter() - began
                print(f"{ready['secrets']:,} secrets, up after {up:.1f} s, {_resident(process.pid):.0f} MiB")
                _measure(Client(ready), few, secrets)
            finally:
                process.terminate()
    return 0


def _measure(client: Client, few: int, secrets: int) -> None:
    def number(turn: int) -> int:
        return 1 + turn * 7919 % (secrets - few)

    wanted: dict[str, Callable[[int], str]] = {
        "name, exact": lambda t: f"v1/secrets?filter.searchText=server-{number(t)}&filter.isExactMatch=true",
        "name, part of it": lambda t: f"v1/secrets?filter.searchText=erver-{number(t)}&take=10",
        "machine, part of it": lambda t: f"v1/secrets?filter.searchText=10.{1 + t % few}&take=10",
        "folder of 1 in 100": lambda t: f"v1/secrets?filter.folderId=3&take=10&skip={t}",
        "by path, state": lambda t: f"v1/secrets/0/state?secretPath=%5CScan%5CMost%5Cserver-{number(t)}",
        "a view": lambda t: f"v1/secrets/{few + number(t)}",
        "a private key": lambda t: f"v1/secrets/{few + number(t)}/fields/private-key",
    }
    for name, path in wanted.items():
        spent = sorted(_timed(client, path(turn)) for turn in range(ROUNDS))
        print(f"{name:22} {spent[ROUNDS // 2] * 1000:7.2f} ms median {spent[ROUNDS * 99 // 100] * 1000:7.2f} ms p99")
    everything = min(_timed(client, "v1/secrets/search-total") for _ in range(3))
    print(f"{'total of everything':22} {everything * 1000:7.2f} ms")


def _timed(client: Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path)
    return time.perf_counter() - began


def _resident(pid: int) -> float:
    """MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    sys.exit(main())
