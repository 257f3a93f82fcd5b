"""A vault's clock against an appliance's, by the Date of its answers."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.doctor.finding import Finding, fine, warn

FAR_S = 30.0
"""A one-time code is good for 30 s; Kerberos allows five minutes."""


def judged(title: str, facts: Mapping[str, str]) -> Finding | None:
    """None where the vault does not tell its time."""
    if "offset" not in facts:
        return None
    offset, error = float(facts["offset"]), float(facts.get("offset_error", 0))
    text = f"the clock of {title!r} is {abs(offset):.1f} s {'ahead of' if offset > 0 else 'behind'} the appliance's"
    if abs(offset) - error > FAR_S:
        return warn("vault clock", text, "set both clocks by the same source (chrony, w32time)")
    return fine("vault clock", text)
