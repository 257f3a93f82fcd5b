"""Layer 1: one world on the kernel's heap, from the first event to the last outcome, with every promise checked."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from orchestrator.stops import Selector
from tests.simulation.coverage import Coverage
from tests.simulation.estate import STOPPABLE, Estate
from tests.simulation.kernel import Actor, Kernel, Violation
from tests.simulation.memory import Memory
from tests.simulation.model_appliance import Appliance
from tests.simulation.model_bus import ModelBus
from tests.simulation.model_orchestrator import Orchestrator
from tests.simulation.options import Options, draw
from tests.simulation.oracle import Oracle
from tests.simulation.parts import REAL, Parts

PATIENCE_S = 3600.0
"""Virtual time after the healing within which every run must be done."""
STEPS_MAX = 100_000
DOWN_S = 25.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a seed went. `broken` is empty when every promise was kept."""

    seed: int
    broken: str
    steps: int
    virtual_s: float
    trace: tuple[str, ...] = ()


class World(Actor):
    """The world itself is an actor: it lives as long as the schedule, and its disasters are its events."""

    def __init__(self, options: Options, coverage: Coverage, parts: Parts, *, traced: bool) -> None:
        super().__init__()
        self.options = options
        self.kernel = Kernel(Random(f"world {options.seed}"), traced=traced)  # noqa: S311 - repeatable on purpose
        self.oracle = Oracle(coverage)
        self.estate = Estate(options, self.kernel.rng)
        self.bus = ModelBus(self.kernel, options)
        self.memory = Memory()
        self.appliances = [
            Appliance(f"appliance-{n}", self.kernel, options, self.bus, self.estate, self.oracle, parts)
            for n in range(options.appliances)
        ]
        self.orchestrator = Orchestrator(self.kernel, options, self.bus, self.memory, self.oracle, parts, self.capacity)
        self.bus.poke_appliances = self._poke
        self.bus.poke_orchestrator = self.orchestrator.wake_collector
        self.bus.advise = self._advise
        for appliance in self.appliances:
            appliance.peers = self.appliances
            appliance.office.request = self.orchestrator.request
            appliance.office.release = self.orchestrator.release
            appliance.poll()

    def capacity(self) -> int:
        return sum(self.options.capacity for appliance in self.appliances if appliance.alive)

    def _poke(self) -> None:
        for appliance in self.appliances:
            if appliance.alive:
                appliance.poke()

    def _advise(self, message: object) -> None:
        if self.orchestrator.alive:
            self.kernel.at(self.bus.delay(), self.orchestrator, self.orchestrator.advised, message)

    # -- disasters ---------------------------------------------------------------------------------------------------

    def plan_disasters(self) -> None:
        """Each fault of the world's life that is on strikes a few times before the healing."""
        strikes = {
            "appliance-crash": self._crash_appliance,
            "orchestrator-crash": lambda: self._crash_orchestrator(power=False),
            "power-cut": lambda: self._crash_orchestrator(power=True),
            "wipe": self._wipe,
            "rotation": self._rotate,
            "vault-outage": self._vault_outage,
            "stranger": self._stranger,
            "stop": self.orchestrator.stop,
        }
        rng = self.kernel.rng
        for fault, strike in strikes.items():
            if self.options.on(fault):
                for _ in range(rng.choice((1, 1, 2, 3))):
                    self.kernel.at(rng.uniform(0.0, self.options.heal_at), self, strike)

        if self.options.admin:
            at, lasts = rng.uniform(0.0, self.options.heal_at), rng.uniform(0.5, 30.0)
            act = self._lie_in_wait if rng.random() < 0.5 else self.orchestrator.stop_use
            self.kernel.at(at, self, act, rng.choice(STOPPABLE))
            self.kernel.at(at + lasts, self, self.orchestrator.allow_use)

    def _lie_in_wait(self, selector: Selector) -> None:
        self.oracle.ambush = lambda: self.kernel.at(0.0, self, self.orchestrator.stop_use, selector)

    def _crash_appliance(self) -> None:
        victim = self.kernel.rng.choice(self.appliances)
        if victim.alive:
            victim.crash()
            self.kernel.at(self.kernel.rng.uniform(0.5, DOWN_S), self, self._raise, victim)

    def _raise(self, appliance: Appliance) -> None:
        if not appliance.alive:
            appliance.rise()
            for run in self.orchestrator.runs.values():
                self.orchestrator.wake(run)

    def _crash_orchestrator(self, *, power: bool) -> None:
        if self.orchestrator.alive:
            self.orchestrator.crash(power=power)
            self.kernel.at(self.kernel.rng.uniform(0.5, DOWN_S), self, self.orchestrator.rise)

    def _wipe(self) -> None:
        self.kernel.note("WIPE")
        self.bus.wipe()

    def _rotate(self) -> None:
        self.kernel.note("rotation")
        self.estate.rotate()
        self.kernel.at(self.kernel.rng.choice((0.0, 0.5, 5.0)), self, self.estate.tell_vault)

    def _vault_outage(self) -> None:
        until = self.kernel.now + self.kernel.rng.uniform(1.0, 40.0)
        self.kernel.note("vault down until", f"{until:.1f}")
        for appliance in self.appliances:
            appliance.vault_down_until = until

    def _stranger(self) -> None:
        """A failed logon that nobody of ours was allowed to make is reported."""
        self.orchestrator.strange(f"strange-{self.kernel.steps}")

    # -- the run of it -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises Violation."""
        options = self.options
        names = [f"run-{n + 1}" for n in range(options.runs)]
        for number, name in enumerate(names):
            begins = number * options.second_run_at
            self.kernel.at(begins, self, self.orchestrator.begin, name, self.estate.plan(name))
        self.plan_disasters()
        end = options.heal_at + DOWN_S + PATIENCE_S
        while len(self.orchestrator.done) < len(names):
            if not self.kernel.step():
                raise Violation("nothing is left to happen, and the runs are not done")
            if self.kernel.now > end or self.kernel.steps > STEPS_MAX:
                raise Violation(f"not done {self.kernel.now - options.heal_at:.0f} s after the healing")


def simulate(seed: int, coverage: Coverage, parts: Parts = REAL, *, traced: bool = False) -> Result:
    """One seed of layer 1."""
    world = World(draw(seed), coverage, parts, traced=traced)
    broken = ""
    try:
        world.run()
    except Violation as violation:
        broken = str(violation)
    kernel = world.kernel
    return Result(seed, broken, kernel.steps, kernel.now, tuple(kernel.trace or ()))
