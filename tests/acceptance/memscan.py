"""The memory of running processes, searched for secrets in every form in which they might lie there. Root only."""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 24
PREFIX = 4
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw")
"""Mappings that may hold more than the file that they show."""


def forms(secret: bytes) -> set[bytes]:
    """As it is, as UTF-16 (what NTLM hashes), and as base64 at each of the three offsets it may have in a longer text.

    What is no text (the bytes of a key) is looked for as it is.
    """
    if not secret.isascii():
        return {secret}
    found = {secret, secret.decode("ascii").encode("utf-16-le")}
    for offset in range(3):
        # Whole groups of three bytes only: the rest depends on what stands beside it.
        inner = secret[(-offset) % 3 :]
        found.add(base64.b64encode(inner[: len(inner) // 3 * 3]))
    return found


def remembered(pid: int, secrets: Iterable[bytes]) -> set[bytes]:
    """Which of these secrets a process holds anywhere in its memory."""
    wanted = {form: secret for secret in secrets for form in forms(secret)}
    # Secrets of one kind begin alike, so that a few prefixes lead to all of them: the memory is long.
    by_prefix: dict[bytes, list[bytes]] = defaultdict(list)
    for form in wanted:
        by_prefix[form[:PREFIX]].append(form)
    overlap = max(map(len, wanted))
    found: set[bytes] = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in _mappings(pid):
            tail = b""
            for position in range(start, end, CHUNK):
                some = b""
                with suppress(OSError, OverflowError, ValueError):  # device memory, and what was unmapped meanwhile
                    memory.seek(position)
                    some = memory.read(min(CHUNK, end - position))
                text = tail + some
                found |= {wanted[form] for form in _present(text, by_prefix)}
                tail = text[-overlap:]
    return found


def _present(text: bytes, by_prefix: Mapping[bytes, list[bytes]]) -> Iterator[bytes]:
    for prefix, candidates in by_prefix.items():
        place = text.find(prefix)
        while place >= 0:
            yield from (form for form in candidates if text.startswith(form, place))
            place = text.find(prefix, place + 1)


def _mappings(pid: int) -> list[tuple[int, int]]:
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    ranges = [match for line in lines if (match := _WRITABLE.match(line))]
    return [(int(match[1], 16), int(match[2], 16)) for match in ranges]
