"""What a seed stands for: the size of its world, and which faults are on in it (swarm testing: never all of them)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random

LINK_FAULTS = ("lost-question", "lost-answer", "lost-release", "lost-report", "copied-report", "late-report")
BUS_FAULTS = ("lost-job", "lost-confirmation", "lapsed-lease", "missed-advisory", "wipe")
CRASHES = ("appliance-crash", "orchestrator-crash", "power-cut")
LIFE = ("rotation", "vault-outage", "stranger", "stop")
FAULTS = LINK_FAULTS + BUS_FAULTS + CRASHES + LIFE
"""Everything that may go wrong around the campaign."""

TRUTHS = ("wrong", "closed", "silent", "slow", "dropped", "reset", "missing", "limited", "disabled", "windows")
"""What a target, or its account, may be besides good."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that is drawn before the first event. Times are virtual seconds."""

    seed: int
    targets: int
    runs: int
    second_run_at: float
    appliances: int
    capacity: int
    budget: int
    window: float
    deadline: float
    patience: float
    retries: int
    per_subnet: int
    directory_share: float
    """How many targets log in with the account that all share."""
    faults: tuple[str, ...]
    truths: tuple[str, ...]
    rate: float
    """How often a fault that is on strikes, where it may."""
    admin: bool
    """Somebody stops the shared account, its secret or the vault, and allows it again."""
    control: bool
    """Somebody pauses the runs by hand and has them resumed, and may cancel one."""
    heal_at: float
    """From then on no fault strikes any more, and everybody is alive."""

    def on(self, fault: str) -> bool:
        return fault in self.faults

    def describe(self) -> str:
        return "\n".join(f"  {name} = {value}" for name, value in asdict(self).items())


def draw(seed: int, *, targets_max: int = 7) -> Options:
    """The options of a seed."""
    rng = Random(f"options {seed}")  # noqa: S311 - repeatable on purpose
    faults_share = rng.choice((0.0, 0.15, 0.3, 0.5))
    truth_share = rng.choice((0.1, 0.3, 0.5))
    return Options(
        seed=seed,
        targets=rng.randint(2, targets_max),
        runs=rng.choice((1, 1, 2)),
        second_run_at=rng.choice((0.0, 2.0, 10.0, 30.0)),
        appliances=rng.choice((1, 2, 2)),
        capacity=rng.choice((1, 2, 4)),
        budget=rng.choice((1, 2, 2, 3)),
        window=rng.choice((60.0, 600.0, 1800.0)),
        deadline=rng.choice((8.0, 15.0, 30.0)),
        patience=rng.choice((0.0, 10.0, 60.0)),
        retries=rng.choice((0, 1, 1, 2)),
        per_subnet=rng.choice((0, 0, 0, 1, 2)),
        directory_share=rng.choice((0.3, 0.8, 1.0)),
        faults=tuple(f for f in FAULTS if rng.random() < faults_share),
        truths=tuple(t for t in TRUTHS if rng.random() < truth_share),
        rate=rng.choice((0.05, 0.2, 0.4)),
        heal_at=rng.choice((20.0, 60.0, 120.0)),
        admin=rng.random() < 0.3,  # drawn behind the others, and the next after it: what older seeds stand for stays
        control=rng.random() < 0.3,
    )
