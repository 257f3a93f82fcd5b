"""What every refusal has in common."""

from __future__ import annotations

from tests.acceptance.product import Ended


def refused(ended: Ended, *texts: str, code: int = 2) -> None:
    """On stderr, without a traceback, and nothing on stdout."""
    assert ended.code == code, ended.stderr
    assert not ended.stdout
    assert "Traceback" not in ended.stderr
    for text in texts:
        assert text in ended.stderr
