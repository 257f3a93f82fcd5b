"""What `python -m targets` does: serve an estate until SIGTERM or SIGINT.

With `--vault-only` its vault alone, and a sample where no estate is given. Prints one JSON line (`lab.Ready`,
`lab.VaultReady`) when everything answers. Exit 0 when stopped, 2 when the estate file, the state directory or the port
cannot be used.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import anyio

from targets import estate, lab, spec
from targets.faults import HOST_FAULTS, HostFault
from targets.sample_vault import SAMPLE
from targets.shards import steering
from targets.shards.hub import Sharded, fork, shards_for
from targets.vault_faults import VAULT_FAULTS, VaultFault
from targets.world import World

SHARDS_MAX = 64


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.estate is None and not arguments.vault_only:
        parser.error("give an estate file, or --vault-only for a sample of secrets")
    _raise_file_limit()
    # Failed logons are what an estate is for: they are in the metrics, and no one reads a log of them.
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    try:
        what = _estate(arguments)
        steering.check_routes(what.networks)
        with ExitStack() as stack:
            sharded = None if arguments.vault_only else _sharded(what, arguments.shards, stack)
            anyio.run(_serve, what, arguments, sharded)
    except spec.EstateError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ExceptionGroup as group:
        return _told(group)
    return 0


def _told(group: ExceptionGroup) -> int:
    """What a task group says of errors in the estate; raises whatever is none."""
    _, others = group.split(spec.EstateError)
    if others is not None:
        raise group
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    sys.stderr.write(f"{error}\n")
    return 2


def _sharded(what: estate.Estate, asked: int | None, stack: ExitStack) -> Sharded | None:
    """The shards that serve the estate's hosts, until the stack is closed; None: this process does."""
    cores = len(os.sched_getaffinity(0))
    number = shards_for(len(what.hosts), cores) if asked is None else asked
    if not number:
        return None
    with steering.doors(what.hosts, number, what.reach) as doors:
        sharded = fork(what, doors)
    stack.callback(sharded.end)
    return sharded


async def _serve(what: estate.Estate, arguments: argparse.Namespace, sharded: Sharded | None) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with _running(what, arguments, sharded) as (ready, _):
            # A hundred thousand secrets stay: a collector that walked them all would hold every answer back.
            gc.freeze()
            gc.enable()
            sys.stdout.write(ready.line() + "\n")
            sys.stdout.flush()
            async for _ in signals:
                return


def _estate(arguments: argparse.Namespace) -> estate.Estate:
    seed = arguments.seed
    if arguments.estate is None:
        what = spec.parse(SAMPLE, name="the sample", seed=seed)
    else:
        what = spec.load(arguments.estate, seed=seed)
    tls = what.vault.tls or arguments.tls
    certificates = what.vault.client_certificates or arguments.client_certificates
    if certificates and tls is False:
        raise spec.EstateError("--client-certificates is for https: add --tls")
    vault = what.vault.model_copy(update={"tls": tls, "client_certificates": certificates})
    try:
        return estate.build(what.model_copy(update={"vault": vault}))
    except spec.EstateError as error:
        raise spec.EstateError(f"{arguments.estate or 'the sample'}: {error}") from None


def _running(
    what: estate.Estate, arguments: argparse.Namespace, sharded: Sharded | None
) -> AbstractAsyncContextManager[tuple[lab.Ready | lab.VaultReady, World]]:
    if arguments.vault_only:
        return lab.vault_alone(what, arguments.state, arguments.port)
    return lab.running(what, arguments.state, sharded)


def _raise_file_limit() -> None:
    """Every open connection is a file descriptor; a thousand silent ones are more than most soft limits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _shards(text: str) -> int:
    if not text.isdecimal() or int(text) > SHARDS_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {SHARDS_MAX}")
    return int(text)


def _absolute(path: str) -> Path:
    """The ready line is for programs that may stand elsewhere."""
    return Path(path).absolute()


def _described(faults: Mapping[str, HostFault] | Mapping[str, VaultFault]) -> str:
    return "\n".join(f"  {fault.name:17} {fault.meaning}" for fault in faults.values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m targets",
        description="A simulated Secret Server, SSH and SMB hosts.",
        epilog="faults of hosts:\n" + _described(HOST_FAULTS) + "\n\nfaults of the vault:\n" + _described(VAULT_FAULTS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("estate", type=Path, nargs="?", default=None, help="estate file (TOML)")
    parser.add_argument("--seed", type=int, default=None, help="instead of the estate file's seed")
    parser.add_argument(
        "--state", type=_absolute, required=True, help="directory for the vault's password, the truth and the counters"
    )
    parser.add_argument(
        "--shards",
        type=_shards,
        default=None,
        help="so many processes for the hosts, 0: none but this one; by default as many as hosts and cores suggest",
    )
    parser.add_argument("--vault-only", action="store_true", help="the vault, without hosts")
    parser.add_argument("--port", type=int, default=0, help="the vault's, with --vault-only; 0: a free one")
    parser.add_argument("--tls", action="store_true", help="https, whatever the estate file says")
    parser.add_argument("--client-certificates", action="store_true", help="demand one of every client, by https")
    return parser
