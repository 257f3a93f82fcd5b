"""`--targets FILE`: the targets of a campaign from another list, with a word on every line that is none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import anyio

from orchestrator.addresses import Name, parse_entry
from orchestrator.campaign_model import Campaign, TargetEntry, Targets
from orchestrator.cli.arguments import From
from orchestrator.cli.errors import BadInput
from orchestrator.inventory.found import InventoryError, InventoryFormat
from orchestrator.inventory.reading import BYTES_MAX, Inventory, read_inventory

SHOWN = 50
"""Refused lines that are shown; more of them say nothing new."""
RESOLVE_S = 10.0
RESOLVERS = 32


def with_targets(campaign: Campaign, given: From) -> Campaign:
    """The campaign, with the lists' targets in the place of its own; what it excludes stays out.

    Raises BadInput for a list that cannot be read, for refused lines unless they are skipped, and for no target at all.
    """
    if not given.files:
        return campaign
    entries: dict[TargetEntry, None] = {}
    refused: list[str] = []
    for file in given.files:
        name, inventory = _read(file, given.form)
        entries |= dict.fromkeys(inventory.entries)
        ignored = [one for one in inventory.refusals if one.ignored]
        for one in ignored[:SHOWN]:
            sys.stderr.write(f"{name}:{one.line}: {one.why}\n")
        if len(ignored) > SHOWN:
            sys.stderr.write(f"{name}: and {len(ignored) - SHOWN:,} more lines of which something is ignored\n")
        refused += [f"{name}:{one.line}: {one.why}" for one in inventory.refused]
        if inventory.repeated:
            sys.stderr.write(f"{name}: {inventory.repeated:,} entries came more than once\n")
    if given.resolve:
        resolved, unknown = anyio.run(_resolved, tuple(entries))
        entries = dict.fromkeys(resolved)
        refused += [f"{name}: does not resolve; correct it, or take it out" for name in unknown]
    _tell(refused, skip=given.skip_refused)
    if not entries:
        raise BadInput(f"{', '.join(map(str, given.files))}: no target in it")
    sys.stderr.write(f"{len(entries):,} targets from {', '.join(map(str, given.files))}\n")
    data = campaign.targets.model_dump() | {"include": tuple(entries)}
    return campaign.model_copy(update={"targets": Targets.model_validate(data)})


def _read(file: Path, form: InventoryFormat | None) -> tuple[str, Inventory]:
    name = "stdin" if str(file) == "-" else str(file)
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)  # enough to be refused: a device has no end
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from None
    try:
        return name, read_inventory(data, form)
    except InventoryError as error:
        where = f"{name}:{error.line}" if error.line else name
        raise BadInput(f"{where}: {error}") from None


def _tell(refused: Sequence[str], *, skip: bool) -> None:
    if not refused:
        return
    shown = list(refused[:SHOWN])
    if len(refused) > SHOWN:
        shown.append(f"and {len(refused) - SHOWN:,} more")
    if not skip:
        shown.append("nothing was started; correct these lines, or leave them out by --skip-refused")
        raise BadInput("\n".join(shown))
    sys.stderr.write("\n".join([*shown, f"{len(refused):,} lines skipped\n"]))


async def _resolved(entries: Sequence[TargetEntry]) -> tuple[list[TargetEntry], list[str]]:
    """Names become the first address that the resolver gives, and are kept beside it; and the names that have none."""
    found: dict[int, TargetEntry] = {}
    unknown: dict[int, str] = {}
    limit = anyio.CapacityLimiter(RESOLVERS)

    async def look_up(place: int, name: str) -> None:
        async with limit:
            try:
                with anyio.fail_after(RESOLVE_S):
                    answers = await anyio.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError, UnicodeError):
                unknown[place] = name
                return
        known = {"fqdn": name} if "." in name else {"host": name}
        found[place] = TargetEntry.model_validate({"address": str(answers[0][4][0])} | known)

    async with anyio.create_task_group() as tasks:
        for place, entry in enumerate(entries):
            parsed = parse_entry(entry.address)
            if isinstance(parsed, Name):
                tasks.start_soon(look_up, place, parsed.text, name=f"resolve {parsed.text}")
            else:
                found[place] = entry
    return [found[place] for place in sorted(found)], [unknown[place] for place in sorted(unknown)]
