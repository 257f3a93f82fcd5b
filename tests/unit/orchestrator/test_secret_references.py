"""Secrets by reference: what cannot be read is told with the vault and the place, never with a value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.campaign_model import PasswordReference
from orchestrator.cli.errors import BadInput
from orchestrator.cli.secret_references import read_secret

NAME = "KEYMUSTER_TEST_PASSWORD"


def read(**reference: str) -> str:
    return read_secret(PasswordReference.model_validate(reference), "V", "password")


def test_what_is_no_text_is_refused_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of the environment that are no UTF-8 are kept as surrogates, which no pipe, bus or vault takes."""
    monkeypatch.setenv(NAME, os.fsdecode(b"hunter2\xe9"))
    with pytest.raises(BadInput, match=f"^vault 'V': cannot read {NAME} in the environment: not UTF-8$"):
        read(env=NAME)
    assert NAME not in os.environ
    (tmp_path / "password").write_bytes(b"hunter2\xe9")
    with pytest.raises(BadInput, match=r"^vault 'V': cannot read the password file .*: not UTF-8$"):
        read(file=str(tmp_path / "password"))


def test_text_beyond_ascii_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "h\u00fcnter2\U0001f511")
    assert read(env=NAME) == "h\u00fcnter2\U0001f511"
    with pytest.raises(BadInput, match=f"the environment has no {NAME}"):
        read(env=NAME)
