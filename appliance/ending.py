"""How a program of the appliance's ends: an exit code, and on stderr what was wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from appliance.bus import BusError
from appliance.bus.credentials import CredentialsError
from appliance.contract import ContractError

BAD_INPUT, UNREACHABLE = 2, 3


def ended(program: Callable[[], None], *faults: type[Exception]) -> int:
    """Run it; `faults`: what is bad input besides."""
    bad_input: tuple[type[Exception], ...] = (ContractError, CredentialsError, *faults)
    try:
        program()
    except bad_input as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return BAD_INPUT
    except BusError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return UNREACHABLE
    return 0
