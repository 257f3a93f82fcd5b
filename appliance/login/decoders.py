"""What damaged keys and certificates end in, where asyncssh's decoders and those below them take them apart."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm

DAMAGE = (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError, UnsupportedAlgorithm)
"""asyncssh's KeyImportError is a ValueError; numbers that are no key's end in the others."""
