"""What every table of a campaign is: frozen, and without keys that it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo

STORED = "stored"
"""In the context of a validation: see `is_stored`."""


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def is_stored(info: ValidationInfo) -> bool:
    """Is it a campaign that a run was begun with? An older release may have taken what this one refuses in a file."""
    return bool(info.context and info.context.get(STORED))
