"""`python -m tests.bench.vault_run [--hosts 3000]`: a long run against a vault whose sessions live for two seconds.

Not one target may fail by it: an error where an outcome is not PASSED, exit code 1 where a grant was refused. Prints
the rate and what the vault saw.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.acceptance.lab import running_lab
from tests.bench.product import SSH, campaign, run

ESTATE = """
seed = 12
[vault]
token_lifetime = 2
[[hosts]]
count = {hosts}
network = "127.48.0.0/16"
user = "scan"
account = "local"
secret = "per-host"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=3000)
    hosts = parser.parse_args().hosts
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as place:
        home = Path(place)
        with running_lab(home, ESTATE.format(hosts=hosts)) as lab:
            steady = run(lab, home, campaign(lab, SSH))  # raises where one of them has not passed
            seen = lab.vault_seen()
    print(
        f"{hosts} passed, {steady.rate:.0f}/s; the vault saw "
        + json.dumps({name: seen[name] for name in ("grants", "failed_grants", "requests", "views")})
    )
    return 0 if seen["failed_grants"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
