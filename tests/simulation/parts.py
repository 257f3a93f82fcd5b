"""The pure parts under test, as one bundle that planted bugs can replace piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.contract import PermitRequest
from orchestrator import collect, reconcile
from orchestrator.attempts import OpenAttempt
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.pacing import Pacer
from orchestrator.permits import is_genuine


@dataclass(frozen=True, slots=True)
class Parts:
    pacer: Callable[[], Pacer] = Pacer
    dispatcher: type[Dispatcher] = Dispatcher
    decide: Callable[..., collect.Decision] = collect.decide
    lost: Callable[[OpenAttempt, Pace, float, str], collect.Decision] = lambda attempt, pace, now, text: collect.lost(
        attempt, pace, now=now, text=text
    )
    reconcile: Callable[..., tuple[tuple[reconcile.Lost, ...], dict[tuple[str, int], float]]] = reconcile.reconcile
    genuine: Callable[[PermitRequest, OpenAttempt | None], bool] = is_genuine
    early_release: bool = False
    """The appliance gives its permit back before it has the verdict."""
    withdraw: bool = True
    """The office looks for a stop once more before it tells a grant."""
    grant_first: bool = False
    """The office answers before the ledger is durable."""


REAL = Parts()
