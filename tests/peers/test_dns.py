"""The resolver and real (if small) DNS servers, through the C library as an appliance has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.peers.dns import ADDRESS
from tests.peers.private import require

pytestmark = pytest.mark.peer


@pytest.mark.slow
@pytest.mark.parametrize("uvloop", ["0", "1"])
def test_dns_servers_in_every_mood(tmp_path: Path, uvloop: str) -> None:
    require("unshare", "ip")
    (tmp_path / "resolv.conf").touch()
    (tmp_path / "nsswitch.conf").write_text("hosts: files dns\n")
    mounts = "".join(f"mount --bind {tmp_path}/{f} /etc/{f} && " for f in ("resolv.conf", "nsswitch.conf"))
    script = f"ip link set lo up && {mounts}exec {sys.executable} -m tests.peers.dns"
    environment = {k: v for k, v in os.environ.items() if k != "RES_OPTIONS"} | {"UVLOOP": uvloop}
    began = time.monotonic()
    ended = subprocess.run(
        ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    results = json.loads(ended.stdout)
    assert {case: found["said"] for case, found in results.items()} == {
        "the only server hangs": "DNS_NO_ANSWER",
        "the first server hangs": [ADDRESS],
        "there is no such name": "DNS_FAILED",
        "nobody serves DNS": "DNS_NO_ANSWER",
    }
    assert results["the only server hangs"]["took"] < 15
    assert 0.9 < results["the first server hangs"]["took"] < 10
    assert max(found["lag"] for found in results.values()) < 0.9
    assert time.monotonic() - began < sum(found["took"] for found in results.values()) + 20
