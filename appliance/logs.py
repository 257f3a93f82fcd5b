"""Log lines on stderr: JSON objects or, for a terminal, lines of text. Every process of ours sets them up here, and
every module has its logger from here.

What a line is about is bound once, and is in every line from then on: `appliance` and `run` in a scan process, `job` in
one scan, `run` and `campaign` where an orchestrator executes one.

The records of libraries (logging) are folded in from WARNING on, without what could quote a secret: of a text its first
line as its author wrote it, without the values that were put in; of an exception its class alone.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

from appliance.lean import without

with without("rich", "colorama"):  # for tracebacks, which no line of ours has, and a third of its loading
    import structlog
    from structlog import get_logger
    from structlog.contextvars import bind_contextvars, bound_contextvars

__all__ = ["ENVIRONMENT", "Folding", "LogFormat", "bind_contextvars", "bound_contextvars", "get_logger", "set_up"]

ENVIRONMENT = "KEYMUSTER_LOG_FORMAT"
"""By this name children learn what was asked for."""
LONGEST = 200
SAYS_NOTHING = frozenset({"returning true from eof_received() has no effect when using ssl"})
"""Of the event loop, whenever a TLS connection of the NATS client ends, which is ended as it should be."""


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


def set_up(form: LogFormat | None = None, level: int = logging.INFO, *, default: LogFormat | None = None) -> None:
    """For the process and, where a form is asked for, the children that it starts. None: as the environment says, else
    the default, else console lines on a terminal and JSON elsewhere.
    """
    if form is not None:
        os.environ[ENVIRONMENT] = form.value
    json = _told(default) is LogFormat.JSON
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _class_alone,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, Folding)]
    root.addHandler(Folding(max(level, logging.WARNING)))


def _told(default: LogFormat | None) -> LogFormat:
    said = os.environ.get(ENVIRONMENT, "")
    if said in set(LogFormat):
        return LogFormat(said)
    if default is not None:
        return default
    return LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON


def _class_alone(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of an exception no text and no traceback."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else sys.exc_info()[1] if info is True else info
    if isinstance(error, BaseException):
        event.setdefault("error", type(error).__name__)
    return event


class Folding(logging.Handler):
    """Hands the standard library's log records on."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in SAYS_NOTHING:
            return
        lines = str(record.msg).splitlines() or [""]
        more = {"error": record.exc_info[0].__name__} if record.exc_info and record.exc_info[0] else {}
        structlog.get_logger().log(record.levelno, lines[0][:LONGEST], logger=record.name, **more)
