from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.forked import template, there


@pytest.fixture(scope="session", autouse=True)
def commands_are_forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where tests will run commands to their end: from before the first of them, as it stays for all."""
    if there() is not None or not any(item.get_closest_marker("slow") for item in request.session.items):
        yield
        return
    with template():
        yield
