"""What a campaign needs of a vault's user, and what the user has. Pure.

The rules, stated here and nowhere else:

 L1 role      View Secret; View Launcher Password where a template hides the password; View Secret Audit for `audit`.
 L2 secret    View on each secret, directly or by its folder. Edit and Owner are too much, and List is too little.
 L3 too much  A role permission beyond L1 that lets its holder do more than look: whatever does not begin with "View".
              Unlimited Administrator and Force Check In above all: check-outs are given back, never forced. What only
              lets look is told, and is no fault.
 L4 approval  Access that somebody has to approve needs no right beyond L2: View lets the user ask for it.
 L5 unclear   A role with a name of somebody's own: what it permits only the vault's administrator knows. A secret that
              somebody has checked out just now: its rights are told when it is back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.contract import CredentialRef
from appliance.questions import VaultAnswer

VIEW_SECRET = "View Secret"  # noqa: S105 - a permission's name
VIEW_HIDDEN = "View Launcher Password"
VIEW_AUDIT = "View Secret Audit"

_ENOUGH = "view"
_TOO_MUCH = ("edit", "owner")
_TOO_LITTLE = ("", "none", "list")
_BUSY = ("SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING")


class Verdict(StrEnum):
    OK = "ok"
    LACKS = "lacks"
    TOO_MUCH = "too much"
    NOT_NEEDED = "not needed"
    UNCLEAR = "unclear"


FAULTS = (Verdict.LACKS, Verdict.TOO_MUCH, Verdict.UNCLEAR)


@dataclass(frozen=True, slots=True)
class PermissionVerdict:
    permission: str
    needed: bool
    has: bool
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class SecretVerdict:
    """One secret of the campaign: View is what it needs."""

    secret: CredentialRef
    targets: int
    secret_id: int | None
    folder: str
    has: str
    """The vault's word for what the user may do with it."""
    verdict: Verdict
    why: str
    approval: str = ""
    """`needed` or `approved`, where somebody has to approve access; View is enough to ask for it."""


def judge_permissions(has: Sequence[str], *, hidden: bool) -> list[PermissionVerdict]:
    """The role permissions that are needed, and then all others that the user has."""
    needed = {VIEW_SECRET: "to read secrets at all"}
    if hidden:
        needed[VIEW_HIDDEN] = "a template hides the password"
    needed[VIEW_AUDIT] = "for `keymuster audit`"
    held = {name.casefold() for name in has}
    found = []
    for name, why in needed.items():
        there = name.casefold() in held
        found.append(PermissionVerdict(name, True, there, Verdict.OK if there else Verdict.LACKS, why))
    known = {name.casefold() for name in needed}
    for name in sorted({name for name in has if name.casefold() not in known}):
        looks = name.casefold().startswith("view ")
        verdict, why = (Verdict.NOT_NEEDED, "lets look only") if looks else (Verdict.TOO_MUCH, "take it away")
        found.append(PermissionVerdict(name, False, True, verdict, why))
    return found


def judge_secret(secret: CredentialRef, targets: int, answer: VaultAnswer) -> SecretVerdict:
    if not answer.ok:
        why = ": ".join(filter(None, (answer.reason, answer.text)))
        verdict = Verdict.UNCLEAR if answer.reason in _BUSY else Verdict.LACKS
        return SecretVerdict(secret, targets, None, "", "", verdict, why)
    has = answer.facts.get("role", "")
    verdict, why = _judge_role(has)
    number = answer.facts.get("secret_id", "")
    place = answer.facts.get("folder", "")
    secret_id = int(number) if number.isdigit() else None
    return SecretVerdict(secret, targets, secret_id, place, has, verdict, why, answer.facts.get("approval", ""))


def _judge_role(role: str) -> tuple[Verdict, str]:
    word = role.casefold()
    if word == _ENOUGH:
        return Verdict.OK, ""
    if word in _TOO_LITTLE:
        return Verdict.LACKS, "give View on the secret or its folder"
    if word in _TOO_MUCH:
        return Verdict.TOO_MUCH, "View is enough"
    return Verdict.UNCLEAR, "a role of somebody's own: let it permit View and no more"


def folders(secrets: Iterable[SecretVerdict]) -> list[tuple[str, int]]:
    """Folders with the number of the campaign's secrets in each."""
    counted: dict[str, int] = {}
    for secret in secrets:
        if secret.folder:
            counted[secret.folder] = counted.get(secret.folder, 0) + 1
    return sorted(counted.items())
