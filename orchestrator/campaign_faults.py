"""The error that says what is wrong with a campaign file."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.toml_faults import Fault


class CampaignError(ValueError):
    """A campaign file that cannot be used; its text has one line per fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))
