"""A simulated estate as users start it: `python -m targets` in a process of its own, by its estate file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.acceptance import forked

ROOT = Path(__file__).parents[2]
HTTP_S = 20
ENDS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Lab:
    ready: dict[str, Any]
    """Its ready line: where everything is."""

    @property
    def password(self) -> str:
        return Path(self.ready["vault_password_file"]).read_text(encoding="utf-8")

    @property
    def hosts(self) -> list[dict[str, Any]]:
        """What is true of each host."""
        return [json.loads(line) for line in Path(self.ready["truth"]).read_text(encoding="utf-8").splitlines()]

    def metrics(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.ready["metrics_url"], timeout=HTTP_S) as answer:  # noqa: S310 - our own loopback URL
            return dict(json.load(answer))

    def vault_seen(self) -> dict[str, Any]:
        return dict(self.metrics()["vault"])

    def vault_faults(self, *names: str) -> None:
        """These and no others from now on."""
        self._order({"vault": names})

    def secret_states(self, **states: str) -> None:
        """How secrets stand in the vault from now on, by name."""
        self._order({"secrets": states})

    def secret_security(self, secret: str, **security: Any) -> None:
        """What stands between this secret and its viewers from now on; nothing by default."""
        self._order({"secret": secret, "security": security}, "security")

    def rotate(self, secret: str, where: str) -> None:
        """Change its password on the `hosts`, in the `vault`, or in `both`."""
        self._order({"secret": secret, "where": where}, "rotate")

    def vault_weather(self, **weather: Any) -> None:
        """This weather from now on; nothing is fair."""
        self._order(weather, "weather")

    def forge_row(self, secret: str, **row: Any) -> None:
        """Write a row into a secret's audit of what never happened."""
        self._order({"secret": secret, "user": self.ready["vault_user"], **row}, "audit")

    def audit_of(self, secret: str) -> dict[str, Any]:
        """A secret's rows, and how many rows of all secrets were dropped, doubled and forged."""
        url = f"{self.ready['control_url']}/audit?secret={secret}"
        with urllib.request.urlopen(url, timeout=HTTP_S) as answer:  # noqa: S310 - our own loopback URL
            return dict(json.load(answer))

    def _order(self, order: dict[str, Any], what: str = "faults") -> None:
        request = urllib.request.Request(  # noqa: S310 - our own loopback URL
            f"{self.ready['control_url']}/{what}", json.dumps(order).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=HTTP_S) as answer:  # noqa: S310 - as above
            assert answer.status == 200

    def vault_table(self, title: str = "Vault", password: str = "", more: str = "") -> str:
        """The campaign's table for this vault. `password`: a reference other than the lab's file; `more`: lines."""
        reference = password or f'{{ file = "{self.ready["vault_password_file"]}" }}'
        return f"""
[[vaults]]
title = "{title}"
type = "Thycotic Secret Server"
url = "{self.ready["vault_url"]}"
user = "{self.ready["vault_user"]}"
password = {reference}
{more}
"""


@contextmanager
def running_lab(directory: Path, estate: str) -> Iterator[Lab]:
    """Serve an estate from `directory` (which must exist) until the context is left."""
    file = directory / "estate.toml"
    file.write_text(estate, encoding="utf-8")
    with serving_estate(file, directory / "lab") as (_, ready):
        yield Lab(ready)


@contextmanager
def serving_estate(file: Path, state: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """`python -m targets FILE --state STATE`: its pid, and its ready line."""
    arguments = [str(file), "--state", str(state)]
    if (template := forked.there()) is None:
        with subprocess.Popen(
            [sys.executable, "-m", "targets", *arguments], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            with _ended_at_last(process):
                yield process.pid, _ready(process.stdout)
        return
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as out:
        try:
            forked_one = template.begin("targets", arguments, os.environ, (0, writing, 2))
        finally:
            os.close(writing)
        with _ended_at_last(forked_one):
            yield forked_one.pid, _ready(out)


def _ready(out: IO[bytes]) -> dict[str, Any]:
    line = out.readline()
    assert line, "the estate did not come up; its error is above"
    return dict(json.loads(line))


@contextmanager
def _ended_at_last(process: subprocess.Popen[bytes] | forked.Forked) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
