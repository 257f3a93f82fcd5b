"""`make score`: estates of the preset `enterprise`, one per seed, and one with every fault; is every reason right?

Each is a run of `keymuster demo`, which holds its outcomes against the truth. Ends with 1 at any wrong reason.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_S = 300.0
_SCORE = re.compile(r"Right reasons: ([\d,]+) of ([\d,]+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="so many estates of the preset enterprise")
    parser.add_argument("--hosts", type=int, default=1000)
    given = parser.parse_args()
    estates = [("enterprise", seed) for seed in range(1, given.seeds + 1)] + [("hostile", 1)]
    wrong = sum(not right(preset, seed, given.hosts) for preset, seed in estates)
    print(f"{len(estates)} estates, {wrong} with a wrong reason")
    return 1 if wrong else 0


def right(preset: str, seed: int, hosts: int) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keymuster-score-") as home:
        argv = [str(Path(sys.executable).with_name("keymuster")), "demo", "--preset", preset, "--seed", str(seed)]
        argv += ["--hosts", str(hosts), "--dir", home, "--no-progress"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    found = _SCORE.search(done.stdout)
    said = found[0] if found else f"no score, exit code {done.returncode}: {done.stderr[-500:]}"
    print(f"{preset:10} seed {seed:2}  {said}  {time.monotonic() - began:.1f} s", flush=True)
    for line in done.stdout.splitlines():
        if "WRONG" in line:
            print(f"    {line}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
