"""`python -m tests.simulation (--seconds 20 | --seeds 100000) [--start N]`: schedule after schedule, until one breaks.

Prints the rate and how often each rule was reached. Exit 1 for a broken promise (with the seed, what it stands for and
its trace) and for a rule that no schedule reached.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation.coverage import Coverage
from tests.simulation.layer1 import simulate
from tests.simulation.options import draw
from tests.simulation.regressions import REGRESSIONS

CHUNK = 200
"""Seeds that one process is given at a time."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a stretch of seeds showed."""

    seeds: int
    virtual_s: float
    coverage: Coverage
    broken: int | None
    """The first seed that broke a promise."""


def run_chunk(start: int, seeds: int) -> Chunk:
    coverage, virtual = Coverage(), 0.0
    for seed in range(start, start + seeds):
        result = simulate(seed, coverage)
        virtual += result.virtual_s
        if result.broken:
            return Chunk(seed - start + 1, virtual, coverage, seed)
    return Chunk(seeds, virtual, coverage, None)


def main() -> int:
    arguments = _arguments()
    began = time.monotonic()
    coverage, seeds, virtual = Coverage(), 0, 0.0
    broken = next((seed for seed in REGRESSIONS if simulate(seed, coverage).broken), None)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        following = arguments.start
        while broken is None and _goes_on(arguments, following, began):
            starts = range(following, following + CHUNK * 2 * (os.cpu_count() or 1), CHUNK)
            following = starts.stop
            for chunk in pool.map(run_chunk, starts, [CHUNK] * len(starts)):
                seeds, virtual = seeds + chunk.seeds, virtual + chunk.virtual_s
                coverage.seen.update(chunk.coverage.seen)
                broken = broken if broken is not None else chunk.broken
    spent = time.monotonic() - began
    print(coverage.table())  # noqa: T201 - the command's output
    print(f"{seeds} schedules, {virtual / 3600:.0f} virtual hours, {seeds / spent:.0f} schedules/s")  # noqa: T201 - as above
    return _verdict(broken, coverage)


def _goes_on(arguments: argparse.Namespace, following: int, began: float) -> bool:
    if arguments.seeds is not None:
        return bool(following < arguments.start + arguments.seeds)
    return bool(time.monotonic() - began < arguments.seconds)


def _verdict(broken: int | None, coverage: Coverage) -> int:
    if broken is not None:
        result = simulate(broken, Coverage(), traced=True)
        said = [f"seed {broken} breaks a promise: {result.broken}", draw(broken).describe(), *result.trace]
        print("\n".join(said), file=sys.stderr)  # noqa: T201 - the command's output
        return 1
    if missing := coverage.missing():
        print(f"no schedule reached {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--seconds", type=float)
    amount.add_argument("--seeds", type=int)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
