"""What goes wrong with a fleet's keys."""

from __future__ import annotations


class FleetError(Exception):
    """The fleet's keys cannot be had, or cannot be used; the text says what to do."""
