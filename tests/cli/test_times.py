"""Windows and schedules in campaign files: what `config check` and `plan` say of them, and of those that are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.product import Product
from tests.cli.conftest import RECORD, TARGETS, VAULT, Write, line_of
from tests.cli.refusals import here, refused

CONTROL = Path(__file__).parents[2] / "docs/control.md"
NIGHT = """
[[windows]]
start = "22:00"
stop_new = "05:30"
end = 06:00:00
days = ["mon", "fri"]
time_zone = "Europe/Berlin"
[[windows]]
start = 2027-01-31T10:00:00
time_zone = "UTC"
"""
CRON = """
[schedule]
cron = "0 22 * * mon-fri"
time_zone = "Europe/Berlin"
overlap = "queue"
"""


def test_what_they_come_to(write: Write, keymuster: Product) -> None:
    file = write(VAULT, RECORD, TARGETS, NIGHT, CRON)
    checked = here("config", "check", file)
    assert checked.code == 0, checked.stderr
    assert "\nwindows: " in checked.stderr
    assert "\nschedule: next at " in checked.stderr
    assert checked.stderr.count(" 22:00 CE") >= 3
    planned = keymuster("plan", file)
    assert planned.code == 0, planned.stderr
    assert "Note: windows: " in planned.stdout
    notes = keymuster("plan", file, "--json").document["notes"]
    assert [note.split(":")[0] for note in notes] == ["windows", "schedule"]


def test_what_the_documents_show_can_be_written(write: Write) -> None:
    shown = re.findall(r"```toml\n(.*?)```", CONTROL.read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 2
    checked = here("config", "check", write(VAULT, RECORD, TARGETS, *shown))
    assert checked.code == 0, checked.stderr


def test_windows_that_are_over_for_good(write: Write, tmp_path: Path) -> None:
    gone = '[[windows]]\nstart = 2020-01-31T22:00:00\nend = 2020-02-01T06:00:00\ntime_zone = "UTC"\n'
    checked = here("config", "check", write(VAULT, RECORD, TARGETS, gone))
    assert checked.code == 0, checked.stderr
    assert "\nwindows: all are over, and no run is begun; name one to come" in checked.stderr
    refused(
        here("run", write(VAULT, RECORD, TARGETS, gone), "--state", tmp_path / "state"),
        "all windows of campaign ",
        " are over, and a run would stay paused: name one to come, or leave them out",
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('start = "22:00"', 'start = "24:00"', "windows[0].start: is no time of day; write it in quotes"),
        ('time_zone = "UTC"', 'time_zone = "Nowhere"', "windows[1].time_zone: 'Nowhere' is no time zone"),
        ('stop_new = "05:30"', 'stop_now = "05:30"', "windows[0].stop_now: is no known key; did you mean stop_new?"),
        ('days = ["mon", "fri"]', 'days = ["monday"]', "windows[0].days[0]: must be one of 'mon', 'tue'"),
        ("end = 06:00:00", "", "windows[0].end: is missing; add it"),
        (
            "start = 2027-01-31T10:00:00",
            "start = 2027-01-31T10:00:00Z",
            "write for example 2027-01-31T22:00:00, without",
        ),
        ('cron = "0 22 * * mon-fri"', 'cron = "nightly"', "schedule.cron: 'nightly' is no cron expression"),
        ('overlap = "queue"', 'overlap = "both"', "schedule.overlap: must be one of 'skip' or 'queue'"),
        ('overlap = "queue"', 'overlaps = "skip"', "schedule.overlaps: is no known key; did you mean overlap?"),
    ],
)
def test_what_is_wrong_with_them_is_told_by_line(write: Write, old: str, new: str, text: str) -> None:
    file = write(VAULT, RECORD, TARGETS, NIGHT.replace(old, new), CRON.replace(old, new))
    refused = here("config", "check", file)
    assert refused.code == 2
    assert text in refused.stderr, refused.stderr
    if new:
        line = line_of(file, new)
        assert f"{file}:{line}: " in refused.stderr
