"""From a campaign file to a `Campaign`: every fault at once, each with its file, line and key.

A fault's text says what is wrong and, after a semicolon, what to do. It may quote names, addresses and titles, never a
value that could be a secret: nothing under `password`, and no URL.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.campaign_checks import check
from orchestrator.campaign_faults import CampaignError, Fault
from orchestrator.campaign_model import (
    Campaign,
    Fallback,
    Jump,
    Pace,
    PasswordReference,
    Record,
    RootDelegation,
    SecretReference,
    SnapshotError,
    TargetEntry,
    Targets,
    UnixRecord,
    Vault,
    VaultTls,
    WindowsRecord,
    ZoneTable,
    campaign_schema,
)
from orchestrator.campaign_times import Daily, Once, Schedule
from orchestrator.toml_lines import KeyPath, key_lines, line_of

__all__ = [
    "Campaign",
    "CampaignError",
    "Fault",
    "Jump",
    "Pace",
    "PasswordReference",
    "Record",
    "SecretReference",
    "SnapshotError",
    "TargetEntry",
    "Targets",
    "UnixRecord",
    "Vault",
    "VaultTls",
    "WindowsRecord",
    "campaign_schema",
    "load_campaign",
    "parse_campaign",
]

_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def load_campaign(path: str | os.PathLike[str]) -> Campaign:
    """Read a campaign file. Raises CampaignError, also for a file that cannot be read."""
    origin = os.fspath(path)
    try:
        text = Path(origin).read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CampaignError([Fault(origin, 1, "file", f"cannot be read: {reason}; check the path")]) from None
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise CampaignError([Fault(origin, line, "file", "is not UTF-8 text; save it as UTF-8")]) from None
    return parse_campaign(text, origin)


def parse_campaign(text: str, origin: str) -> Campaign:
    """Read a campaign from its text; `origin` is the file's name, which relative paths in it start from. Raises
    CampaignError and nothing else.
    """
    try:
        data = tomllib.loads(text)
        lines = key_lines(text)
    except RecursionError:
        raise CampaignError([Fault(origin, 1, "file", "is nested too deeply; flatten it")]) from None
    except ValueError as error:
        raise CampaignError([_syntax_fault(error, text, origin)]) from None
    found: list[tuple[KeyPath, str]] = []
    campaign = None
    try:
        campaign = Campaign.model_validate(data, context={"base": str(Path(origin).parent)})
    except ValidationError as error:
        found += [_complaint(data, dict(e)) for e in error.errors(include_url=False, include_input=False)]
    complained = {path for path, _ in found}
    found += [(path, message) for path, message in check(data) if path not in complained]
    if campaign is None or found:
        faults = {Fault(origin, line_of(lines, path), _key_text(path), message) for path, message in found}
        raise CampaignError(sorted(faults, key=lambda f: (f.line, f.key, f.message)))
    return campaign


def _syntax_fault(error: ValueError, text: str, origin: str) -> Fault:
    """What tomllib says, without its place; its texts quote single characters and keys, never values."""
    match = _SYNTAX.fullmatch(str(error))
    if match is None:  # a number or date that Python refuses has no place
        return Fault(origin, 1, "file", "is not valid TOML: a number or date in it is out of range; correct it")
    line = int(match[2]) if match[2] else text.count("\n") + (not text.endswith("\n"))
    column = f" at column {match[3]}" if match[3] else " at the end of the file"
    what = json.dumps(match[1], ensure_ascii=False)[1:-1].replace('\\"', '"')
    advice = "a key may be given once" if "overwrite" in what else "correct it (text values need quotes)"
    return Fault(origin, max(line, 1), "file", f"is not valid TOML: {what}{column}; {advice}")


def _complaint(data: Mapping[str, Any], error: Mapping[str, Any]) -> tuple[KeyPath, str]:
    path = _path_in(data, error["loc"])
    kind = error["type"]
    secret = next((key for key in _SECRETS if path[:1] == ("vaults",) and path[2 : 2 + len(key)] == key), None)
    if secret is not None and kind not in ("missing", "value_error"):
        # Whatever stands here may be a secret, a misspelt key included; our own texts (value_error) quote nothing.
        return path[: 2 + len(secret)], (
            f'the {_SECRETS[secret]} itself must not be in this file; say where it is: {{ env = "NAME" }}, '
            '{ file = "PATH" }, { prompt = true } or { keyring = "service/user" }'
        )
    if kind == "extra_forbidden":
        return path, _unknown_key(path, error["loc"])
    return path, _message(kind, error)


def _path_in(data: Any, loc: Iterable[str | int]) -> KeyPath:
    """Where pydantic saw it, without its union tags; a last part that the file lacks is a missing key."""
    path: list[str | int] = []
    missing: list[str | int] = []
    for part in loc:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        if inside:
            data = data[part]
            path.append(part)
        missing = [] if inside or not isinstance(data, dict) else [part]
    return (*path, *missing)


def _message(kind: str, error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return 'needs technology = "windows" or technology = "unix"'
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


_SECRETS = {
    ("password",): "password",
    ("tls", "client_key"): "key",
    ("tls", "client_key_passphrase"): "passphrase",
}
"""What only references may stand for, by its place in a vault's table."""
_RECORDS: dict[str | int, type[BaseModel]] = {"windows": WindowsRecord, "unix": UnixRecord}
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Campaign,
    ("vaults",): Vault,
    ("vaults", "tls"): VaultTls,
    ("records", "secret"): SecretReference,
    ("records", "fallback"): Fallback,
    ("records", "fallback", "secret"): SecretReference,
    ("records", "root_delegation"): RootDelegation,
    ("records", "root_delegation", "secret"): SecretReference,
    ("records", "jump"): Jump,
    ("records", "jump", "secret"): SecretReference,
    ("targets",): Targets,
    ("targets", "include"): TargetEntry,
    ("pace",): Pace,
    ("zones",): ZoneTable,
    ("schedule",): Schedule,
}
_KINDS_OF_WINDOW: dict[str | int, type[BaseModel]] = {"daily": Daily, "once": Once}


def _unknown_key(path: KeyPath, loc: KeyPath) -> str:
    key, table = str(path[-1]), tuple(part for part in path[:-1] if isinstance(part, str))
    if table == ("records",):
        model = _RECORDS[loc[2]]
        if key == "jump":
            return "is for unix records: SMB is not spoken through an SSH host; remove it, or put an appliance there"
        if any(key in other.model_fields for other in _RECORDS.values()):
            return f"is no key of {loc[2]} records, only of the others; remove it, or correct technology"
    elif table == ("windows",):
        model = _KINDS_OF_WINDOW[loc[2]]
    else:
        model = _MODELS[table]
    known = sorted(model.model_fields)
    close = difflib.get_close_matches(key.lower(), known, n=1)
    hint = f"did you mean {close[0]}?" if close else "remove it or correct it."
    return f"is no known key; {hint} Known here: {', '.join(known)}"


def _key_text(path: KeyPath) -> str:
    """`records[1].ips`; a key that is not bare is quoted, so that a fault stays on its line."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else json.dumps(part))
    return text or "file"
