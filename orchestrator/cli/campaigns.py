"""A command's campaign file, read; what is wrong with it ends the command."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.arguments import From

if TYPE_CHECKING:
    from orchestrator.campaign_model import Campaign


def load(path: Path, lists: From | None = None) -> Campaign:
    from orchestrator.campaign import load_campaign
    from orchestrator.campaign_faults import CampaignError
    from orchestrator.cli import ending
    from orchestrator.cli.errors import CommandError

    try:
        campaign = load_campaign(path)
        if lists is None or not lists.files:
            return campaign
        from orchestrator.cli.targeting import with_targets

        return with_targets(campaign, lists)
    except (CampaignError, CommandError) as error:
        raise typer.Exit(ending.told(error)) from None
