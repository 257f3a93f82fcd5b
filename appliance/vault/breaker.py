"""When a vault is left alone, and who looks whether it is back. Pure; time and jitter come from outside.

Rules:
1. What counts is the vault as a whole: a request that could not be sent, was not answered, or was answered with 5xx is
   a failure. Any other answer is a sign of life and ends the row, refusals of a secret or of a token included.
2. OPEN_AFTER failures in a row raise a doubt, and no more: a few secrets that the vault chokes on look the same, and
   must not keep all others waiting. The next caller probes, with a request that needs no password; the others go on.
   An answer below 500, and not 429, ends the doubt and the row; anything else opens the breaker. A probe that is given
   up without a verdict leaves the turn to the next caller.
3. While the breaker is open nobody asks: all get the last failure at once. After a pause (FIRST_PAUSE, doubled with
   every opening up to LONGEST_PAUSE, each give or take a fifth) one caller probes again, while the others still wait.
4. Only a sign of life in answer to a request proper puts the pause back to its first length: a vault that is up for the
   length of a probe is not well yet.
5. A vault that asks for a pause (Retry-After) of more than LONGEST_WAIT is left alone that long without a probe, for
   LONGEST_REST at most. Shorter ones are waited for by whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from appliance.contract import Failure
from appliance.vault.failures import fail

OPEN_AFTER = 5
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LONGEST_WAIT = 5.0
"""Seconds that are waited in place, with a target connected: a scan keeps none waiting for longer."""
LONGEST_REST = 300.0

AWAY = "vault_away"
"""The fact by which a failure says that the vault as a whole is left alone: the seconds until it is worth asking."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The caller may ask the vault for a sign of life, and must say what became of it."""


class Breaker:
    """`jitter` is a factor about 1, asked for once per opening."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._row = 0
        self._last = fail("VAULT_UNREACHABLE")
        self._open = self._doubted = False
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self._probing = False

    @property
    def is_calm(self) -> bool:
        """Neither open nor in doubt: it is worth asking twice."""
        return not self._open and not self._doubted

    def is_clear(self, now: float) -> bool:
        return now >= self._until and not self._open and (self._probing or not self._doubted)

    def admit(self, now: float) -> Probe | Failure | None:
        """May a request be sent? None: yes. A Failure carries the fact AWAY."""
        if self.is_clear(now):
            return None
        if now >= self._until and not self._probing:
            self._probing = True
            return Probe()
        return self._away(now)

    def alive(self) -> None:
        """An answer to a request proper that is no failure of the vault."""
        self._row = 0
        self._doubted = False
        self._pause = FIRST_PAUSE

    def failed(self, failure: Failure) -> None:
        self._last = failure
        self._row += 1
        self._doubted = self._row >= OPEN_AFTER and not self._open

    def asked_to_wait(self, now: float, seconds: float, failure: Failure) -> None:
        """The vault's own Retry-After."""
        if seconds > LONGEST_WAIT:
            self._last = failure
            self._until = max(self._until, now + min(seconds, LONGEST_REST))

    def probed(self, now: float, failure: Failure | None) -> Failure | None:
        """The probe's verdict, None for a sign of life; what the one who has probed is told."""
        self._probing = False
        if failure is None:
            self._open = self._doubted = False
            self._row = 0
            return None
        self._last = failure
        self._open_for_now(now)
        return self._away(now)

    def probe_given_up(self) -> None:
        self._probing = False

    def _away(self, now: float) -> Failure:
        wait = max(self._until - now, FIRST_PAUSE)
        return replace(self._last, facts={**self._last.facts, AWAY: f"{wait:.1f}"})

    def _open_for_now(self, now: float) -> None:
        self._open, self._doubted = True, False
        self._until = max(self._until, now + self._pause * self._jitter())
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def seconds_away(failure: Failure) -> float | None:
    """How long the vault is left alone, where this failure says that it is."""
    said = failure.facts.get(AWAY)
    return None if said is None else float(said)
