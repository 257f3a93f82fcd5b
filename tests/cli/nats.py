"""A NATS server of the user's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.private import free_port


@contextmanager
def nats_server(directory: Path, configuration: str = "", port: int | None = None) -> Iterator[str]:
    """A server of the user's own, that nobody may log in to but whom the configuration names; its URL."""
    port = port or free_port()
    file = directory / "nats.conf"
    file.write_text(f'host: "127.0.0.1"\nport: {port}\njetstream {{ store_dir: "{directory}" }}\n{configuration}')
    binary = Path(sys.executable).parent / "nats-server"
    # In its directory: what a fleet's servers are told has the accounts' tokens in a directory beside them.
    with subprocess.Popen([str(binary), "-c", str(file)], stderr=subprocess.PIPE, text=True, cwd=directory) as process:
        try:
            assert process.stderr is not None
            assert any("Server is ready" in line for line in process.stderr), "nats-server did not come up"
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.terminate()
