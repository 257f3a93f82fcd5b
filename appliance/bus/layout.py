"""What lies on the server: the configuration of each stream and consumer, and how it is brought about."""

from __future__ import annotations

from typing import Any

from appliance.bus import Timing, subjects
from appliance.bus.link import GONE, NAME_IN_USE, NO_PLACE, OVERLAP, ApiError, Link
from appliance.logs import get_logger

_S = 1_000_000_000
_DEDUPE = 120 * _S
_MARKER_TTL = 5 * _S
_REPORTS_OUT = 4000
"""Reports of a run that may be taken and unconfirmed at a time."""
_REPORTS_KEPT = 86_400 * _S
"""What nobody has read for so long is of a run that is over, or of attempts that have been repeated since."""
REPLICAS = 3
"""One server may fail."""

log = get_logger(__name__)


def jobs_stream(zone: str) -> dict[str, Any]:
    return {
        "name": subjects.jobs_stream(zone),
        "subjects": [subjects.jobs_filter(zone)],
        "retention": "workqueue",
        "storage": "file",
        "duplicate_window": _DEDUPE,
    }


def shared_streams(timing: Timing) -> tuple[dict[str, Any], ...]:
    bucket = {
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "allow_msg_ttl": True,
        "deny_delete": True,
    }
    ttl = int(timing.beat_ttl * _S)
    return (
        {
            "name": subjects.OUTCOMES,
            "subjects": [subjects.OUTCOMES_FILTER],
            "retention": "workqueue",
            "storage": "file",
            "duplicate_window": _DEDUPE,
            "max_age": _REPORTS_KEPT,
        },
        {
            **bucket,
            "name": subjects.HEARTBEATS,
            "subjects": [subjects.HEARTBEATS_PREFIX + ">"],
            "storage": "memory",
            "max_age": ttl,
            "duplicate_window": min(ttl, _DEDUPE),
            "subject_delete_marker_ttl": _MARKER_TTL,
        },
        {**bucket, "name": subjects.RUNS, "subjects": [subjects.RUNS_PREFIX + ">"], "storage": "file"},
        {**bucket, "name": subjects.LOGINS, "subjects": [subjects.LOGINS_PREFIX + ">"], "storage": "file"},
    )


def run_consumer(zone: str, run: str, capacity: int, timing: Timing) -> dict[str, Any]:
    return {
        "name": subjects.token(run, "run"),
        "durable_name": run,
        "filter_subject": subjects.jobs(zone, run),
        "ack_policy": "explicit",
        "ack_wait": int(timing.ack_wait * _S),
        "max_deliver": 2,
        "max_ack_pending": capacity,
    }


def collector(run: str, timing: Timing) -> dict[str, Any]:
    return {
        "name": subjects.token(run, "run"),
        "durable_name": run,
        "filter_subject": subjects.reports_of(run),
        "ack_policy": "explicit",
        "ack_wait": int(timing.report_wait * _S),
        "max_ack_pending": _REPORTS_OUT,
    }


async def make_stream(link: Link, config: dict[str, Any]) -> str:
    """Make the stream, or change it to this configuration; its epoch. Raises BusError.

    In a cluster it lies on REPLICAS servers. Where there are fewer, it lies on one, until it is opened when there are
    enough: what the bus loses is dispatched anew, so that copies are for going on, not for exactness.
    """
    if not link.clustered:
        return await _made(link, {**config, "num_replicas": 1})
    try:
        return await _made(link, {**config, "num_replicas": REPLICAS})
    except ApiError as error:
        if error.code not in NO_PLACE:
            raise
        log.warning("bus.not_replicated", stream=config["name"], wanted=REPLICAS, text=str(error))
        return await _made(link, {**config, "num_replicas": 1})


async def _made(link: Link, config: dict[str, Any]) -> str:
    try:
        info = await link.api(f"STREAM.CREATE.{config['name']}", config)
    except ApiError as error:
        if error.code != NAME_IN_USE:
            raise
        info = await link.api(f"STREAM.UPDATE.{config['name']}", config)
    return str(info["created"])


async def make_consumer(link: Link, stream: str, config: dict[str, Any]) -> None:
    """Make the consumer, or change it to this configuration. Raises BusError."""
    verb = f"CONSUMER.CREATE.{stream}.{config['name']}.{config['filter_subject']}"
    await link.api(verb, {"stream_name": stream, "config": config})


async def make_shared(link: Link) -> None:
    """What all zones share. Raises BusError."""
    for config in shared_streams(link.timing):
        await make_stream(link, config)


async def make_collector(link: Link, run: str) -> None:
    """Through which the run's reports are read. Raises BusError."""
    config = collector(run, link.timing)
    try:
        await make_consumer(link, subjects.OUTCOMES, config)
    except ApiError as error:
        if error.code != OVERLAP:
            raise
        await drop_consumer(link, subjects.OUTCOMES, subjects.OLD_COLLECTOR)
        await make_consumer(link, subjects.OUTCOMES, config)


async def drop_consumer(link: Link, stream: str, name: str) -> bool:
    """Was there one? Raises BusError."""
    try:
        await link.api(f"CONSUMER.DELETE.{stream}.{name}")
    except ApiError as error:
        if error.code not in GONE:
            raise
        return False
    return True


async def purge(link: Link, stream: str, subject: str) -> None:
    """Raises BusError."""
    try:
        await link.api(f"STREAM.PURGE.{stream}", {"filter": subject})
    except ApiError as error:
        if error.code not in GONE:
            raise
