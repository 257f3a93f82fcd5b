"""Who may say what on the bus: key pairs, and the permissions of each kind of user.

A user is an nkey: the server knows the public half, the holder of the seed proves itself by signing. Appliances may
publish under their own name only and read their own zone only. Within a zone they trust each other that far: any of
them may pull and acknowledge any job of the zone. What a consumer on KV_RUNS delivers is bounded by the filter in the
subject of its creation; the server refuses a body that differs from it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import nkeys

from appliance.bus import subjects


@dataclass(frozen=True, slots=True)
class KeyPair:
    seed: str = field(repr=False)
    """Secret: proves the user. It is handed on by file descriptor or in a file of mode 0600, never by argv."""
    public: str


def new_user() -> KeyPair:
    """A fresh user key pair."""
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    public: bytes = pair.public_key
    pair.wipe()
    return KeyPair(seed=seed.decode(), public=public.decode())


def is_seed(text: str) -> bool:
    """Is this the seed of a user's key pair?"""
    try:
        nkeys.from_seed(bytearray(text.encode())).wipe()
    except (nkeys.NkeysError, ValueError):  # ValueError: what is not base32 at all
        return False
    return text.startswith("SU")


def orchestrator_permissions() -> dict[str, Any]:
    return {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}


def appliance_permissions(zone: str, name: str) -> dict[str, Any]:
    """What `ApplianceBus` needs, under this name and in this zone, and no more."""
    stream = subjects.jobs_stream(zone)
    return {
        "publish": {
            "allow": [
                subjects.outcome(zone, name, "RUN").removesuffix("RUN") + "*",
                subjects.permit_ask(zone, name),
                subjects.permit_hold(zone, name),
                subjects.access(zone, name),
                subjects.heartbeat(zone, name),
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
                f"$JS.API.CONSUMER.INFO.{stream}.*",
                f"$JS.API.CONSUMER.CREATE.{subjects.RUNS}.*.{subjects.run_notices(zone)}",
                f"$JS.ACK.{stream}.>",
                f"$JS.ACK.*.*.{stream}.>",  # the form with domain and account, which servers may switch to
            ]
        },
        "subscribe": {"allow": [f"{subjects.appliance_inbox(zone, name)}.>", subjects.vault(zone)]},
        # Answers to vault queries go to the asker's inbox, once each.
        "allow_responses": {"max": 1, "expires": "5m"},
    }


def control_permissions() -> dict[str, Any]:
    """What a second command line needs to submit to the holder of a state directory."""
    return {"publish": {"allow": [subjects.CONTROL]}, "subscribe": {"allow": [f"{subjects.CONTROL_INBOX}.>"]}}
