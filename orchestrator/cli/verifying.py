"""`verify-clean RUN`: a user's own proof that a run has left no secret behind.

The run's secrets are read from the vault once more, by a process that exists for nothing else, and looked for in what
is ours: the state directory (store, logs, the bus's files), what the user names beside it, and the memory of our
processes. The orchestrator sees neither the secrets nor the vault here either: it hands the vault's login down a pipe.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import SocketStream
from rich.console import Console

from appliance.contract import AccessTerms, CredentialRef
from appliance.launch import launch_argv
from appliance.utf8 import is_text
from orchestrator.assembly import Prepared, purposes
from orchestrator.audit.uses import had_credential
from orchestrator.cli import dialog
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, CommandError, Exit, Unreachable
from orchestrator.cli.output import written_to
from orchestrator.cli.own_processes import SCAN_PROCESS, own_processes
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.running import recalled
from orchestrator.cli.storing import find_run, stored
from orchestrator.cli.verify_report import document_of, tell
from orchestrator.records import NoCandidate
from orchestrator.report.documents import dumps
from orchestrator.state_dir import holder_of
from orchestrator.stops import Stops
from orchestrator.store import Store
from orchestrator.store.records import OutcomeRow

Wanted = dict[tuple[CredentialRef, bool], None]
"""Secrets, each with whether its private key was asked for; in the order of the outcomes."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a search costs, and whether the user has agreed to it."""

    yes: bool

    def ask(self, secrets: int, vaults: Sequence[str]) -> None:
        """Raises BadInput without consent."""
        what = f"{secrets} secrets of {', '.join(vaults)} will be read once more, and their views show in the audit"
        if self.yes:
            return
        if not dialog.somebody_is_there():
            raise BadInput(f"{what}: say --yes if that is what you want")
        if not dialog.agreed(f"{what}. Go on?"):
            raise BadInput("nothing was read")


async def verify_clean(home: Home, run: str | None, also: Sequence[Path], yes: bool, as_json: bool) -> Exit:
    """Exit 1 when a secret was found, 4 when not all of them could be looked for, or not in the store."""
    for path in also:
        if not await anyio.Path(path).exists():
            raise BadInput(f"--also {path}: there is no such file or directory")
        if not is_text(str(path.absolute())):
            raise BadInput(f"--also {str(path)!r}: its name is not UTF-8; name the directory that it lies in")
    async with stored(home) as store:
        record = await find_run(store, run)
        prepared = recalled(record)
        wanted = await _read_by(store, prepared)
        stops = Stops(await store.stops.all())
    holder = await anyio.to_thread.run_sync(holder_of, home.state)
    if record.state.under_way and holder is not None:
        raise BadInput(f"run {record.id} goes on in process {holder}: its scan processes hold what they use; wait")
    if not wanted:
        sys.stderr.write(f"run {record.id} has read no secret: there is nothing to look for\n")
        return Exit.OK
    if stopped := [stop for ref, _ in wanted if (stop := stops.on_secret(ref))]:
        raise BadInput(f"what the run has read must not be read now: {stopped[0].text}; `keymuster allow` lifts it")
    used = dict.fromkeys(ref.vault for ref, _ in wanted)
    await anyio.to_thread.run_sync(Consent(yes).ask, len(wanted), [repr(title) for title in used])
    campaign = prepared.campaign.model_copy(
        update={"vaults": tuple(vault for vault in prepared.campaign.vaults if vault.title in used)}
    )
    processes = await anyio.to_thread.run_sync(own_processes, holder)
    paths = [str(path.absolute()) for path in (home.state, *also)]
    order = {
        "kind": "order",
        "logins": [login.message() for login in logins_of(campaign)],
        "wanted": [{"secret": ref.model_dump(mode="json"), "private_key": key} for ref, key in wanted],
        "paths": paths,
        "processes": [{"pid": p.pid, "what": p.what} for p in processes if p.what != SCAN_PROCESS],
        "since": record.created_at,
        "purpose": f"keymuster verify-clean {record.id}",
        "terms": _terms(prepared),
    }
    async with stored(home) as store:
        number = await store.searches.begin(record.id, time.time())
        searched = await _searched(order)
        await store.searches.end(number, time.time())
    if not searched["read"] and all(secret["reason"].startswith("VAULT_") for secret in searched["unread"]):
        first = searched["unread"][0]
        raise Unreachable(f"no secret could be read: {first['secret']}: {first['reason']}: {first['text']}")
    document = document_of(record.id, paths, processes, searched)
    with written_to(None) as out:
        if as_json:
            print(dumps(document), file=out)
        else:
            tell(document, Console(file=out))
    if document["found"]:
        return Exit.GATE_FAILED
    if home.store is not None:
        sys.stderr.write(f"not searched: the store, which is at {home.store.where}; look at `keymuster export`\n")
        return Exit.INCOMPLETE
    return Exit.INCOMPLETE if document["unread"] else Exit.OK


def _terms(prepared: Prepared) -> dict[str, Any]:
    """By vault: the campaign's comment, with this command in place of a target, and its ticket."""
    told = purposes(prepared.campaign, prepared.record.id)
    return {
        title: AccessTerms(comment=told.for_command(title, "verify-clean"), ticket=terms.ticket).model_dump(mode="json")
        for title, terms in told.vaults.items()
        if terms.comment or terms.ticket
    }


async def _read_by(store: Store, prepared: Prepared) -> Wanted:
    """The secrets that have been in a scan process's memory: those of attempts that came as far as the login."""
    wanted: Wanted = {}
    async for outcome in store.attempts.outcomes(prepared.record.id):
        candidates = prepared.book.candidates(outcome.target, outcome.technology)
        if isinstance(candidates, NoCandidate):
            continue
        if "jump_host" in outcome.evidence.facts:  # some scan has read it, to log in there
            jumps = (candidate.jump for candidate in candidates if candidate.jump is not None)
            wanted |= dict.fromkeys((jump.secret, jump.private_key) for jump in jumps)
        if not _had_credential(outcome):
            continue
        for candidate in candidates:
            if candidate.record == outcome.record:
                wanted |= {(answer.secret, answer.private_key): None for answer in candidate.answers}
                if candidate.root is not None:
                    wanted[candidate.root.secret, False] = None
    return wanted


def _had_credential(outcome: OutcomeRow) -> bool:
    """Of earlier attempts no evidence is at hand: they count as having come so far."""
    return had_credential(outcome.evidence) or outcome.attempts > 1


async def _searched(order: Mapping[str, Any]) -> dict[str, Any]:
    """What the search's own process reports. Raises CommandError when it ends without a word."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    argv = launch_argv([sys.executable, "-m", "appliance.leaks"])
    async with await SocketStream.from_socket(ours) as pipe:
        with theirs:
            process = await anyio.open_process(
                argv, stdin=theirs.fileno(), stdout=subprocess.PIPE, stderr=None, start_new_session=True
            )
        async with process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            await pipe.send(json.dumps(order).encode() + b"\n")
            text = b"".join([chunk async for chunk in process.stdout])
            code = await process.wait()
    if code != 0:
        raise CommandError(f"the search ended with code {code}; its error is above")
    return dict(json.loads(text))
