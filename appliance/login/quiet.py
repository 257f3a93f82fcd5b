"""The protocol libraries never speak for themselves: their log records may quote what crosses the wire."""

from __future__ import annotations

import logging


def silence(*names: str) -> None:
    """Mute library loggers for the life of the process. What they know is evidence, and evidence goes by `Failure`."""
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
