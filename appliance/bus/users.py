"""Who may say what on the bus: key pairs, and the permissions of each kind of user.

A user is an nkey: the server knows the public half, the holder of the seed proves itself by signing. Appliances may
publish under their own name only and read their own zone only. Within a zone they trust each other that far: any of
them may pull and acknowledge any job of the zone. What a consumer on KV_RUNS or KV_LOGINS delivers is bounded by the
filter in the subject of its creation; the server refuses a body that differs from it.
"""

from __future__ import annotations

from typing import Any

from appliance.bus import subjects
from appliance.bus.claims import BadKey, KeyKind, KeyPair, new_key, public_of


def new_user() -> KeyPair:
    """A fresh user key pair."""
    return new_key(KeyKind.USER)


def is_seed(text: str) -> bool:
    """Is this the seed of a user's key pair?"""
    try:
        public_of(text, KeyKind.USER)
    except BadKey:
        return False
    return True


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
                f"$JS.API.CONSUMER.CREATE.{subjects.LOGINS}.*.{subjects.logins(zone, name)}",
                f"$JS.ACK.{stream}.>",
                f"$JS.ACK.*.*.{stream}.>",  # the form with domain and account, which servers may switch to
            ]
        },
        "subscribe": {"allow": [f"{subjects.appliance_inbox(zone, name)}.>", subjects.vault(zone)]},
        # Answers to vault queries go to the asker's inbox, once each.
        "allow_responses": {"max": 1, "expires": "300s"},
    }


def enrolment_permissions(invitation: str) -> dict[str, Any]:
    """To ask for being enrolled by this invitation, and no more."""
    return {
        "publish": {"allow": [subjects.enrolment(invitation)]},
        "subscribe": {"allow": [f"{subjects.enrolment_inbox(invitation)}.>"]},
    }


def control_permissions() -> dict[str, Any]:
    """What a second command line needs to submit to the holder of a state directory."""
    return {"publish": {"allow": [subjects.CONTROL]}, "subscribe": {"allow": [f"{subjects.CONTROL_INBOX}.>"]}}
