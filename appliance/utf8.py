"""What can be written as UTF-8, and so be sent and stored."""

from __future__ import annotations


def is_text(value: str) -> bool:
    """Bytes that are no UTF-8 become halves of surrogate pairs where Python reads the environment or names of files,
    and JSON can write such halves too; nothing that is sent holds them.
    """
    return not any("\ud800" <= c <= "\udfff" for c in value)
