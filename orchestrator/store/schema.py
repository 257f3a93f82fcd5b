"""The tables. What a release expects; `migrations/` is how a store gets there, and a test holds the two together.

Shape: a run has jobs (target x technology), a job has attempts, and at most one outcome. Technology is repeated in
`outcomes` so that totals need no join. An attempt's evidence lies with the attempt; an outcome has evidence of its own
only when no attempt decided it. Times are Unix seconds. There is no secret in any column, only secrets' names; but for
`vault_logins`, which are encrypted under the fleet's key.

Portable SQL only: SQLite is the default, PostgreSQL the other. `sqlite_with_rowid=False` stores narrow tables in their
primary key, which saves SQLite one tree a table.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table, Text

HEAD = "0014"
"""The migration that makes these tables."""

metadata = MetaData()

_Key = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared, sorted or grouped by: byte by byte on every database."""

runs = Table(
    "runs",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("campaign", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("snapshot", JSON, nullable=False),
    Column("planned", BigInteger, nullable=False),
    Column("parent", Text),
    Column("finished_at", Double),
    Column("spent", JSON(none_as_null=True)),
    Column("held", JSON(none_as_null=True)),
    Column("priority", Integer),
)

cursors = Table(
    "cursors",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("name", _Key, primary_key=True),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("job", _Key, primary_key=True),
    Column("technology", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("fqdn", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("sort_key", _Key, nullable=False),
    Column("records", JSON, nullable=False),
    Index("jobs_in_order", "run", "sort_key", "job"),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("job", _Key, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("lease", Text, nullable=False),
    Column("dispatched_at", Double, nullable=False),
    Column("tried", JSON, nullable=False),
    Column("ended_at", Double),
    Column("appliance", Text),
    Column("reason", Text),
    Column("status", Text),
    Column("evidence", Text),
    Column("zone", Text),
)
outcomes = Table(
    "outcomes",
    metadata,
    Column("run", _Key, primary_key=True),
    Column("job", _Key, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("technology", _Key, nullable=False),
    Column("status", _Key, nullable=False),
    Column("reason", _Key, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("evidence", Text),
    sqlite_with_rowid=False,
)

remainders = Table(
    "remainders",
    metadata,
    Column("run", Text, primary_key=True),
    Column("cursor", Text, primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("behind", BigInteger, nullable=False),
    Column("technology", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("evidence", Text, nullable=False),
    sqlite_with_rowid=False,
)

schedules = Table(
    "schedules",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("fired_at", Double, nullable=False),
    Column("queued", Boolean),
    sqlite_with_rowid=False,
)

permits = Table(
    "permits",
    metadata,
    # SQLite numbers rows by itself only in a column that is exactly INTEGER.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("authority", _Key, nullable=False),
    Column("user", Text, nullable=False),
    Column("run", _Key, nullable=False),
    Column("job", _Key, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("expires_at", Double, nullable=False),
    Column("cause", Text, nullable=False),
    Column("part", Text, nullable=False, server_default=""),
    # Older releases write neither.
    Column("shard", Integer),
    Column("holder", Text),
    Index("permits_of_run", "run"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", _Key, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("beat", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

host_keys = Table(
    "host_keys",
    metadata,
    Column("address", _Key, primary_key=True),
    Column("port", Integer, primary_key=True),
    Column("algorithm", _Key, primary_key=True),
    Column("key", Text, nullable=False),
    Column("run", Text, nullable=False),
    sqlite_with_rowid=False,
)

searches = Table(
    "searches",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("ended_at", Double),
)

check_outs = Table(
    "check_outs",
    metadata,
    Column("url", _Key, primary_key=True),
    Column("user", _Key, primary_key=True),
    Column("secret_id", BigInteger, primary_key=True),
    Column("run", _Key, primary_key=True),
    Column("vault", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("ours", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

approvals = Table(
    "approvals",
    metadata,
    Column("url", _Key, primary_key=True),
    Column("user", _Key, primary_key=True),
    Column("secret_id", BigInteger, primary_key=True),
    Column("run", _Key, primary_key=True),
    Column("vault", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("after", BigInteger, nullable=False),
    Column("request", BigInteger, nullable=False),
    Column("ours", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

stops = Table(
    "stops",
    metadata,
    Column("kind", _Key, primary_key=True),
    Column("name", _Key, primary_key=True),
    Column("vault", _Key, primary_key=True),
    Column("since", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_with_rowid=False,
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("zone", Text, nullable=False),
    Column("enrolments", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("expires_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

appliances = Table(
    "appliances",
    metadata,
    Column("name", _Key, primary_key=True),
    Column("public", _Key, primary_key=True),
    Column("sealing", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("invitation", Text, nullable=False),
    Column("enrolled_at", Double, nullable=False),
    Column("revoked_at", Double),
    sqlite_with_rowid=False,
)

Index(
    "appliances_by_name",
    appliances.c.name,
    unique=True,
    sqlite_where=appliances.c.revoked_at.is_(None),
    postgresql_where=appliances.c.revoked_at.is_(None),
)

vault_logins = Table(
    "vault_logins",
    metadata,
    Column("title", _Key, primary_key=True),
    Column("encrypted", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

drains = Table(
    "drains",
    metadata,
    # Appliances that are to take no more jobs; the name is empty for all of a zone.
    Column("zone", _Key, primary_key=True),
    Column("appliance", _Key, primary_key=True),
    Column("since", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_with_rowid=False,
)

compatibility = Table(
    "compatibility",
    metadata,
    # One row: the oldest migration whose release may use the store as it is now (upgrade.py).
    Column("compatible_from", Text, primary_key=True),
)

unlisted = Table(
    "unlisted",
    metadata,
    # Runs without a row in `runs`, whose rows are being brought in (imported) or taken away (pruned), and by whom.
    Column("run", _Key, primary_key=True),
    Column("token", Text, nullable=False),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)
