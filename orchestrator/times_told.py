"""What a campaign's windows and schedule come to, in words: for `plan` and `config check`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from orchestrator.campaign_model import Campaign
from orchestrator.schedule import fires
from orchestrator.windows import Open, phase_at

SHOWN = 3


def times_told(campaign: Campaign, now: float) -> Iterator[str]:
    phase = phase_at(campaign.windows, now)
    if isinstance(phase, Open):
        zone = campaign.windows[0].time_zone
        until = "without end" if phase.until == float("inf") else f"new attempts until {_at(phase.until, zone)}"
        yield f"windows: open now, {until}"
    elif phase is not None and phase.for_good:
        yield "windows: all are over, and no run is begun; name one to come, or leave them out"
    elif phase is not None:
        yield f"windows: closed now; a run {phase.text}"
    if campaign.schedule is not None:
        zone = campaign.schedule.time_zone
        coming = [_at(at, zone) for at in islice(fires(campaign.schedule, now), SHOWN)]
        yield f"schedule: next at {', '.join(coming)}, ..."


def _at(moment: float, zone: str) -> str:
    return f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}"
