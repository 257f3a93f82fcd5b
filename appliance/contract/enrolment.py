"""How a machine becomes an appliance of a fleet: the token that it is given, and the one question that it asks with it.

The token is a secret until it has expired: who has it may enrol. What it carries may publish on `enroll.<id>` and read
the answer, and nothing else.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Literal, Self

from pydantic import Field

from appliance.contract.wire import ContractError, Wire

_MARK = "KME1."
ZONE = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""A zone: a token of a bus subject, so neither dots nor blanks."""
NAME = r"^[A-Za-z0-9_-]{1,64}$"
"""An appliance's: one token of the bus's subjects."""


class EnrolmentToken(Wire):
    """What `keymuster fleet add` prints."""

    v: Literal[1] = 1
    id: str
    """The invitation's."""
    zone: str
    url: str
    """Where the bus is, as appliances see it."""
    ca: str = ""
    """The authorities to trust there, as PEM; empty for the system's."""
    seed: str = Field(repr=False)
    user: str = Field(repr=False)
    """The account's word for the user of this seed."""
    expires_at: float

    def text(self) -> str:
        return _MARK + urlsafe_b64encode(self.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises ContractError, whose text holds nothing of the token."""
        bare = "".join(text.split())
        if not bare.startswith(_MARK):
            raise ContractError(f"no enrolment token: it begins with {_MARK}; `keymuster fleet add` prints one")
        coded = bare.removeprefix(_MARK)
        try:
            return cls.decode(urlsafe_b64decode(coded + "=" * (-len(coded) % 4)))
        except (Base64Error, ValueError):  # ContractError among them: what the token holds is nobody's business
            raise ContractError("the enrolment token is damaged: copy it as a whole, from KME1. to its end") from None


class EnrolmentRequest(Wire):
    """From a machine that wants to be an appliance."""

    v: Literal[1] = 1
    name: str = Field(pattern=NAME)
    public: str = Field(pattern=r"^U[A-Z2-7]{55}$")
    """Its nkey."""
    sealing: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$")
    """Its X25519 key, base64: what vault logins are sealed to."""
    release: str = Field(max_length=64)


class EnrolmentAnswer(Wire):
    v: Literal[1] = 1
    ok: bool
    text: str = ""
    """Why not, and what to do."""
    zone: str = ""
    user: str = ""
    """The account's word for the appliance's key, with its permissions."""
    voice: str = ""
    """The Ed25519 key, base64, by which the fleet's vault logins are signed."""
