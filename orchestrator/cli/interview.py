"""`init`: ask a few questions where there is somebody to answer, write a commented campaign file, check it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from appliance.contract import Technology
from orchestrator.campaign import parse_campaign
from orchestrator.campaign_faults import CampaignError
from orchestrator.campaign_template import Answers, campaign_text
from orchestrator.cli.errors import BadInput, Exit

REFERENCES = {
    "env": ("Environment variable with its password", Answers().reference),
    "file": ("File with its password", "vault-password"),
    "keyring": ("Keyring entry with its password (service/user)", "keymuster/svc_scan"),
}


def init(file: Path) -> Exit:
    if file.exists():
        raise BadInput(f"{file} is already there; it was left as it is")
    text = campaign_text(_answers() if sys.stdin.isatty() else Answers())
    try:
        parse_campaign(text, str(file))
    except CampaignError as error:
        raise BadInput(f"nothing was written, since the answers don't make a campaign:\n{error}") from None
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None
    sys.stderr.write(f"{file} written; look it over, then `keymuster plan {file}` and `keymuster run {file}`\n")
    return Exit.OK


def _answers() -> Answers:
    default = Answers()
    name = _ask("Campaign", default.name)
    vault = _ask("Vault title", default.vault)
    url = _ask("Secret Server URL", default.url)
    vault_user = _ask("Vault user", default.vault_user)
    domain = typer.prompt("Vault domain (empty: none)", default="", show_default=False, err=True)
    kind, reference = _reference()
    return Answers(
        name=name,
        vault=vault,
        url=url,
        vault_user=vault_user,
        vault_domain=domain,
        reference_kind=kind,
        reference=reference,
        technology=Technology(_choose("Technology of the targets", [t.value for t in Technology], default.technology)),
        record=_ask("Record title", default.record),
        user=_ask("Login user on the targets", default.user),
        secret=_ask("Secret name in the vault", default.secret),
        ips=tuple(_ask("Targets (addresses, ranges, CIDR; spaces between)", " ".join(default.ips)).split()),
    )


def _reference() -> tuple[str, str]:
    kind = _choose("Where is its password? (never in this file)", [*REFERENCES, "prompt"], default="env")
    return kind, _ask(*REFERENCES[kind]) if kind in REFERENCES else ""


def _ask(question: str, default: str) -> str:
    answer: str = typer.prompt(question, default=default, err=True)
    return answer


def _choose(question: str, choices: list[str], default: str) -> str:
    while (answer := _ask(f"{question} ({', '.join(choices)})", default)) not in choices:
        sys.stderr.write(f"{answer!r} is none of them\n")
    return answer
