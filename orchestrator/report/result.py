"""The RESULT of a finding: a labelled table, as Qualys renders its own (a TAB between label and value, a line a pair).

The labels are ours: no public source shows the vendor's text for a failed fetch from a vault. What is public is that
the vault's own error stands there, under the QID of the technology that it kept from logging in.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.report.escape import plain

NONE = "(none)"
"""What stands for a value that there is not, as in the vendor's tables."""


@dataclass(frozen=True, slots=True)
class Result:
    login: str
    vault_title: str
    vault_type: str
    secret_name: str
    stage: str
    """The phase in which the attempt ended."""
    cause: str
    evidence: str
    advice: str
    proven: tuple[tuple[str, str], ...] = ()
    """Of a login that stands: how it was let in, with the labels of the vendor's table of authentication methods."""

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Labels and values in their order; values as they were found."""
        return (
            ("Login", self.login),
            ("Vault title", self.vault_title),
            ("Vault type", self.vault_type),
            ("Secret name", self.secret_name),
            ("Stage", self.stage),
            ("Cause", self.cause),
            ("Evidence", self.evidence),
            ("Advice", self.advice),
            *self.proven,
        )

    def text(self) -> str:
        """The table. No value can add a line or a column: control characters are escaped."""
        return "\n".join(f"{label}\t{plain(value) or NONE}" for label, value in self.pairs())
