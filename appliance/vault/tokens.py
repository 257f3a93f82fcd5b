"""The life of a vault session, decided purely: when a token serves, when a new one is due, when nobody may ask.

Rules (the vault locks its user after five refusals; the user is a guarded account with budget 1):
1. A token serves until 85 % of its life, or until the vault has refused it; then a new one is due. While the new one is
   on its way, an old one that still lives serves on.
2. A refused login is never tried again in this login version: everybody gets the same refusal.
3. A submission of the password that was never answered may have counted. Two of them since the last success and within
   30 minutes end the trying until the first is 30 minutes old, and after the first one the vault must look well (a
   request without a password) before the second.
4. Any other failure is followed by a pause (1 s, doubled up to 30 s, or the vault's Retry-After), in which everybody
   gets that failure.
5. A vault that refuses the tokens that it has just given must not be asked for ever: at most three new sessions in
   60 s on account of a refused token. One that has passed its 85 % was due anyway, however short its life, and does not
   count: a request may reach the vault later than it was sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from appliance.contract import Failure, peer_text
from appliance.vault.answers import Grant
from appliance.vault.definition import Api, Hidden
from appliance.vault.failures import fail
from appliance.vault.messages import delta_seconds

REFRESH_AT = 0.85
GRACE = 5.0
"""Seconds after which one who got an ageing token asks again."""
UNANSWERED_BUDGET = 2
UNANSWERED_WINDOW = 1800.0
RENEWALS = 3
RENEWALS_WINDOW = 60.0
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_RETRY_AFTER = 1.0, 30.0, 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer for the vault's API, as it is handed to scan processes."""

    value: Hidden
    generation: int
    """Tells one token from the next; what `TokenSource` is told when the vault has refused it."""
    fresh_for: float
    """Seconds from now after which a new one should be asked for."""
    api: Api = "rest"
    """The interface that gave it, and that it is for: before 10.5 the other one did not take it."""


TokenSource = Callable[[int | None], Awaitable[Token | Failure]]
"""A token, on one condition: its generation is not the given one, which the vault has refused (None: any will do)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one who asks is told now, and whether a renewal is due; `give` is None only when `renew` is true."""

    give: Token | Failure | None
    renew: bool


@dataclass(frozen=True, slots=True)
class _Session:
    token: Hidden
    generation: int
    born: float
    life: float


class TokenBook:
    """The state behind the rules. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._session: _Session | None = None
        self._generation = 0
        self._refresh: Hidden | None = None
        self._refused: Failure | None = None
        self._last: Failure | None = None
        self._not_before = 0.0
        self._failures = 0
        self._unanswered: deque[float] = deque()
        self._renewals: deque[float] = deque()

    def step(self, now: float, stale: int | None) -> Step:
        if self._session is not None and self._session.generation == stale:
            return self._renew_stale(now)
        session = self._session
        if session is None or now >= session.born + session.life:
            barred = self._barred(now)
            return Step(barred, renew=barred is None)
        if now < (due := session.born + REFRESH_AT * session.life):
            return Step(Token(session.token, session.generation, due - now), renew=False)
        rest = min(GRACE, session.born + session.life - now)
        return Step(Token(session.token, session.generation, rest), renew=self._barred(now) is None)

    def _renew_stale(self, now: float) -> Step:
        """The vault has refused the token in hand: it is worth nothing to anybody."""
        due = self._session is not None and now >= self._session.born + REFRESH_AT * self._session.life
        while self._renewals and self._renewals[0] <= now - RENEWALS_WINDOW:
            self._renewals.popleft()
        if len(self._renewals) >= RENEWALS and not due:
            return Step(
                fail("VAULT_TOKEN_EXPIRED", "the vault refuses the sessions that it has just given"), renew=False
            )
        if barred := self._barred(now):
            return Step(barred, renew=False)
        if not due:
            self._renewals.append(now)
        self._session = None
        return Step(None, renew=True)

    def _barred(self, now: float) -> Failure | None:
        """Why nobody may ask for a session now, if so."""
        if self._refused is not None:
            return self._refused
        if self._last is None:
            return None
        if now < self._not_before:
            return self._last
        while self._unanswered and self._unanswered[0] <= now - UNANSWERED_WINDOW:
            self._unanswered.popleft()
        if len(self._unanswered) < UNANSWERED_BUDGET:
            return None
        wait = f"{self._unanswered[0] + UNANSWERED_WINDOW - now:.0f} s"
        text = f"the password was sent {UNANSWERED_BUDGET} times without a verdict: not again for {wait}"
        return replace(self._last, text=peer_text(f"{self._last.text}; {text}"))

    @property
    def is_refused(self) -> bool:
        """The vault has refused this login."""
        return self._refused is not None

    @property
    def doubtful(self) -> bool:
        """The password was sent, and no verdict came: look at the vault before it is sent again."""
        return bool(self._unanswered)

    def take_refresh(self) -> Hidden | None:
        """The refresh token, once: it is single-use."""
        refresh, self._refresh = self._refresh, None
        return refresh

    def granted(self, now: float, grant: Grant) -> None:
        self._generation += 1
        self._session = _Session(grant.access, self._generation, now, grant.life)
        self._refresh = grant.refresh
        self._last = None
        self._failures = 0
        self._not_before = 0.0
        self._unanswered.clear()

    def refused(self, failure: Failure) -> None:
        text = f"{failure.text} (not tried again, to keep the vault's user from being locked)"
        self._refused = replace(failure, text=peer_text(text))

    def failed(self, now: float, failure: Failure, *, submitted: bool) -> None:
        """No session and no refusal. `submitted`: the password may have reached the vault's judgement."""
        self._last = failure
        self._failures += 1
        if submitted:
            self._unanswered.append(now)
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        self._not_before = now + max(
            pause, min(delta_seconds(failure.facts.get("retry_after", "")), LONGEST_RETRY_AFTER)
        )
