"""`python -m tests.bench.engines.install NAME`: the environment of tests/peers/NAME.lock, made where it is missing."""

from __future__ import annotations

import sys

import pytest

from tests.peers.environments import environment


def main() -> int:
    try:
        environment(sys.argv[1])
    except pytest.fail.Exception as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
