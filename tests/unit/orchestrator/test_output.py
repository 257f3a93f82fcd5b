"""Where a command's data goes, when it finds no room there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orchestrator.cli.errors import BadInput
from orchestrator.cli.output import check_output, written_to
from orchestrator.cli.supporting import _write
from orchestrator.support.contents import Item


def write_in_vain(file: Path, met: Exception | None = None) -> None:
    with written_to(file, "; try again") as out:
        out.write("half")
        raise met or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_part_of_a_new_file_is_not_left(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot write .*report: No space left on device; try again"):
        write_in_vain(tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_what_was_there_before_is_not_taken_away(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("")
    with pytest.raises(BadInput, match="No space left"):
        write_in_vain(tmp_path / "report")
    assert (tmp_path / "report").exists()


def test_nor_is_one_left_whatever_ended_it(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        write_in_vain(tmp_path / "report", LookupError())
    assert not (tmp_path / "report").exists()


def test_a_link_that_leads_nowhere_yet_stays_and_the_part_does_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "report")
    with pytest.raises(BadInput, match="No space left"):
        write_in_vain(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "report").exists()


def test_a_part_that_cannot_be_removed_does_not_hide_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(_: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(BadInput, match=r"No space left on device; try again"):
        write_in_vain(tmp_path / "report")


def test_a_name_that_is_too_long_is_told_before_the_run_and_after_it(tmp_path: Path) -> None:
    file = tmp_path / ("r" * 300)
    check_output(file)  # its directory is there, and would take a shorter one
    with pytest.raises(BadInput, match="File name too long"):
        write_in_vain(file)
    with pytest.raises(BadInput, match="there is no directory"):
        check_output(file / "report")


def test_nor_is_a_part_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    with pytest.raises(BadInput, match=r"cannot write .*bundle\.zip: No space left on device"):
        _write([Item("a", "text", "about")], tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()
