"""A load test as plain data for machines (`docs/schemas/load.schema.json`). Rates are per second."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.load.latency import Percentiles
from orchestrator.load.recorder import Interval
from orchestrator.load.result import Ending, LoadResult
from orchestrator.report.documents import SCHEMA_VERSION, Document, instant


def load_document(result: LoadResult) -> Document:
    return {
        "schema_version": SCHEMA_VERSION,
        "load": result.run,
        "campaign": result.campaign,
        "what": "vault-only" if result.vault_only else "logins",
        "rate": result.rate,
        "duration_s": result.duration,
        "began_at": instant(result.began),
        "lasted_s": round(result.lasted, 3),
        "stopped": result.stopped or None,
        "targets": result.targets,
        "capacity": result.capacity,
        "deadline_s": result.deadline,
        "arrivals": {
            "due": result.due,
            "ended": result.ended,
            "succeeded": result.succeeded,
            "errors": result.ended - result.succeeded,
            "unfinished": result.unfinished,
        },
        "throughput": {
            "offered": round(result.offered, 3),
            "achieved": round(result.achieved, 3),
            "held": result.held,
            "largest_rate_held": round(result.held_rate, 3),
        },
        "latency_ms": _percentiles(result.latency),
        "stages": [
            {"stage": stage.name, "party": stage.party.value, "latency_ms": _percentiles(stage.latency)}
            for stage in result.stages
        ],
        "errors": [_ending(one) for one in result.errors],
        "put_off": [_ending(one) for one in result.put_off],
        "bottleneck": {
            "name": result.bottleneck.name.value,
            "why": result.bottleneck.why,
            "advice": result.bottleneck.advice,
        },
        "cpu": {
            "cores": result.cpu.cores,
            "machine": round(result.cpu.machine, 3),
            "busiest_scan_process": round(result.cpu.busiest_scan, 3),
            "by_kind": {kind: round(cores, 3) for kind, cores in result.cpu.by_kind.items()},
        },
        "loop_lag_ms": {"appliances": round(result.appliance_lag_ms, 1), "orchestrator": round(result.own_lag_ms, 1)},
        "interval_s": result.interval_s,
        "intervals": _intervals(result.intervals) + _intervals(result.tail),
        "samples": [
            {
                "at_s": round(sample.at, 3),
                "out": sample.out,
                "capacity": sample.capacity,
                "waiting": sample.waiting,
                "cpu": {kind: round(cores, 3) for kind, cores in sample.cpu.items()},
            }
            for sample in result.samples
        ],
    }


def _percentiles(of: Percentiles) -> Document:
    return {
        "count": of.count,
        "mean": round(of.mean, 3),
        "p50": of.p50,
        "p95": of.p95,
        "p99": of.p99,
        "longest": of.longest,
    }


def _ending(one: Ending) -> Document:
    return {
        "reason": one.reason,
        "owner": one.owner,
        "count": one.count,
        "meaning": one.meaning,
        "advice": one.advice,
        "said": one.said or None,
    }


def _intervals(intervals: Sequence[Interval]) -> list[Document]:
    return [
        {
            "at_s": interval.begins,
            "due": interval.due,
            "served": interval.served,
            "ended": interval.ended,
            "succeeded": interval.succeeded,
            "p50_ms": round(interval.p50, 3),
            "p95_ms": round(interval.p95, 3),
            "p99_ms": round(interval.p99, 3),
        }
        for interval in intervals
    ]
