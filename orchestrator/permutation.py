"""A shuffled order of [0, count) that is computed, never stored: the same seed gives the same order for ever.

A balanced Feistel network is a bijection on [0, 4**half) whatever its round function does. Where that range is larger
than `count` (by less than four times), an index that lands outside is sent through again until it lands inside: the
walk stays on one cycle, so the result is a bijection on [0, count).
"""

from __future__ import annotations

_ROUNDS = 4
_GOLDEN = 0x9E3779B97F4A7C15F39CC0605CEDC835
_MASK = (1 << 128) - 1


class Permutation:
    def __init__(self, count: int, seed: int) -> None:
        if count < 0:
            raise ValueError("count is negative")
        self.count = count
        self._half = max(1, ((count - 1).bit_length() + 1) // 2)
        self._low = (1 << self._half) - 1
        self._keys = tuple(_mix((seed * _ROUNDS + n + 1) * _GOLDEN) for n in range(_ROUNDS))

    def __getitem__(self, index: int) -> int:
        """The member of [0, count) in this place. Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        place = self._pass(index)
        while place >= self.count:
            place = self._pass(place)
        return place

    def _pass(self, value: int) -> int:
        left, right = value >> self._half, value & self._low
        for key in self._keys:
            left, right = right, left ^ (_mix(right + key) & self._low)
        return left << self._half | right


def _mix(value: int) -> int:
    """Spread every bit of a number over 128 bits (multiply and fold, twice)."""
    value = (value ^ value >> 65) * _GOLDEN & _MASK
    value = (value ^ value >> 59) * _GOLDEN & _MASK
    return value ^ value >> 64
