"""What a run has cost: its time, and the processors' time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

START_CPU_S = 0.55
"""What a scan process costs before its first target: modules, bus, vault. The difference between runs of 300 and 1,000
hosts, on a core of 2.6 GHz.
"""


BACKGROUND_AT_MOST = 0.6
"""Whatever else has run: it had what nobody wanted, too, and a scheduler that is fair leaves a run about so much."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU per target, without what scan processes cost before their first."""

    orchestrator: float
    bus: float
    appliance: float
    others: float = 0.0
    """What other programs of the machine did because of it: a directory, a vault, hosts that are simulated."""
    background: float = 0.0
    """The share of the machine, from 0 to 1, that other programs have whether a run is there or not."""

    @property
    def together(self) -> float:
        """All of ours."""
        return self.orchestrator + self.bus + self.appliance


@dataclass(frozen=True, slots=True)
class CpuSpent:
    """CPU seconds so far, by whom."""

    orchestrator: float
    bus: float
    appliance: float
    """Supervisor and scan processes, the ended ones too."""
    machine: float
    """Everything that the machine has done."""

    @property
    def others(self) -> float:
        return max(0.0, self.machine - self.orchestrator - self.bus - self.appliance)

    def __sub__(self, other: CpuSpent) -> CpuSpent:
        return CpuSpent(
            self.orchestrator - other.orchestrator,
            self.bus - other.bus,
            self.appliance - other.appliance,
            self.machine - other.machine,
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """Of a run that went from its beginning to its end in one piece. Unix seconds; CPU seconds."""

    began: float
    ended: float
    processes: int = 0
    """Scan processes of its appliance; 0 where that is not ours, or others ran beside it: then `cpu` tells nothing."""
    cores: int = 0
    """Of the machine, likewise."""
    cpu: CpuSpent | None = None
    background: float = 0.0
    """The least share of the machine that other programs had in any moment of the run: while it has little to do, in
    its first moments or its last, they have little to do for it.
    """

    @property
    def duration(self) -> float:
        return max(self.ended - self.began, 1e-3)

    def per_target(self, targets: int) -> Cpu | None:
        if self.cpu is None or not targets:
            return None
        cpu = self.cpu
        start = min(START_CPU_S * self.processes, cpu.appliance / 2)
        appliance = (cpu.appliance - start) / targets
        others = self._others / targets
        return Cpu(cpu.orchestrator / targets, cpu.bus / targets, appliance, others, self._background)

    def busy(self, seconds: float) -> float:
        """How busy the scan processes or the machine were, whichever were more (1: all the time), if all that they did
        for targets was done in so many seconds.
        """
        if self.cpu is None or not self.processes or not self.cores:
            return 0.0
        start = min(START_CPU_S * self.processes, self.cpu.appliance / 2)
        scanners = (self.cpu.appliance - start) / (self.processes * seconds)
        ours = self.cpu.orchestrator + self.cpu.bus + self.cpu.appliance - start
        return max(scanners, (ours + self._others) / (self.cores * seconds) + self._background)

    @property
    def _background(self) -> float:
        return min(BACKGROUND_AT_MOST, self.background)

    @property
    def _others(self) -> float:
        """Seconds of CPU that everything else had above the background."""
        if self.cpu is None:
            return 0.0
        return max(0.0, self.cpu.others - self._background * self.cores * self.duration)

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        cpu, background = data.get("cpu"), data.get("background", 0.0)
        spent = CpuSpent(**cpu) if cpu else None
        return cls(data["began"], data["ended"], data["processes"], data["cores"], spent, background)
