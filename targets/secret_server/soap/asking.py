"""What an operation is given, and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from targets.secret_server.refusal import Refused
from targets.secret_server.service import Vault
from targets.secret_server.soap.values import Values
from targets.secret_server.users import Caller


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call's arguments, as the contract types them; a text that was not given is empty."""

    values: Values
    address: str
    """Whence the call comes."""

    def text(self, name: str) -> str:
        return self.values[name] or ""

    def number(self, name: str) -> int:
        return int(self.values[name])

    def flag(self, name: str) -> bool:
        """False too where the operation has no such parameter."""
        return bool(self.values.get(name))


Open = Callable[[Vault, Arguments], Values]
"""An operation for everybody; it gives the members of its result."""

Handler = Callable[[Vault, Caller, Arguments], Values | Refused]
"""An operation for whom the token names."""

DONE: Values = {"Errors": []}
