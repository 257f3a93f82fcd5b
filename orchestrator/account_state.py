"""What a pacer knows of one account. The rules that it names (R1 to R13) are those of `pacing`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failed logons an account may suffer from us within a window."""

    failures: int = 2
    window_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Breaker:
    cause: str
    opened_at: float
    run: str


@dataclass(slots=True)
class Grant:
    holder: str
    expires_at: float
    logons: int = 1
    """As so many a failure counts (R11)."""
    overtaken: bool = False
    """The account has had a failure or a breaker since."""
    inherited: bool = False
    """Another pacer has granted it."""


Key = tuple[str, str, int]
"""Run, job and attempt."""


@dataclass(slots=True)
class AccountState:
    """All that is known of an account, but for what is written of it."""

    outstanding: dict[Key, Grant] = field(default_factory=dict)
    """The permits that are out."""
    failures: list[float] = field(default_factory=list)
    proven_for: dict[str, None] = field(default_factory=dict)
    breaker: Breaker | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)
    """By run (R13)."""

    @property
    def idle(self) -> bool:
        """Nothing is out, failed or broken."""
        return not self.outstanding and not self.failures and self.breaker is None

    @property
    def risked(self) -> int:
        """The failed logons that the permits may come to which are out (R11)."""
        return sum(grant.logons for grant in self.outstanding.values())

    def budget(self, run: str, given: Budget) -> Budget:
        """Of all runs (R13)."""
        self.budgets[run] = given
        if len(self.budgets) == 1:
            return given
        return Budget(
            min(one.failures for one in self.budgets.values()), max(one.window_s for one in self.budgets.values())
        )

    def fail(self, at: float) -> None:
        self.failures.append(at)
        self.proven_for.clear()
        self._overtake()

    def open(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self._overtake()

    def prove(self, run: str, now: float, *, by_key: bool) -> None:
        """The account has been let in (R5)."""
        self.proven_for[run] = None
        if not by_key:
            self.failures = [at for at in self.failures if at > now]  # R8: those may still be under way
            self.breaker = None

    def _overtake(self) -> None:
        for grant in self.outstanding.values():
            grant.overtaken = True
