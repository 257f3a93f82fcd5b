"""What a supervisor answers a scan process that asks for a token: JSON for the pipe between the two, nothing else."""

from __future__ import annotations

import json

from pydantic import SecretStr, TypeAdapter, ValidationError

from appliance.contract import ContractError, Failure, Phase, Signal, Wire
from appliance.vault.definition import Hidden
from appliance.vault.tokens import Token


class _TokenOnPipe(Wire):
    value: SecretStr
    generation: int
    fresh_for: float


class _FailureOnPipe(Wire):
    phase: Phase
    signal: Signal
    text: str
    facts: dict[str, str]


_ANSWER: TypeAdapter[_TokenOnPipe | _FailureOnPipe] = TypeAdapter(_TokenOnPipe | _FailureOnPipe)


def encode_token_answer(answer: Token | Failure) -> bytes:
    if isinstance(answer, Failure):
        wire = _FailureOnPipe(phase=answer.phase, signal=answer.signal, text=answer.text, facts=answer.facts)
        return wire.encode()
    value = {"value": answer.value.reveal(), "generation": answer.generation, "fresh_for": answer.fresh_for}
    return json.dumps(value).encode()


def decode_token_answer(data: bytes) -> Token | Failure:
    """Raises ContractError, without the value in its text."""
    try:
        read = _ANSWER.validate_json(data)
    except ValidationError:
        raise ContractError("unreadable answer to a request for a vault token") from None
    if isinstance(read, _FailureOnPipe):
        return Failure(read.phase, read.signal, read.text, read.facts)
    return Token(Hidden(read.value.get_secret_value()), read.generation, read.fresh_for)
