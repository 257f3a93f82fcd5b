"""An order to a run that nobody drives: it is carried out in the store, by whoever holds the state directory."""

from __future__ import annotations

import time

from orchestrator.cancelling import end_all
from orchestrator.cli.given import Given
from orchestrator.cli.running import give, recalled
from orchestrator.cli.storing import find_run
from orchestrator.course import Course
from orchestrator.run_state import Act, RunState, Standing, left_alone
from orchestrator.store import Store


async def order_unattended(store: Store, run_id: str, given: Given) -> Standing:
    """Nobody may begin to drive the run meanwhile. Raises BadInput."""
    record = await find_run(store, run_id)
    course = Course(record.id, left_alone(record.standing, time.time()), store.runs, time.time)
    await give(course, given)
    if course.standing.state is RunState.CANCELLING:
        counts = recalled(record).plan.counts()
        await end_all(record.id, counts, store.attempts, store.remainders, course.standing, time.time())
        await course.order(Act.CANCELLED)
    return course.standing
