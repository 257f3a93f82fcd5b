"""`--targets FILE`: the targets of a campaign from another list, with a word on every line that is none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import anyio

from orchestrator.addresses import AddressSet, Name, canonical_address, parse_entry
from orchestrator.campaign_checks import disagreeing
from orchestrator.campaign_model import Campaign, TargetEntry, Targets
from orchestrator.cli.arguments import From
from orchestrator.cli.errors import BadInput
from orchestrator.inventory.found import InventoryError, InventoryFormat
from orchestrator.inventory.reading import BYTES_MAX, Inventory, read_inventory
from orchestrator.plan import excluded_by_name, select

SHOWN = 50
"""Refused lines that are shown; more of them say nothing new."""
RESOLVE_S = 10.0
RESOLVERS = 32


def with_targets(campaign: Campaign, given: From) -> Campaign:
    """The campaign, with the lists' targets in the place of its own; what it excludes stays out.

    What it excludes by name stays out too where a list has the address alone, or another name for it. Raises BadInput
    for a list that cannot be read, for refused lines unless they are skipped, and for no target at all.
    """
    if not given.files:
        return campaign
    listed: dict[TargetEntry, str] = {}
    """Where each entry was first met."""
    refused: list[str] = []
    for file in given.files:
        name, inventory = _read(file, given.form)
        for entry, line in inventory.entries.items():
            listed.setdefault(entry, f"{name}:{line}")
        ignored = [one for one in inventory.refusals if one.ignored]
        for one in ignored[:SHOWN]:
            sys.stderr.write(f"{name}:{one.line}: {one.why}\n")
        if len(ignored) > SHOWN:
            sys.stderr.write(f"{name}: and {len(ignored) - SHOWN:,} more lines of which something is ignored\n")
        refused += [f"{name}:{one.line}: {one.why}" for one in inventory.refused]
        if inventory.repeated:
            sys.stderr.write(f"{name}: {inventory.repeated:,} entries came more than once\n")
    own = campaign.targets
    excluded = excluded_by_name(own)
    if given.resolve:
        resolved, unknown = anyio.run(_resolved, tuple(listed))
        refused += [f"{name}: does not resolve; correct it, or take it out" for name in unknown]
        written = AddressSet.parse(own.exclude)
        excluded |= AddressSet.parse(now.address for then, now in resolved.items() if then.address in written)
        places, listed = listed, {}
        for then, now in resolved.items():
            listed.setdefault(now, places[then])
    contradicted = _contradicted(listed)
    excluded |= excluded_by_name(own.model_copy(update={"include": tuple(listed)}))
    refused += contradicted.values()
    _tell(refused, skip=given.skip_refused)
    include = tuple(entry for entry in listed if entry not in contradicted)
    files = ", ".join(map(str, given.files))
    if not include:
        raise BadInput(f"{files}: no target in it")
    exclude = tuple(dict.fromkeys((*own.exclude, *(excluded.at(n) for n in range(excluded.count)))))
    found = select(Targets(include=include)).addresses
    out = (found & AddressSet.parse(exclude)).count
    told = f", {out:,} of which the campaign excludes" if out else ""
    sys.stderr.write(f"{found.count:,} targets from {files}{told}\n")
    return campaign.model_copy(update={"targets": own.model_copy(update={"include": include, "exclude": exclude})})


def _contradicted(listed: Mapping[TargetEntry, str]) -> Mapping[TargetEntry, str]:
    """Entries that give an address other names than one before them, and what is to be said of it."""
    given = {
        entry: (canonical_address(entry.address), entry.host or "", entry.fqdn or "", entry.domain or "")
        for entry in listed
        if entry.host or entry.fqdn or entry.domain
    }
    return {
        entry: f"{listed[entry]}: {entry.address} has another name in {listed[first]}; keep one of the two"
        for entry, first in disagreeing(given)
    }


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


async def _resolved(entries: Sequence[TargetEntry]) -> tuple[Mapping[TargetEntry, TargetEntry], list[str]]:
    """What each entry becomes, and the names that have no address. Names become the first address that the resolver
    gives, and are kept beside it where the list has no other name for the host.
    """
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
        given = known | entries[place].model_dump(exclude_none=True)
        found[place] = TargetEntry.model_validate(given | {"address": str(answers[0][4][0])})

    async with anyio.create_task_group() as tasks:
        for place, entry in enumerate(entries):
            parsed = parse_entry(entry.address)
            if isinstance(parsed, Name):
                tasks.start_soon(look_up, place, parsed.text, name=f"resolve {parsed.text}")
            else:
                found[place] = entry
    return {entries[place]: found[place] for place in sorted(found)}, [unknown[place] for place in sorted(unknown)]
