"""What is wrong with an appliance's file: every fault at once, each with its file, line and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from appliance.toml_faults import Fault, key_text, meant_by, misplaced_secret, path_in, unknown_key, words_for
from appliance.toml_lines import KeyPath, line_of

Models = Mapping[tuple[str, ...], type[BaseModel]]
"""Those of a file's tables, by their names without indices."""

_WAYS = '{ env = "NAME" } or { file = "PATH" }'
_WITH_SECRETS = (("bus",), ("fleet",))
"""Where an unknown key may be a secret that belongs behind one: only what is near to a known key is quoted."""


def faults_in(
    lines: Mapping[KeyPath, int], data: Mapping[str, Any], error: ValidationError, origin: str, models: Models
) -> str:
    """One line each. `lines`: of the keys of a file that says `data`."""
    found = (_complaint(data, one, models) for one in error.errors(include_url=False, include_input=False))
    faults = {Fault(origin, line_of(lines, path), key_text(path), message) for path, message in found}
    return "\n".join(map(str, sorted(faults, key=lambda f: (f.line, f.key, f.message))))


def faults_of(what: str, error: ValidationError) -> Iterator[str]:
    """Of something that has no line of its own any more: one text each."""
    for one in error.errors(include_url=False, include_input=False):
        yield f"{what}: {key_text(one['loc'])}: {words_for(one)}"


def _complaint(data: Mapping[str, Any], error: Mapping[str, Any], models: Models) -> tuple[KeyPath, str]:
    path, kind = path_in(data, error), error["type"]
    if (secret := misplaced_secret(path, kind, _WAYS)) is not None:
        return secret
    if kind == "extra_forbidden":
        table = tuple(part for part in path[:-1] if isinstance(part, str))
        key, known = str(path[-1]), models[table].model_fields
        if table in _WITH_SECRETS and not meant_by(key, known):
            return path[:-1], f"holds a key that is not known; remove it. Known here: {', '.join(sorted(known))}"
        return path, unknown_key(key, known)
    return path, words_for(error)
