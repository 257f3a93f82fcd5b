"""From a campaign file to a `Campaign`: every fault at once, each with its file, line and key.

A fault's text says what is wrong and, after a semicolon, what to do. It may quote names, addresses and titles, never a
value that could be a secret: nothing under `password`, and no URL.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from appliance.toml_faults import (
    Fault,
    UnreadableError,
    file_text,
    key_text,
    misplaced_secret,
    path_in,
    syntax_fault,
    unknown_key,
    words_for,
)
from appliance.toml_lines import KeyPath, key_lines, line_of
from orchestrator.campaign_checks import check
from orchestrator.campaign_faults import CampaignError
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


def load_campaign(path: str | os.PathLike[str]) -> Campaign:
    """Read a campaign file. Raises CampaignError, also for a file that cannot be read."""
    origin = os.fspath(path)
    try:
        text = file_text(origin)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CampaignError([Fault(origin, 1, "file", f"cannot be read: {reason}; check the path")]) from None
    except UnreadableError as error:
        raise CampaignError([error.fault]) from None
    return parse_campaign(text, origin)


def parse_campaign(text: str, origin: str) -> Campaign:
    """Read a campaign from its text; `origin` is the file's name, which relative paths in it start from. Raises
    CampaignError and nothing else.
    """
    try:
        data = tomllib.loads(text)
        lines = key_lines(text)
    except (ValueError, RecursionError) as error:
        raise CampaignError([syntax_fault(error, text, origin)]) from None
    found: list[tuple[KeyPath, str]] = []
    campaign = None
    try:
        campaign = Campaign.model_validate(data, context={"base": str(Path(origin).parent)})
    except ValidationError as error:
        found += [_complaint(data, dict(e)) for e in error.errors(include_url=False, include_input=False)]
    complained = {path for path, _ in found}
    found += [(path, message) for path, message in check(data) if path not in complained]
    if campaign is None or found:
        faults = {Fault(origin, line_of(lines, path), key_text(path), message) for path, message in found}
        raise CampaignError(sorted(faults, key=lambda f: (f.line, f.key, f.message)))
    return campaign


def _complaint(data: Mapping[str, Any], error: Mapping[str, Any]) -> tuple[KeyPath, str]:
    path = path_in(data, error)
    kind = error["type"]
    if (secret := misplaced_secret(path, kind, _WAYS)) is not None:
        return secret
    if kind == "extra_forbidden":
        return path, _unknown_key(path, error["loc"])
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return path, 'needs technology = "windows" or technology = "unix"'
    return path, words_for(error)


_WAYS = '{ env = "NAME" }, { file = "PATH" }, { prompt = true } or { keyring = "service/user" }'
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
    return unknown_key(key, model.model_fields)
