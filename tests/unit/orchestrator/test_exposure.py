"""Which vaults are called out, and which are as safe as they can be."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.exposure import exposures_of


@pytest.mark.parametrize(
    ("url", "tls", "word"),
    [
        ("https://vault.example", {}, ""),
        ("https://vault.example", {"verify": True}, ""),
        ("https://vault.example", {"verify": False}, "without checking its certificate"),
        ("https://vault.example", {"verify": False, "pin": ["sha256//x"]}, ""),
        ("http://vault.example", {"plain_http": True}, "without TLS"),
        ("HTTP://vault.example", {"plain_http": True}, "without TLS"),
        ("http://10.0.0.1", {}, "without TLS"),
        ("http://127.0.0.2:8080", {}, ""),
        ("http://[::1]:1", {}, ""),
        ("http://localhost", {}, ""),
        ("http://localhost.example", {}, "without TLS"),
        ("http://[bad", {}, "without TLS"),
    ],
)
def test_what_is_called_out(url: str, tls: dict[str, Any], word: str) -> None:
    found = exposures_of({"campaign": {"vaults": [{"title": "V", "url": url, "tls": tls}]}})
    assert list(found) == (["V"] if word else [])
    assert word in "".join(found.values())


def test_a_run_without_a_snapshot_has_none() -> None:
    assert exposures_of({}) == {}
