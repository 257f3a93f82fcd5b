"""How the hosts of a group behave over time: fields of `[[hosts]]`, and what they come to for one host. Pure.

[[hosts]]
latency = "800ms"
jitter = "300ms"
flapping = { up = "20s", down = "5s" }
comes_up = "30s"
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from targets.faults import LAG_S, HostFault, Manner, Stage
from targets.parts import Part, Seconds
from targets.sshd_policy import MaxStartups


class FlappingSpec(Part):
    """Up for so long, then down for so long, and again; each host at moments of its own."""

    up: Annotated[Seconds, Field(gt=0)]
    down: Annotated[Seconds, Field(gt=0)]


def _startups(text: str) -> str:
    MaxStartups.of(text)
    return text


class SshdSpec(Part):
    """What a group's sshd does besides logging in; the defaults do nothing."""

    max_startups: Annotated[str, AfterValidator(_startups)] = ""
    """`begin:rate:full`, as in sshd_config; empty: no limit."""
    penalties: bool = False
    """PerSourcePenalties, with the durations of sshd_config's default."""
    fail_delay: Seconds = 0.0
    """pam_faildelay: a refused password is answered so much later, give or take a quarter (as pam_fail_delay(3))."""
    max_sessions: PositiveInt = 10
    """At once in one connection."""


class Conduct(Part):
    latency: Seconds = 0.0
    """So much longer a login takes than it must, spread evenly over its four stages."""
    jitter: Seconds = 0.0
    """Up to so much more or less than `latency`, as each connection draws it."""
    flapping: FlappingSpec | None = None
    """A host that is down resets connections, those too that it had."""
    comes_up: Seconds = 0.0
    """So long after the lab its hosts come up; until then they reset connections."""
    sshd: SshdSpec | None = None
    """Of unix hosts."""

    @model_validator(mode="after")
    def _jitter_within_latency(self) -> Self:
        if self.jitter > self.latency:
            raise ValueError("jitter must not be more than latency")
        return self

    @property
    def is_absent_at_times(self) -> bool:
        return self.flapping is not None or self.comes_up > 0


AT_ONCE = Conduct()
"""Always there, and never late."""


@dataclass(frozen=True, slots=True)
class Presence:
    up: bool
    lasts: float
    """Seconds until it changes."""


def presence(conduct: Conduct, seed: int, address: str, age: float) -> Presence:
    """Is a host up, so many seconds after the lab has been ready?"""
    if age < conduct.comes_up:
        return Presence(False, conduct.comes_up - age)
    if conduct.flapping is None:
        return Presence(True, inf)
    up, down = conduct.flapping.up, conduct.flapping.down
    offset = random.Random(f"{seed}|flapping|{address}").uniform(0, up + down)
    at = (age + offset) % (up + down)
    return Presence(True, up - at) if at < up else Presence(False, up + down - at)


class Pace:
    """How long one connection's host takes for each stage, beyond what it must: the group's latency, and what its
    fault adds. Each stage is late once. `draw` says which connection it is: the same one draws the same delays.
    """

    def __init__(self, conduct: Conduct, fault: HostFault, draw: str) -> None:
        self._left: dict[Stage, float] = {}
        if conduct.latency:
            jitter = random.Random(draw).uniform(-conduct.jitter, conduct.jitter) if conduct.jitter else 0.0
            self._left = dict.fromkeys(Stage, (conduct.latency + jitter) / len(Stage))
        if fault.trouble is not None and fault.trouble.manner is Manner.LAGS:
            stage = fault.trouble.stage
            self._left[stage] = self._left.get(stage, 0.0) + LAG_S

    def take(self, stage: Stage) -> float:
        """Seconds to wait at this stage; 0 when it is asked again."""
        return self._left.pop(stage, 0.0) if self._left else 0.0
