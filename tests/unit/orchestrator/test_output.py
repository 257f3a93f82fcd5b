"""Where a command's data goes, when it finds no room there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orchestrator.cli.errors import BadInput
from orchestrator.cli.output import written_to
from orchestrator.cli.supporting import _write
from orchestrator.support.contents import Item


def write_in_vain(file: Path) -> None:
    with written_to(file, "; try again") as out:
        out.write("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_part_of_a_new_file_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot write .*report: No space left on device; try again"):
        write_in_vain(tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_what_was_there_before_is_not_taken_away(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(BadInput, match="No space left"):
        write_in_vain(tmp_path / "report")
    assert (tmp_path / "report").exists()


def test_nor_is_a_part_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    with pytest.raises(BadInput, match=r"cannot write .*bundle\.zip: No space left on device"):
        _write([Item("a", "text", "about")], tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()
