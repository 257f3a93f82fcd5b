"""Which of the pacers decides about an account: authorities are dealt into SHARDS, each of which has one pacer.

A lease for each authority would be one for each of 65,536 hosts with accounts of their own; a lease for each run would
be two pacers where two runs meet at a host. So authorities share a lease with others that have the same remainder, at
the price that a campaign over many hosts needs all the leases: whoever runs the first one decides for later ones of
other orchestrators too, at a message to and fro for each of theirs, until it is idle. (`lease_keeper`, `pacer_shards`.)
"""

from __future__ import annotations

from zlib import crc32

SHARDS = 64


def shard_of(authority: str) -> int:
    """The same in every process and release."""
    return crc32(authority.encode()) % SHARDS


def shard_lease(shard: int) -> str:
    return f"pacer {shard}"
