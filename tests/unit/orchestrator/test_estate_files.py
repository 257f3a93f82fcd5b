"""What a lab leaves behind, damaged: told with file and line, whatever stands in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.errors import BadInput
from orchestrator.cli.estate_files import read_counts, read_truth
from orchestrator.logons import HostCount

ROW = {
    "address": "127.0.0.1",
    "technology": "unix",
    "fault": "none",
    "login": "password",
    "user": "u",
    "account": "local",
}
DAMAGED: tuple[Any, ...] = ([], {}, 3, None)
NO_INSTANT: tuple[Any, ...] = (float("nan"), float("inf"), 1e300, -1, "x", [])
COUNT = {"ok": 1, "failed": 2, "lockouts": 0}
LEFT: dict[str, Any] = {"url": None, "since": 1.0, "until": 2.0, "accounts": {"U@local": COUNT}}


def test_a_row_may_hold_what_some_take_for_an_end_of_line(tmp_path: Path) -> None:
    file = tmp_path / "truth.ndjson"
    row = {**ROW, "user": "a\u2028b\x85"}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_truth(file) == [row]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "[" * 100_000,
        "1" * 5000,
        *(json.dumps({**ROW, name: value}) for name in ROW for value in DAMAGED),
        json.dumps({name: value for name, value in ROW.items() if name != "login"}),
    ],
)
def test_a_row_that_is_none_is_told_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "truth.ndjson"
    file.write_text(json.dumps(ROW) + "\n" + line + "\n" + json.dumps(ROW) + "\n")
    with pytest.raises(BadInput, match=r"truth.ndjson:2: is no row"):
        read_truth(file)


def test_counters_that_a_lab_left(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(LEFT))
    counts = anyio.run(read_counts, tmp_path / "truth.ndjson")
    assert not isinstance(counts, str)
    assert counts.accounts == {("local", "u"): HostCount(1, 2, 0)}


@pytest.mark.parametrize(
    "left",
    [
        "",
        "[]",
        "[" * 100_000,
        *(json.dumps({**LEFT, "since": value}) for value in (None, *NO_INSTANT)),
        *(json.dumps({**LEFT, "until": value}) for value in NO_INSTANT),
        *(
            json.dumps({**LEFT, "accounts": value})
            for value in (None, [1], {"a": 1}, {"a": {**COUNT, "ok": float("inf")}})
        ),
    ],
)
def test_counters_that_no_lab_has_left(tmp_path: Path, left: str) -> None:
    (tmp_path / "metrics.json").write_text(left)
    with pytest.raises(BadInput, match="is not what a lab writes"):
        anyio.run(read_counts, tmp_path / "truth.ndjson")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.sampled_from([*LEFT, *ROW]), s),
    )
)
def test_whatever_json_it_is(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    directory = tmp_path_factory.mktemp("lab")
    (directory / "metrics.json").write_text(json.dumps(document))
    (directory / "truth.ndjson").write_text(json.dumps(document))
    with pytest.raises(BadInput):
        read_truth(directory / "truth.ndjson")
    try:
        counts = anyio.run(read_counts, directory / "truth.ndjson")
    except BadInput:
        return
    assert isinstance(counts, str) or counts.since >= 0
