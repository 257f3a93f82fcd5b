"""Run in namespaces of its own (`test_dns`): DNS servers that hang, answer or refuse, asked by the system's resolver.

`python -m tests.peers.dns`; prints what each name came to, as one JSON object.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import anyio

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Technology
from appliance.login.resolver import Resolver, be_brisk

HANGS, ANSWERS = "127.0.0.53", "127.0.0.54"
ADDRESS = "127.9.8.7"
_A = 1


def _serve(sock: socket.socket, *, silent: bool) -> None:
    while True:
        query, client = sock.recvfrom(512)
        if silent:
            continue
        end = query.index(b"\0", 12) + 5
        name, kind = query[12 : end - 4], int.from_bytes(query[end - 4 : end - 2], "big")
        found = kind == _A and b"web" in name
        record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + socket.inet_aton(ADDRESS) if found else b""
        flags = b"\x81\x80" if b"web" in name else b"\x81\x83"  # NXDOMAIN
        sock.sendto(query[:2] + flags + b"\0\x01\0" + bytes([found]) + bytes(4) + query[12:end] + record, client)


def _listen(address: str, *, silent: bool) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))
    threading.Thread(target=lambda: _serve(sock, silent=silent), daemon=True).start()


async def _ask(name: str) -> dict[str, object]:
    began = time.monotonic()
    worst, over = 0.0, anyio.Event()

    async def watch() -> None:
        nonlocal worst
        while not over.is_set():
            before = time.monotonic()
            await anyio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        found = await Resolver().addresses(name)
        over.set()
    said: object = found
    if isinstance(found, Failure):
        said = classify(Technology.UNIX, Evidence(phase=found.phase, signal=found.signal)).code
    return {"said": said, "took": time.monotonic() - began, "lag": worst}


def main() -> None:
    be_brisk()
    _listen(HANGS, silent=True)
    _listen(ANSWERS, silent=False)
    results = {}
    for case, servers, name in (
        ("the only server hangs", (HANGS,), "web.test"),
        ("the first server hangs", (HANGS, ANSWERS), "web.test"),
        ("there is no such name", (ANSWERS,), "nobody.test"),
        ("nobody serves DNS", ("127.0.0.55",), "web.test"),
    ):
        Path("/etc/resolv.conf").write_text("".join(f"nameserver {s}\n" for s in servers))
        results[case] = anyio.run(_ask, name, backend_options={"use_uvloop": os.environ.get("UVLOOP") == "1"})
    print(json.dumps(results), flush=True)  # noqa: T201 - the result
    sys.exit(0)  # in the ordinary way, with a lookup still hanging in its thread


if __name__ == "__main__":
    main()
