"""A load test for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

from orchestrator.load.result import Ending, LoadResult
from orchestrator.report.load.words import duration, headline, numbers
from orchestrator.report.tables import BAD, CODE, GOOD, FittedTable, cell, column, say


def write_table(result: LoadResult, out: TextIO) -> None:
    console = Console(file=out)
    say(console, f"Load test {result.run} of {result.campaign}: {result.targets:,} targets, capacity {result.capacity}")
    if result.stopped:
        say(console, f"Stopped: {result.stopped}.", BAD)
    say(console, headline(result), GOOD if result.held else BAD)
    console.print(_numbers(result))
    console.print(_stages(result))
    for title, endings in (("Errors by reason", result.errors), ("Put off, and tried again", result.put_off)):
        if endings:
            console.print(_endings(title, endings))
    found = result.bottleneck
    say(console, f"Bottleneck: {found.name.value} ({found.why}). {found.advice}")
    if result.cpu.by_kind:
        used = ", ".join(f"{kind} {cores:.2f}" for kind, cores in result.cpu.by_kind.items())
        say(console, f"CPU, in cores of {result.cpu.cores}: {used}; this machine {result.cpu.machine:.0%} in use")
    say(
        console,
        f"Loop lag: appliances {result.appliance_lag_ms:.0f} ms, orchestrator {result.own_lag_ms:.0f} ms "
        "(the worst of a second, at the median)",
    )


def _numbers(result: LoadResult) -> FittedTable:
    table = FittedTable("", column("Figure"), column("Value", right=True), column("Of"))
    for value, name, of in numbers(result):
        table.add_row(cell(name), cell(value), cell(of))
    return table


def _stages(result: LoadResult) -> FittedTable:
    heads = [column(name, right=True) for name in ("Arrivals", "p50", "p95", "p99", "Longest")]
    table = FittedTable("Latency by stage", column("Stage"), column("Party"), *heads)
    rows = [*((stage.name, stage.party.value, stage.latency) for stage in result.stages), ("total", "", result.latency)]
    for name, party, of in rows:
        times = (duration(ms) for ms in (of.p50, of.p95, of.p99, of.longest))
        table.add_row(*map(cell, (name, party, f"{of.count:,}", *times)))
    return table


def _endings(title: str, endings: Sequence[Ending]) -> FittedTable:
    columns = column("Reason", keep=CODE), column("Number", right=True), column("Owner"), column("What to do")
    table = FittedTable(title, *columns)
    for one in endings:
        table.add_row(*map(cell, (one.reason, f"{one.count:,}", one.owner, one.advice)))
    return table
