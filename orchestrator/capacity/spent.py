"""What a run has cost: its time, and the processors' time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

START_CPU_S = 0.55
"""What a scan process costs before its first target: modules, bus, vault. The difference between runs of 300 and 1,000
hosts, on a core of 2.6 GHz.
"""


OTHERS_AT_MOST = 0.6
"""Whatever else has run: it had what nobody wanted, too, and a scheduler that is fair leaves a run about so much."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU per target, without what scan processes cost before their first."""

    orchestrator: float
    bus: float
    appliance: float
    others: float = 0.0
    """The share of the machine that everything else had, from 0 to 1."""

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

    @property
    def duration(self) -> float:
        return max(self.ended - self.began, 1e-3)

    def per_target(self, targets: int) -> Cpu | None:
        if self.cpu is None or not targets:
            return None
        cpu, others = self.cpu, self._others
        start = min(START_CPU_S * self.processes, cpu.appliance / 2)
        return Cpu(cpu.orchestrator / targets, cpu.bus / targets, (cpu.appliance - start) / targets, others)

    def busy(self, seconds: float) -> float:
        """How busy the scan processes or the machine were, whichever were more (1: all the time), if all that they did
        for targets was done in so many seconds.
        """
        if self.cpu is None or not self.processes or not self.cores:
            return 0.0
        start = min(START_CPU_S * self.processes, self.cpu.appliance / 2)
        scanners = (self.cpu.appliance - start) / (self.processes * seconds)
        ours = (self.cpu.orchestrator + self.cpu.bus + self.cpu.appliance - start) / (self.cores * seconds)
        return max(scanners, ours + self._others)

    @property
    def _others(self) -> float:
        """The share of the machine that everything else had."""
        if self.cpu is None or not self.cores:
            return 0.0
        ours = self.cpu.orchestrator + self.cpu.bus + self.cpu.appliance
        return min(OTHERS_AT_MOST, max(0.0, (self.cpu.machine - ours) / (self.cores * self.duration)))

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        cpu = data.get("cpu")
        return cls(data["began"], data["ended"], data["processes"], data["cores"], CpuSpent(**cpu) if cpu else None)
