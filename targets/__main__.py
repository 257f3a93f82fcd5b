"""`python -m targets ESTATE.toml [--seed N] --state DIR`: serve an estate until SIGTERM or SIGINT.

Prints one JSON line (`lab.Ready`) when everything answers. Exit 0 when stopped, 2 when the estate file or the state
directory cannot be used.
"""

from __future__ import annotations

import argparse
import logging
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio

from targets import estate, lab, spec
from targets.faults import HOST_FAULTS, HostFault
from targets.vault_faults import VAULT_FAULTS, VaultFault


def main() -> int:
    arguments = _parser().parse_args()
    _raise_file_limit()
    # Failed logons are what an estate is for: they are in the metrics, and no one reads a log of them.
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    try:
        # Absolute, since the ready line is for programs that may stand elsewhere.
        anyio.run(_serve, arguments.estate, arguments.seed, arguments.state.absolute())
    except spec.EstateError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(path: Path, seed: int | None, state: Path) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        what = estate.build(spec.load(path, seed=seed))
        async with lab.running(what, state) as (ready, _):
            sys.stdout.write(ready.line() + "\n")
            sys.stdout.flush()
            async for _ in signals:
                return


def _raise_file_limit() -> None:
    """Every open connection is a file descriptor; a thousand silent ones are more than most soft limits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _described(faults: Mapping[str, HostFault] | Mapping[str, VaultFault]) -> str:
    return "\n".join(f"  {fault.name:17} {fault.meaning}" for fault in faults.values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m targets",
        description="A simulated Secret Server, SSH and SMB hosts.",
        epilog="faults of hosts:\n" + _described(HOST_FAULTS) + "\n\nfaults of the vault:\n" + _described(VAULT_FAULTS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("estate", type=Path, help="estate file (TOML)")
    parser.add_argument("--seed", type=int, default=None, help="instead of the estate file's seed")
    parser.add_argument(
        "--state", type=Path, required=True, help="directory for the vault's password, the truth and the counters"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
