"""A simulated estate as a user starts it, a campaign on every fault there is, and its score."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from targets.faults import HOST_FAULTS
from tests.acceptance.product import KEYMUSTER, Product
from tests.cli.refusals import refused
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def estate(directory: Path) -> Path:
    """A host of every fault, twice, and a directory whose account is wrong in the vault."""
    groups = []
    for number, technology in enumerate(("unix", "windows")):
        faults = ", ".join(f"{name} = 1" for name, fault in HOST_FAULTS.items() if technology in fault.technologies)
        count = 2 * sum(technology in fault.technologies for fault in HOST_FAULTS.values())
        groups.append(
            f'[[hosts]]\ncount = {count}\ntechnology = "{technology}"\nnetwork = "127.7{7 + number}.0.0/16"\n'
            f"faults = {{ {faults} }}\n"
            f'[[hosts]]\ncount = 5\ntechnology = "{technology}"\nnetwork = "127.7{7 + number}.0.0/16"\n'
            f'account = "corp{number}"\nsecret = "shared"\nfault = "wrong_password"\n'
        )
    file = directory / "estate.toml"
    file.write_text("seed = 5\n[vault]\ntls = true\n" + "".join(groups))
    return file


@contextmanager
def lab_up(directory: Path) -> Iterator[dict[str, Any]]:
    """`keymuster lab up`, until it is interrupted; its line."""
    command = [str(KEYMUSTER), "lab", "up", str(estate(directory)), "--dir", str(directory / "lab")]
    command += ["--write-campaign", str(directory / "campaign.toml")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            ready = json.loads(process.stdout.readline())
            assert "campaign.toml written" in process.stderr.readline()
            yield ready
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_every_fault_gets_its_right_reason(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path) as ready:
        ran = keymuster("run", tmp_path / "campaign.toml", "--format", "json")
    assert ran.code == 0, ran.stderr
    truth = Path(ready["truth"])
    judged = keymuster("lab", "score", "--truth", truth, "--json")
    assert [cell for cell in judged.document["cells"] if not cell["right"]] == []
    assert judged.code == 0
    conforms(judged.document, "score")
    conforms(ran.document, "report")
    assert judged.document["right"] == judged.document["total"] == len(ran.targets)
    table = keymuster("lab", "score", ran.document["run"]["id"], "--truth", truth)
    assert f"Right reasons: {len(ran.targets)} of {len(ran.targets)}" in table.stdout

    rows = truth.read_text().splitlines()
    turned = tmp_path / "turned.ndjson"
    turned.write_text("\n".join(row.replace('"fault": "none"', '"fault": "closed"') for row in rows))
    wrong = keymuster("lab", "score", "--truth", turned)
    assert wrong.code == 1
    assert "WRONG" in wrong.stdout
    turned.write_text(rows[0])
    refused(keymuster("lab", "score", "--truth", turned), "it is another estate's")
    turned.write_text(rows[0] + "\n{}")
    refused(keymuster("lab", "score", "--truth", turned), f"{turned}:2: is no row of an estate's truth.ndjson")
    refused(keymuster("lab", "score", "--truth", tmp_path / "none"), "No such file or directory")


def test_an_estate_with_a_fault(keymuster: Product, tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text('[[hosts]]\ntechnology = "windows"\nfault = "no_sudo"\n')
    ended = keymuster.stateless("lab", "up", file, "--dir", tmp_path / "lab")
    refused(ended, f"{file}:1: hosts.0:", '"no_sudo" is none that a windows host may have', "did not come up")
