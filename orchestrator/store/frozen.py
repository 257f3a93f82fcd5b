"""Sessions of a frozen process, which hold what they have locked until somebody ends them.

A process that is stopped (SIGSTOP, a paused machine, swapped out) between two statements of a transaction is ended by
the server (`idle_in_transaction_session_timeout`). One that is stopped while it sends many rows leaves the server in
the middle of a statement, waiting for the rest: that is active for PostgreSQL, and has no limit (`statement_timeout`
is counted per row; `transaction_timeout`, of release 17, would end our long reads too). So it is told by what the
server shows of its sessions: active, and waiting for its client since the last message came.

SQLite has no such sessions: the lock of a frozen process on its file is the operating system's.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from orchestrator.store.database import Database

SILENT_S = 5
"""Without a message in the middle of a statement, and so long without a count of its leases, a process is frozen."""
APPLICATION = "keymuster"
"""As our sessions call themselves."""

_END = text(f"""
WITH frozen AS MATERIALIZED (
    SELECT pid FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND application_name = '{APPLICATION}'
       AND pid <> pg_backend_pid() AND state = 'active' AND wait_event_type = 'Client' AND wait_event = 'ClientRead'
       AND xact_start IS NOT NULL AND state_change < clock_timestamp() - make_interval(secs => {SILENT_S})
)
SELECT pg_terminate_backend(pid) FROM frozen
""")  # noqa: S608 - constants of ours
"""Materialized: in one WHERE the server would choose what to ask first, and the last condition ends what it asks of."""


async def end_frozen(database: Database) -> int:
    """How many sessions were ended. What they wrote is undone, and their process hears so when it wakes up. Raises
    StoreError.
    """

    def step(connection: Connection) -> int:
        return len(connection.execute(_END).all())

    return await database.read(step) if database.dialect == "postgresql" else 0
