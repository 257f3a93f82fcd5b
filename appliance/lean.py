"""Load a library without another one that it takes only where it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*optional: str) -> Iterator[None]:
    """As if these were not installed, for what is first imported inside; afterwards all is as it was.

    For what a library imports in `try ... except ImportError`, and we don't use. That None in `sys.modules` makes an
    import fail is Python's documented way to say so (reference 5.3.1, "The module cache"). Not beside other threads
    that import.
    """
    there = {name: sys.modules[name] for name in optional if name in sys.modules}
    sys.modules.update(dict.fromkeys(optional))  # type: ignore[arg-type]  # typeshed knows modules only
    try:
        yield
    finally:
        for name in optional:
            del sys.modules[name]
        sys.modules.update(there)
