"""The sentences that the table and the page share."""

from __future__ import annotations

from orchestrator.load.result import LoadResult


def duration(ms: float) -> str:
    """Milliseconds as people write them: `41 ms`, `1.24 s`."""
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.3g} s"


def rate(per_second: float) -> str:
    return f"{per_second:.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"


def headline(result: LoadResult) -> str:
    what = "vault reads" if result.vault_only else "logins"
    if result.held:
        return f"All of {result.rate} was held: {what}, {result.lasted:.0f} s"
    held = f"; {rate(result.held_rate)} was" if result.held_rate else ""
    return f"{result.rate} of {what} was not held{held}"


def numbers(result: LoadResult) -> tuple[tuple[str, str, str], ...]:
    """Figure, name and explanation."""
    errors = result.ended - result.succeeded
    share = errors / result.ended if result.ended else 0.0
    return (
        (rate(result.offered), "Offered", f"{result.due:,} arrivals in {result.lasted:.1f} s"),
        (rate(result.achieved), "Achieved", f"{result.ended:,} have ended, {result.unfinished:,} have not"),
        (rate(result.held_rate), "Largest rate held", "99 % begun within 1 s of their time, and ended in theirs"),
        (duration(result.latency.p99), "p99 latency", f"p50 {duration(result.latency.p50)}, from when it was due"),
        (f"{share:.1%}", "Errors", f"{errors:,} of {result.ended:,} that ended"),
    )
