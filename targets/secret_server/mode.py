"""What the whole vault may be told to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Mode:
    read_only: bool = False
    """Nothing is written: no check-out, change, comment or request. Views go on, and their audit."""
