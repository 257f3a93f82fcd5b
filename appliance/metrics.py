"""A stand-alone appliance's metrics, read from its supervisor when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import Metric as Family

from appliance import metric_names as names
from appliance.exposition import both, family
from appliance.supervisor import Supervisor


def families(supervisor: Supervisor, lag: Callable[[float], float]) -> Iterator[Family]:
    seen = supervisor.seen()
    yield from both(lag, connected=supervisor.bus.connected)
    yield family(names.SCANNERS, [((), seen.scanners)])
    yield family(names.HERE, [((), seen.in_flight)])
    yield family(names.ROOM, [((), supervisor.identity.capacity)])
    yield family(names.DRAINING, [((), float(supervisor.draining.is_set() or supervisor.drained))])
    yield family(names.OPEN_RUNS, [((), seen.runs)])
    yield family(names.WORST, [((), seen.loop_lag_ms / 1000)])
    yield family(names.LOGIN_REFUSED, [((title,), float(state.refused)) for title, state in seen.vaults.items()])
    yield family(names.LEFT_ALONE, [((title,), float(state.away)) for title, state in seen.vaults.items()])
