"""What a run has cost: its time, and the processors' time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of CPU per target."""

    orchestrator: float
    bus: float
    appliance: float
    others: float = 0.0
    """What else ran on the machine meanwhile."""

    @property
    def together(self) -> float:
        return self.orchestrator + self.bus + self.appliance + self.others


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU seconds so far, by whom."""

    orchestrator: float
    bus: float
    appliance: float
    """Supervisor and scan processes, the ended ones too."""
    machine: float
    """Everything that the machine has done."""

    def __sub__(self, other: CpuUse) -> CpuUse:
        return CpuUse(
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
    cpu: CpuUse | None = None

    @property
    def duration(self) -> float:
        return max(self.ended - self.began, 1e-3)

    @property
    def appliance_share(self) -> float:
        """How much of their time the scan processes were at work, from 0 to 1."""
        return self.cpu.appliance / (self.processes * self.duration) if self.cpu and self.processes else 0.0

    @property
    def machine_share(self) -> float:
        """How much of its time the machine was at work, from 0 to 1."""
        return self.cpu.machine / (self.cores * self.duration) if self.cpu and self.cores else 0.0

    def per_target(self, targets: int) -> Cpu | None:
        if self.cpu is None:
            return None
        ours = self.cpu.orchestrator + self.cpu.bus + self.cpu.appliance
        return Cpu(
            self.cpu.orchestrator / targets,
            self.cpu.bus / targets,
            self.cpu.appliance / targets,
            max(0.0, self.cpu.machine - ours) / targets,
        )

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        cpu = data.get("cpu")
        return cls(data["began"], data["ended"], data["processes"], data["cores"], CpuUse(**cpu) if cpu else None)
