"""`backup`: a copy of the store, made while whoever holds the state directory goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import FILE
from orchestrator.store import StoreError
from orchestrator.store.copying import copy_store


async def backup(home: Home, directory: Path) -> Exit:
    """Raises BadInput."""
    if home.store is not None:
        raise BadInput("the store is a server's: copy it with pg_dump, as docs/runbook.md says (Backup)")
    name = directory / f"keymuster-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db"
    try:
        size = await copy_store(home.state / FILE, name)
    except StoreError as error:
        raise BadInput(str(error)) from None
    with written_to(None) as out:
        print(f"{name}: {size:,} bytes, and whole", file=out)
    return Exit.OK
