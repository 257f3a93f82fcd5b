"""Secret Server's answers about access requests, as values. No I/O, and total as `answers` is.

What a release calls who has answered, differs; and whether it gives one's own requests for a secret as a page, a list
or a single one, no source says: all are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.contract import Failure, peer_text
from appliance.vault.failures import bad_response, refusal
from appliance.vault.messages import Answer, load_json

OPEN = ("pending", "approved")
"""Of a request that may still give access."""


@dataclass(frozen=True, slots=True)
class Requested:
    """One access request. Its texts are the vault's own, each cut at PEER_TEXT_LIMIT."""

    id: int
    secret_id: int
    status: str
    """The vault's word, folded: pending, approved, denied, canceled, expired."""
    requested: str = ""
    """When, as the vault writes it."""
    by: str = ""
    """Who has answered it."""
    said: str = ""

    def facts(self) -> dict[str, str]:
        told = {"request": str(self.id), "status": self.status, "requested": self.requested}
        return told | {"by": self.by, "said": self.said}


def read_request(answer: Answer) -> Requested | Failure:
    if answer.status != 200:
        return refusal(answer)
    return _requested(load_json(answer.body)) or bad_response(answer, "an access request")


def read_requests(answer: Answer) -> tuple[Requested, ...] | Failure:
    """Newest first."""
    if answer.status != 200:
        return refusal(answer)
    body = load_json(answer.body)
    listed = body.get("records", [body] if "status" in body else None) if isinstance(body, dict) else body
    if not isinstance(listed, list):
        return bad_response(answer, "access requests")
    found = [requested for one in listed if (requested := _requested(one)) is not None]
    return tuple(sorted(found, key=lambda one: -one.id))


def that_counts(own: Sequence[Requested]) -> Requested | None:
    """Of the user's own for one secret, newest first: the newest that is open, or else the newest."""
    return next((one for one in own if one.status in OPEN), own[0] if own else None)


def _requested(body: Any) -> Requested | None:
    if not isinstance(body, dict):
        return None
    number, secret_id, status = body.get("secretAccessRequestId"), body.get("secretId"), body.get("status")
    if not isinstance(number, int) or not isinstance(secret_id, int) or not isinstance(status, str):
        return None
    if isinstance(number, bool) or number < 1 or secret_id < 1:
        return None
    by = _text(body, "approverDisplayName") or _text(body, "responseUsername")
    word = peer_text(status[:64]).lower()
    return Requested(number, secret_id, word, _text(body, "requestDate"), by, _text(body, "responseComment"))


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return peer_text(value) if isinstance(value, str) else ""
