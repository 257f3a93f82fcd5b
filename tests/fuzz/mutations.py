"""What may become of a message on its way: nothing that a broken or hostile server could not send."""

from __future__ import annotations

import random
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

LENGTHS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
"""What a length field that lies may say."""


def flipped(data: bytes, rng: random.Random) -> bytes:
    """A few bits are others."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwritten(data: bytes, rng: random.Random) -> bytes:
    """A stretch is noise."""
    at = rng.randrange(len(data) + 1)
    noise = rng.randbytes(rng.randint(1, 40))
    return data[:at] + noise + data[at + len(noise) :]


def shortened(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def lengthened(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 7, 300, 20_000))) + data[at:]


def lying(data: bytes, rng: random.Random) -> bytes:
    """Two or four bytes in it are a length that is wrong, in either order of bytes."""
    width = rng.choice((2, 4))
    at = rng.randrange(max(len(data) - width, 0) + 1)
    number = rng.choice(LENGTHS) & (1 << 8 * width) - 1
    return data[:at] + number.to_bytes(width, rng.choice(("big", "little"))) + data[at + width :]


def replaced(data: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(0, len(data) + 8))


def emptied(_data: bytes, _rng: random.Random) -> bytes:
    return b""


MUTATIONS: tuple[Mutation, ...] = (flipped, overwritten, shortened, lengthened, lying, replaced, emptied)


def mutated(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(MUTATIONS)(data, rng)
    return data
