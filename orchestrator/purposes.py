"""What the vaults of a run are told: for whom a secret is asked, and on which ticket. Pure.

The rules, stated here and nowhere else:

 W1 own       A vault's `comment` goes with every request that takes one, and so does its `ticket`. Where neither is
              given, DEFAULT answers a vault that asks for a comment, and nothing else is told.
 W2 target    What is done for one target names it, with its job and record.
 W3 run       What is done for the whole run (a check-out and its end, an access request) says so in their place, since
              all targets of the secret have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.contract import AccessTerms, Candidate, Part, Target, Ticket

DEFAULT = "Keymuster: campaign {campaign}, run {run}, target {target}"
_ALL = "all"


@dataclass(frozen=True, slots=True)
class VaultTerms:
    """What a campaign says of a vault."""

    comment: str = ""
    """A template; empty: DEFAULT."""
    ticket: Ticket | None = None
    approval: bool = False
    """A lacking approval is asked for."""

    @property
    def own(self) -> bool:
        return bool(self.comment or self.ticket or self.approval)


@dataclass(frozen=True, slots=True)
class RunComment:
    """What goes with an order for the whole run."""

    comment: str
    ticket: Ticket | None = None
    told: bool = False
    """Asked or not (W1)."""


@dataclass(frozen=True, slots=True)
class Purposes:
    """Of one run; the vaults by title."""

    campaign: str
    run: str
    vaults: Mapping[str, VaultTerms] = field(default_factory=dict)

    def plain(self, target: Target) -> str:
        """For a vault that asks, and has no comment of its own."""
        return self._filled(DEFAULT, target=target.address)

    def of_job(self, job: str, target: Target, candidates: Iterable[Candidate]) -> tuple[AccessTerms, ...]:
        """Of those records, their jump hosts and root delegation whose vault has its own. Nobody asks for approval of
        any secret but the login's: where it lacks, it is the reason.
        """
        if not any(terms.own for terms in self.vaults.values()):
            return ()
        found: list[AccessTerms] = []
        for candidate in candidates:
            vaults = {part: secret.vault for part, _, secret in candidate.parts}  # a login's fallbacks are in its own
            for part, vault in vaults.items():
                terms = self.vaults.get(vault)
                if terms is None or not terms.own:
                    continue
                found.append(
                    AccessTerms(
                        record=candidate.record,
                        comment=self._filled(terms.comment, job=job, target=target.address, record=candidate.record),
                        ticket=terms.ticket,
                        approval=terms.approval and part is Part.LOGIN,
                        part=part,
                    )
                )
        return tuple(found)

    def of_run(self, vault: str, secret: str, record: str = "") -> RunComment:
        """For the whole run; `secret` as the record names it."""
        terms = self.vaults.get(vault, VaultTerms())
        told = bool(terms.comment or terms.ticket)
        if not terms.comment:
            return RunComment(f"keymuster run {self.run}, secret {secret}", terms.ticket, told)
        whom = f"all targets of secret {secret}"
        return RunComment(self._filled(terms.comment, target=whom, record=record or _ALL), terms.ticket, told)

    def for_command(self, vault: str, command: str) -> str:
        """For a command that reads the run's secrets once more; empty where the vault has no comment of its own."""
        return self._filled(self.vaults[vault].comment, target=command)

    def _filled(self, template: str, *, job: str = _ALL, target: str = _ALL, record: str = _ALL) -> str:
        return template.format(campaign=self.campaign, run=self.run, job=job, target=target, record=record)
