"""What is wrong with a TOML file of ours, in words for whoever wrote it: each fault with its file, line and key, what
is wrong, and after a semicolon what to do.

A text may quote keys and what is allowed, never the value that stands in the file: it could be a secret. Shared by
campaign files and appliances' files.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.toml_lines import KeyPath

_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_TWICE = re.compile(r"Cannot (?:declare|mutate|redefine)|Duplicate inline table key")
"""What tomllib says of a key and quotes it, which may be a secret in the place of its reference."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Fault:
    origin: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}: {self.key}: {self.message}"


class UnreadableError(ValueError):
    """A file that has no text to look at."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def file_text(origin: str) -> str:
    """What a file says, without a byte order mark. Raises UnreadableError, OSError."""
    try:
        return Path(origin).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise UnreadableError(Fault(origin, line, "file", "is not UTF-8 text; save it as UTF-8")) from None


def syntax_fault(error: ValueError | RecursionError, text: str, origin: str) -> Fault:
    """What tomllib says, without its place; of what it quotes only single characters are told."""
    if isinstance(error, RecursionError):
        return Fault(origin, 1, "file", "is nested too deeply; flatten it")
    match = _SYNTAX.fullmatch(str(error))
    if match is None:  # a number or date that Python refuses has no place
        return Fault(origin, 1, "file", "is not valid TOML: a number or date in it is out of range; correct it")
    line = int(match[2]) if match[2] else text.count("\n") + (not text.endswith("\n"))
    column = f" at column {match[3]}" if match[3] else " at the end of the file"
    said = "a key or table is there twice" if _TWICE.match(match[1]) else match[1]
    what = json.dumps(said, ensure_ascii=False)[1:-1].replace('\\"', '"')
    once = "overwrite" in what or "twice" in what
    advice = "a key may be given once" if once else "correct it (text values need quotes)"
    return Fault(origin, max(line, 1), "file", f"is not valid TOML: {what}{column}; {advice}")


def path_in(data: Any, error: Mapping[str, Any]) -> KeyPath:
    """Where pydantic saw it, without its union tags; the last part is not in the file where it says that one lacks."""
    path: list[str | int] = []
    missing: list[str | int] = []
    for part in error["loc"]:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if inside:
            data = data[part]
            path.append(part)
        missing = [] if inside or not isinstance(data, dict) else [part]
    return (*path, *missing) if error["type"] == "missing" else tuple(path)


_REFERENCES = {
    ("password",): "password",
    ("tls", "client_key"): "key",
    ("tls", "client_key_passphrase"): "passphrase",
}
"""What only references may stand for, by its place in a vault's table."""


def misplaced_secret(path: KeyPath, kind: str, ways: str) -> tuple[KeyPath, str] | None:
    """Of a fault behind a key of a vault that only a reference may stand for: whatever is there may be a secret, a
    misspelt key included, and none of it is told. Our own texts (value_error) quote nothing. `ways`: to refer to one.
    """
    key = next((key for key in _REFERENCES if path[:1] == ("vaults",) and path[2 : 2 + len(key)] == key), None)
    if key is None or kind in ("missing", "value_error"):
        return None
    return path[: 2 + len(key)], f"the {_REFERENCES[key]} itself must not be in this file; say where it is: {ways}"


def words_for(error: Mapping[str, Any]) -> str:
    """What pydantic found, of anything but an unknown key."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        return f"must be one of {context['expected']}"
    for bound, words in (("ge", "at least"), ("le", "at most")):
        if bound in context:
            # Whole bounds are counts, the others durations in seconds.
            return f"must be {words} {context[bound]:g}{' s' if isinstance(context[bound], float) else ''}"
    return _WORDS.get(kind, f"{error['msg'][:1].lower()}{error['msg'][1:]}; correct it")


_WORDS = {
    "missing": "is missing; add it",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": "must be a list, in square brackets",
    "too_short": "must not be empty; name something, or remove the key",
    "string_too_short": "must not be empty; give it a value, or remove the key",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
}


def meant_by(key: str, known: Iterable[str]) -> str:
    """The known key that this one is near to; empty where it is near to none."""
    return next(iter(difflib.get_close_matches(key.lower(), sorted(known), n=1)), "")


def unknown_key(key: str, known: Iterable[str]) -> str:
    meant = meant_by(key, known)
    hint = f"did you mean {meant}?" if meant else "remove it or correct it."
    return f"is no known key; {hint} Known here: {', '.join(sorted(known))}"


def key_text(path: KeyPath) -> str:
    """`records[1].ips`; a key that is not bare is quoted, so that a fault stays on its line."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else json.dumps(part))
    return text or "file"
