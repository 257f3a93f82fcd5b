"""From values that are read when they are asked for to a page in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

import anyio
import anyio.to_thread
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector

from appliance import metric_names as names
from appliance.histogram import Histogram
from appliance.listener import Page
from appliance.metric_names import PREFIX, Kind, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
VERSION = version("keymuster")
LAG_S = 30.0
"""The time for which the worst lag of an event loop is told."""


Sample = tuple[Sequence[str], float | Histogram]
"""The labels' values, and the value."""


def family(metric: Metric, samples: Iterable[Sample]) -> Family:
    name, labels = PREFIX + metric.name, metric.labels
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, metric.help, labels=labels)
        for values, value in samples:
            if isinstance(value, Histogram):
                histogram.add_metric(values, value.cumulative(), value.total)
        return histogram
    if metric.kind is Kind.INFO:
        info = InfoMetricFamily(name, metric.help, labels=())
        for values, _ in samples:
            info.add_metric((), dict(zip(labels, values, strict=True)))
        return info
    made = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(name, metric.help, labels=labels)
    for values, value in samples:
        if not isinstance(value, Histogram):
            made.add_metric(values, value)
    return made


def both(lag: Callable[[float], float], *, connected: bool) -> Iterable[Family]:
    """What orchestrator and appliance tell alike."""
    yield family(names.BUILD, [((VERSION,), 1.0)])
    yield family(names.LOOP_LAG, [((), lag(LAG_S))])
    yield family(names.CONNECTED, [((), float(connected))])


class _Given(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Family]:
        return self._families


async def metrics_page(families: Iterable[Family]) -> Page:
    """These, and the process's own. Made in a thread: what is read of the process lies in files."""
    return await anyio.to_thread.run_sync(_page, list(families))


def _page(families: Sequence[Family]) -> Page:
    registry = CollectorRegistry()
    registry.register(_Given(families))
    ProcessCollector(registry=registry)
    return Page(generate_latest(registry).decode(), content_type=CONTENT_TYPE)
