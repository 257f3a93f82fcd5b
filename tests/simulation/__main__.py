"""`python -m tests.simulation (--seconds 20 | --seeds 100000) [--layer 1|2] [--start N]`: schedules until one breaks.

Without `--layer` both: layer 1 gets two thirds of the seconds, or all of the seeds; layer 2, whose schedules cost ten
times as much, one third, or a tenth. Prints each layer's rate and how often it reached what it is for. Exit 1 for a
broken promise (with the seed, what it stands for and its trace) and for a rule that no schedule reached.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.simulation import layer1, layer2, regressions
from tests.simulation.coverage import RULES, Coverage
from tests.simulation.options import draw


@dataclass(frozen=True, slots=True)
class Layer:
    simulate: Callable[..., layer1.Result]
    rules: Mapping[str, str]
    regressions: Mapping[int, str]
    chunk: int
    """Seeds that one process is given at a time."""
    share_of_seconds: float
    share_of_seeds: float


LAYERS = {
    1: Layer(layer1.simulate, RULES, regressions.LAYER_1, 200, 2 / 3, 1.0),
    2: Layer(layer2.simulate, layer2.SEEN, regressions.LAYER_2, 20, 1 / 3, 0.1),
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a stretch of seeds showed."""

    seeds: int
    virtual_s: float
    coverage: Coverage
    broken: int | None
    """The first seed that broke a promise."""


def run_chunk(number: int, start: int, seeds: int) -> Chunk:
    layer = LAYERS[number]
    coverage, virtual = Coverage(layer.rules), 0.0
    for seed in range(start, start + seeds):
        result = layer.simulate(seed, coverage)
        virtual += result.virtual_s
        if result.broken:
            return Chunk(seed - start + 1, virtual, coverage, seed)
    return Chunk(seeds, virtual, coverage, None)


def explore(number: int, start: int, goes_on: Callable[[int], bool]) -> int:
    """Run a layer while `goes_on(seeds so far)`; the exit code."""
    layer, began = LAYERS[number], time.monotonic()
    coverage, seeds, virtual = Coverage(layer.rules), 0, 0.0
    broken = next((seed for seed in layer.regressions if layer.simulate(seed, coverage).broken), None)
    following = start
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        while broken is None and goes_on(following - start):
            starts = range(following, following + layer.chunk * 2 * (os.cpu_count() or 1), layer.chunk)
            following = starts.stop
            for chunk in pool.map(run_chunk, [number] * len(starts), starts, [layer.chunk] * len(starts)):
                seeds, virtual = seeds + chunk.seeds, virtual + chunk.virtual_s
                coverage.seen.update(chunk.coverage.seen)
                broken = broken if broken is not None else chunk.broken
    rate = seeds / (time.monotonic() - began)
    print(coverage.table())  # noqa: T201 - the command's output
    print(f"layer {number}: {seeds} schedules, {virtual / 3600:.0f} virtual hours, {rate:.0f} schedules/s", flush=True)  # noqa: T201 - as above
    return _verdict(layer, broken, coverage)


def _verdict(layer: Layer, broken: int | None, coverage: Coverage) -> int:
    if broken is not None:
        result = layer.simulate(broken, Coverage(layer.rules), traced=True)
        said = [f"seed {broken} breaks a promise: {result.broken}", draw(broken).describe(), *result.trace]
        print("\n".join(said), file=sys.stderr)  # noqa: T201 - the command's output
        return 1
    if missing := coverage.missing():
        print(f"no schedule reached {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def main() -> int:
    arguments = _arguments()
    chosen = [arguments.layer] if arguments.layer else list(LAYERS)
    return max([explore(number, arguments.start, _until(arguments, LAYERS[number])) for number in chosen])


def _until(arguments: argparse.Namespace, layer: Layer) -> Callable[[int], bool]:
    if arguments.seeds is not None:
        most = arguments.seeds * (1.0 if arguments.layer else layer.share_of_seeds)
        return lambda done: done < most
    end = time.monotonic() + arguments.seconds * (1.0 if arguments.layer else layer.share_of_seconds)
    return lambda _done: time.monotonic() < end


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    amount = parser.add_mutually_exclusive_group(required=True)
    amount.add_argument("--seconds", type=float)
    amount.add_argument("--seeds", type=int)
    parser.add_argument("--layer", type=int, choices=LAYERS, help="only this layer")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
