"""`python -m tests.chaos`: see the package. A failed run prints its seed and leaves its directory."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.namespaces import may_make_namespaces
from tests.chaos.ordeal import ordeal


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    asked = parser.parse_args()
    if not may_make_namespaces():
        parser.error("network namespaces need root")
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.runs)
    failed = [seed for seed in seeds if not _green(seed)]
    if failed:
        print(f"failed: {failed}; again: python -m tests.chaos --seed {failed[0]}")
    else:
        print(f"all {len(seeds)} green")
    return 1 if failed else 0


def _green(seed: int) -> bool:
    print(f"seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix=f"keymuster-chaos-{seed}-"))
    told = ordeal(seed, directory, lambda text: print(f"  {text}", flush=True))
    for complaint in told.complaints[:20]:
        print(f"  NOT so: {complaint}")
    print(f"  {', '.join(f'{number} {reason}' for reason, number in told.reasons.most_common())}")
    print(f"  {'green' if told.passed else 'FAILED, see ' + str(directory)}: {told.took:.0f} s, ", end="")
    print(f"{told.late:.0f} s after the last fault", flush=True)
    if told.passed:
        shutil.rmtree(directory)
    return told.passed


if __name__ == "__main__":
    sys.exit(main())
