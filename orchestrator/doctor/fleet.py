"""An appliance that is on the bus: does it speak our contract, and does its clock go with ours?"""

from __future__ import annotations

from appliance.contract import VERSION, Heartbeat
from orchestrator.appliance_clocks import are_apart, told
from orchestrator.doctor.finding import Finding, fine, warn


def judged(beat: Heartbeat, offset: float | None) -> Finding:
    """`offset`: seconds by which its clock is ahead of ours; None where that is not known."""
    check, release = f"appliance {beat.appliance}", f"release {beat.release or 'unknown'}, zone {beat.zone}"
    clock = told(offset) or "unknown"
    if are_apart(offset):
        return warn(check, f"{release}; its clock is {clock}", "set both clocks by the same source (chrony)")
    if beat.reads[1] < VERSION:
        why = f"{release}; it reads contract version {beat.reads[1]}, and the newest is {VERSION}"
        return warn(check, why, "upgrade it: a run whose jobs need more gives it none")
    return fine(check, f"{release}; contract {beat.reads[0]} to {beat.reads[1]}; its clock: {clock}")
