"""Several messages in one, a line of JSON each: reports, what the pacer is asked, and its answers.

A line that cannot be read costs nobody else's: it is an error in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from appliance.contract import (
    ContractError,
    PermitAnswer,
    PermitAsk,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Report,
    decode_report,
)

T = TypeVar("T")

_ASK: TypeAdapter[PermitAsk] = TypeAdapter(Annotated[PermitRequest | PermitRelease, Field(discriminator="kind")])
_GRANTED = PermitAnswer(verdict=PermitVerdict.GRANTED)
_GRANTED_LINE = _GRANTED.encode()
_NOTHING = b"null"


def joined(lines: Iterable[bytes]) -> bytes:
    """JSON has no line breaks of its own."""
    return b"\n".join(lines)


def _each(data: bytes, read: Callable[[bytes], T]) -> list[T | ContractError]:
    found: list[T | ContractError] = []
    for line in data.split(b"\n"):
        try:
            found.append(read(line))
        except ContractError as error:
            found.append(error)
    return found


def decode_reports(data: bytes) -> list[Report | ContractError]:
    return _each(data, decode_report)


def encode_asks(asks: Sequence[PermitAsk]) -> bytes:
    return joined(ask.encode() for ask in asks)


def decode_asks(data: bytes) -> list[PermitAsk | ContractError]:
    return _each(data, _ask)


def _ask(line: bytes) -> PermitAsk:
    try:
        return _ASK.validate_json(line)
    except ValidationError as error:
        # Its own words may quote what was sent; the fields' names do not.
        where = ", ".join(".".join(map(str, e["loc"])) or "line" for e in error.errors(include_input=False))
        raise ContractError(f"unreadable permit message: {where}") from None


def encode_answers(answers: Sequence[PermitAnswer | None]) -> bytes:
    """None: a release has been taken in."""
    return joined(
        _NOTHING if answer is None else _GRANTED_LINE if answer == _GRANTED else answer.encode() for answer in answers
    )


def decode_answers(data: bytes) -> list[PermitAnswer | None]:
    """Raises ContractError."""
    return [
        None if line == _NOTHING else _GRANTED if line == _GRANTED_LINE else PermitAnswer.decode(line)
        for line in data.split(b"\n")
    ]
