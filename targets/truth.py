"""What is true of each host: what a run's outcomes are scored against. Pure.

A host's fault is what it always does. What it does at times, as its group's conduct and the estate's timeline have it,
stands beside that in `at_times`, as names of faults that do the same: a login may have met any of them, or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from targets.estate import Estate, Host, Technology
from targets.faults import HOST_FAULTS, Port, SecretState
from targets.timeline import EventSpec
from targets.vault_spec import Where

_GOES_SILENT = ("silent", "stalled_kex", "stalled_login", "stalled_command")
_GOES_DOWN = ("reset", "reset_after_banner", "reset_at_login", "reset_at_command")
VAULT, OVERRUN, ROTATED = "vault", "overrun", "rotated"
"""Stand for whatever a vault in trouble does to a login, for a connection that MaxStartups drops, and for a password
that is changed between its reading and its use.
"""


def truth(estate: Estate, *, ports: Mapping[Technology, int], closed_port: int) -> Iterator[dict[str, Any]]:
    """A row for each host, in order; `latency` is what a login takes longer at most, in seconds."""
    vault_events = [VAULT] if any(event.vault or event.weather for event in estate.timeline.events) else []
    of_secrets: dict[str, list[str]] = {}
    for event in estate.timeline.events:
        for secret, fault in _of_secrets(event):
            of_secrets.setdefault(secret, []).append(fault)
    silences = [event.silent for event in estate.timeline.events if event.silent is not None]
    for host in estate.hosts.values():
        at_times = [*_by_conduct(host), *vault_events, *of_secrets.get(host.secret, ())]
        if silences and any(ip_address(host.address) in network for network in silences):
            at_times += _GOES_SILENT
        yield {
            "address": host.address,
            "port": closed_port if host.fault.port is Port.CLOSED else ports[host.technology],
            "technology": host.technology,
            "fault": host.fault.name,
            "user": host.user,
            "secret": host.secret,
            "named_by": host.named_by,
            "account": host.account,
            "login": host.login,
            "root": host.root,
            "root_secret": host.root_secret,
            "latency": host.conduct.latency + host.conduct.jitter,
            "at_times": list(dict.fromkeys(at_times)),
        }


def _by_conduct(host: Host) -> Iterator[str]:
    if host.conduct.is_absent_at_times:
        yield from _GOES_DOWN
    sshd = host.conduct.sshd
    if sshd is not None and sshd.max_startups:
        yield OVERRUN
    if sshd is not None and sshd.penalties:
        yield "penalty"


def _of_secrets(event: EventSpec) -> Iterator[tuple[str, str]]:
    """Secrets, and what their hosts do for it."""
    if event.rotate:
        yield event.rotate, "wrong_password"
        yield event.rotate, ROTATED
        if event.where is Where.BOTH:
            yield event.rotate, "none"  # whatever was wrong with the secret before
    for secret, state in event.secrets.items():
        if state is not SecretState.READABLE:
            yield secret, next(f.name for f in HOST_FAULTS.values() if f.secret is state)
