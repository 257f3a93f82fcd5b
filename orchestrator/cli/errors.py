"""Exit codes, and the errors that end a command with one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's end means to a script."""

    OK = 0
    GATE_FAILED = 1
    BAD_INPUT = 2
    VAULT = 3
    """The vault cannot be reached or refuses the login: no target was tried. The bus likewise."""
    INCOMPLETE = 4
    NOTHING_SELECTED = 5
    INTERNAL = 70
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command: the text goes to stderr, the code to the shell."""

    code = Exit.INTERNAL


class BadInput(CommandError):
    code = Exit.BAD_INPUT


class Unreachable(CommandError):
    """Vault or bus."""

    code = Exit.VAULT


class Refused(Unreachable):
    """The vault answers, and a human must settle what it says: asking again is no use."""


class Incomplete(CommandError):
    code = Exit.INCOMPLETE


class AbortedError(Exception):
    """Interrupted twice: end at once."""


class NothingToDo(CommandError):
    code = Exit.NOTHING_SELECTED
