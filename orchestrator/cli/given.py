"""An order to a run, as it goes from a command to whoever has the run in hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.run_state import Act


@dataclass(frozen=True, slots=True)
class Given:
    """An order to a run, and who gave it."""

    act: Act | None = None
    """None: a new run begins by itself."""
    by: str = ""
    why: str = ""

    def data(self) -> dict[str, Any]:
        return {"act": self.act.value if self.act is not None else None, "by": self.by, "why": self.why}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Given:
        return cls(Act(data["act"]) if data["act"] is not None else None, str(data["by"]), str(data["why"]))


BY_ITSELF = Given()
