"""So many threads that take hosts from one queue, as libraries that block are driven."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from tests.bench.engines.measure import Host


def each_in_threads(every: Sequence[Host], count: int, log_in: Callable[[Host], None]) -> None:
    """Raises what the first login that failed has raised."""
    todo: queue.SimpleQueue[Host] = queue.SimpleQueue()
    for host in every:
        todo.put(host)
    failed: list[Exception] = []

    def work() -> None:
        while not failed:
            try:
                host = todo.get_nowait()
            except queue.Empty:
                return
            try:
                log_in(host)
            except Exception as error:  # noqa: BLE001 - whatever it is, the main thread raises it
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in failed:
        raise error
