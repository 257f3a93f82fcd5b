"""`python -m tests.fuzz [--seconds 600] [--seed N]`: servers that send anything, until the time is over.

Exit code 1 where an attempt raised, did not end, or passed with a wrong password; each such case is named with its seed
and number, and `--protocol unix --seed N --only NUMBER` shows it again.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio

from appliance.contract import Technology
from tests.fuzz.cases import Found, peer_of, search


def until(end: float) -> Iterator[int]:
    for number in count():
        if time.process_time() >= end:
            return
        yield number


async def fuzz(technology: Technology, seed: int, seconds: float, only: int | None) -> Found:
    with tempfile.TemporaryDirectory(prefix="keymuster-fuzz-") as directory:
        async with peer_of(technology, Path(directory)) as peer:
            numbers = until(time.process_time() + seconds) if only is None else iter([only])
            return await search(peer, seed, numbers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of CPU, for both protocols together")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--protocol", type=Technology, choices=[*Technology], default=None)
    parser.add_argument("--only", type=int, default=None, help="one case, by its number")
    given = parser.parse_args()
    seed = secrets.randbits(32) if given.seed is None else given.seed
    wanted = [*Technology] if given.protocol is None else [given.protocol]
    wrong: list[str] = []
    for technology in wanted:
        found = anyio.run(fuzz, technology, seed, given.seconds / len(wanted), given.only)
        print(f"{technology}: {found.ended.total():,} attempts, seed {seed}: {_told(found.ended)}", flush=True)
        wrong += found.wrong
    print("\n".join(wrong) or "every attempt ended in evidence")
    return 1 if wrong else 0


def _told(ended: Counter[str]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in ended.most_common())


if __name__ == "__main__":
    sys.exit(main())
