"""A page of a listing, as every listing answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeVar

from targets.secret_server.rest.query import TAKE, BadQueryError, Query
from targets.secret_server.rest.wire import Json

T = TypeVar("T")


def page(records: Iterable[T], query: Query, shape: Callable[[T], Json], *, echo: Json | None = None) -> Json:
    """`shape` is called for the records shown only; with `filter.doNotCalculateTotal` no more than those are read.

    `echo`: the filter, as a v1 page repeats it.
    """
    skip, take = query.number("skip", 0), query.number("take", TAKE)
    if skip < 0 or take < 0:
        raise BadQueryError("skip" if skip < 0 else "take")
    if query.flag("filter.doNotCalculateTotal"):
        seen: Sequence[T] = list(islice(records, skip + take + 1))
        total = 0
    else:
        seen = list(records)
        total = len(seen)
    shown, has_next = seen[skip : skip + take], len(seen) > skip + take
    return {
        "filter": echo or {},
        "skip": skip,
        "take": take,
        "total": total,
        "pageCount": -(-total // take) if take else 0,
        "currentPage": skip // take + 1 if take else 1,
        "batchCount": len(shown),
        "prevSkip": max(0, skip - take),
        "nextSkip": skip + take if has_next else 0,
        "hasPrev": skip > 0,
        "hasNext": has_next,
        "records": [shape(record) for record in shown],
        "sortBy": [
            {"name": name, "direction": "desc" if descending else "asc", "priority": number}
            for number, (name, descending) in enumerate(query.sorts())
        ],
        "success": True,
        "severity": "None",
    }
