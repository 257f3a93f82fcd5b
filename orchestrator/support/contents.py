"""The files of a support bundle: what a run did and where it did it, under pseudonyms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orchestrator.addresses import Name, number_of, parse_entry
from orchestrator.campaign_model import Campaign, Jump, Record
from orchestrator.report.documents import Document, dumps, run_document, summary_document
from orchestrator.report.rows import ReportRow
from orchestrator.report.summary import Summary
from orchestrator.store.records import LogonCount, RunRecord
from orchestrator.support.pseudonyms import Kind, Pseudonyms

FACTS_LEFT_OUT = frozenset(
    (
        *(
            f"{whose}{key}"
            for whose in ("", "jump_")
            for key in (
                *("host_key", "host_key_fingerprint", "host_key_refused", "host_key_refused_fingerprint"),
                *("host_certificate", "host_certificate_refused", "host_certificate_fault"),
            )
        ),
        *("id", "groups", "sudo_rules"),
    )
)
"""A key tells which host it is to whoever has its like; and groups and rules of sudo have names that nobody lists."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the bundle."""

    name: str
    about: str
    text: str


def learn_campaign(names: Pseudonyms, campaign: Campaign) -> None:
    """Every name that the campaign has."""
    names.of(Kind.CAMPAIGN, campaign.name)
    for vault in campaign.vaults:
        names.of(Kind.VAULT, vault.title)
        names.of(Kind.USER, vault.user)
        names.of(Kind.DOMAIN, vault.domain or "")
        for url in (vault.url, vault.proxy or ""):
            names.of(Kind.HOST, urlsplit(url).hostname or "")
        references = (vault.password, vault.tls.client_key, vault.tls.client_key_passphrase)
        paths = [path for reference in references if reference for path in (reference.file, reference.keyring)]
        for path in (vault.tls.ca, vault.tls.client_cert, *paths):
            names.of(Kind.PATH, path or "")
    for record in campaign.records:
        names.of(Kind.RECORD, record.title)
        names.of(Kind.USER, record.user)
        names.of(Kind.SECRET, record.secret.text)
        names.of(Kind.PATH, record.secret.folder or "")
        names.of(Kind.SECRET, record.secret.template or "")
        names.of(Kind.DOMAIN, "" if record.accounts == "local" else record.accounts or "")
        names.of(Kind.DOMAIN, (record.domain or "") if record.technology == "windows" else "")
        names.of(Kind.DOMAIN, (record.realm or "") if record.technology == "windows" else "")
        for controller in record.controllers if record.technology == "windows" else ():
            names.of(Kind.HOST, "" if number_of(controller) is not None else controller)
        names.of(Kind.PATH, (record.known_hosts or "") if record.technology == "unix" else "")
        if record.technology == "unix" and (root := record.root_delegation.secret) is not None:
            names.of(Kind.SECRET, root.text)
            names.of(Kind.PATH, root.folder or "")
            names.of(Kind.SECRET, root.template or "")
            names.of(Kind.USER, record.root_delegation.user or "")
        for fallback in record.fallback if record.technology == "unix" else ():
            if fallback.secret is not None:
                names.of(Kind.SECRET, fallback.secret.text)
                names.of(Kind.PATH, fallback.secret.folder or "")
                names.of(Kind.SECRET, fallback.secret.template or "")
        if record.technology == "unix" and record.jump is not None:
            jump = record.jump
            names.of(Kind.HOST, "" if number_of(jump.host) is not None else jump.host)
            names.of(Kind.USER, jump.user)
            names.of(Kind.SECRET, jump.secret.text)
            names.of(Kind.PATH, jump.secret.folder or "")
            names.of(Kind.SECRET, jump.secret.template or "")
            names.of(Kind.DOMAIN, "" if jump.accounts in (None, "local") else jump.accounts)
            names.of(Kind.PATH, jump.known_hosts or "")
    for entry in campaign.targets.include:  # a log may name one that has no outcome yet
        names.of(Kind.HOST, entry.host or "")
        names.of(Kind.HOST, entry.fqdn or "")
        names.of(Kind.DOMAIN, entry.domain or "")
    for text in (*(entry.address for entry in campaign.targets.include), *campaign.targets.exclude):
        parsed = parse_entry(text)
        names.of(Kind.HOST, parsed.text if isinstance(parsed, Name) else "")


def learn_row(names: Pseudonyms, row: ReportRow) -> None:
    """Every name that an outcome has."""
    facts = row.evidence.facts
    for kind, name in (
        (Kind.ADDRESS, row.ip),
        (Kind.HOST, row.dns),
        (Kind.HOST, row.netbios),
        (Kind.HOST, facts.get("dns_host", "")),
        (Kind.HOST, facts.get("hostname", "")),
        (Kind.DOMAIN, facts.get("netbios_domain", "")),
        (Kind.DOMAIN, facts.get("dns_domain", "")),
        (Kind.DOMAIN, facts.get("realm", "")),
        (Kind.HOST, facts.get("service", "").partition("/")[2]),
        (Kind.USER, row.user),
        (Kind.SECRET, row.secret),
        (Kind.APPLIANCE, row.appliance),
    ):
        names.of(kind, name)


def outcome_document(names: Pseudonyms, row: ReportRow) -> Document:
    """An outcome: everything but what its names were."""
    evidence = row.evidence
    return {
        "target": names.of(Kind.HOST, row.dns) if row.host == row.dns else names.of(Kind.ADDRESS, row.host),
        "technology": row.technology.value,
        "port": row.port or None,
        "status": row.status.value,
        "reason": row.reason.code,
        "blocked_by": row.blocked_by or None,
        "record": names.of(Kind.RECORD, row.record) or None,
        "user": names.of(Kind.USER, row.user) or None,
        "vault": names.of(Kind.VAULT, row.vault) or None,
        "secret": names.of(Kind.SECRET, row.secret) or None,
        "appliance": names.of(Kind.APPLIANCE, row.appliance) or None,
        "attempts": row.attempts,
        "finished_at": round(row.finished_at, 3),
        "phase": evidence.phase.value,
        "signal": evidence.signal.model_dump(mode="json"),
        "text": names.text(evidence.text),
        "facts": {key: names.text(value) for key, value in evidence.facts.items() if key not in FACTS_LEFT_OUT},
        "submitted": evidence.submitted,
        "reread": evidence.reread.value,
        "phases_ms": {time.phase.value: round(time.ms, 1) for time in evidence.phases},
    }


def run_item(names: Pseudonyms, run: RunRecord, summary: Summary, logons: Iterable[LogonCount]) -> Item:
    document = summary_document(summary)
    for cause in document["causes"]:
        cause["value"] = names.text(cause["value"] or "") or None
    counts = [
        {"account": names.text(c.account), "granted": c.granted, "succeeded": c.succeeded, "failed": c.failed}
        for c in logons
    ]
    told = {**run_document(run), "campaign": names.of(Kind.CAMPAIGN, run.campaign)}
    return Item(
        "run.json",
        "state, times, totals, causes, logons per account",
        pretty({"run": told, **document, "logons": counts}),
    )


def settings_item(names: Pseudonyms, campaign: Campaign) -> Item:
    """How the campaign is set, without whom it concerns."""
    document = {
        "pace": campaign.pace.model_dump(mode="json"),
        "gates": list(campaign.gate),
        "targets": {"included": len(campaign.targets.include), "excluded": len(campaign.targets.exclude)},
        "vaults": [
            {
                "title": names.of(Kind.VAULT, vault.title),
                "type": vault.type,
                "scheme": urlsplit(vault.url).scheme,
                "path": names.text(urlsplit(vault.url).path),
                "api": vault.api,
                "domain": names.of(Kind.DOMAIN, vault.domain or "") or None,
                "password_from": vault.password.kind,
                "own_ca": vault.tls.ca is not None,
                "verified": vault.tls.verify,
                "pins": len(vault.tls.pin),
                "client_key_from": vault.tls.client_key.kind if vault.tls.client_key else None,
                "plain_http": vault.tls.plain_http,
                "proxy": vault.proxy is not None,
            }
            for vault in campaign.vaults
        ],
        "records": [_record(names, record) for record in campaign.records],
    }
    return Item("settings.json", "the campaign's settings; counts instead of targets", pretty(document))


def _record(names: Pseudonyms, record: Record) -> Document:
    without = {"ips", "known_hosts", "secret", "certificate", "fallback", "jump"}
    data = record.model_dump(mode="json", exclude_none=True, exclude=without)
    accounts = data.get("accounts", "")
    if record.technology == "unix":
        root = record.root_delegation
        by = root.secret.by.value if root.secret is not None else None
        data["fallback"] = [
            {"private_key": f.private_key, "password": f.password, "secret": f.secret and {"by": f.secret.by.value}}
            for f in record.fallback
        ]
        data["root_delegation"] = {"type": root.type, "password": root.password, "secret": by and {"by": by}}
    for key in ("domain", "realm"):
        if key in data:
            data[key] = names.of(Kind.DOMAIN, data[key])
    if "kdc" in data:
        data["kdc"] = len(data["kdc"])
    return data | {
        "title": names.of(Kind.RECORD, record.title),
        "user": names.of(Kind.USER, record.user),
        "vault": names.of(Kind.VAULT, record.vault),
        "secret": {"by": record.secret.by.value, "placeholders": record.secret.text.count("{")},
        "ips": len(record.ips),
        "accounts": accounts if accounts in ("", "local") else names.of(Kind.DOMAIN, accounts),
        **({"jump": _jump(names, record.jump)} if record.technology == "unix" and record.jump else {}),
    }


def _jump(names: Pseudonyms, jump: Jump) -> Document:
    data: Document = jump.model_dump(mode="json", exclude_none=True, exclude={"known_hosts"})
    accounts = data.get("accounts", "")
    host = names.text(jump.host) if number_of(jump.host) is not None else names.of(Kind.HOST, jump.host)
    return data | {
        "host": host,
        "user": names.of(Kind.USER, jump.user),
        "secret": {"by": jump.secret.by.value},
        "vault": names.of(Kind.VAULT, jump.vault or "") or None,
        "accounts": accounts if accounts in ("", "local") else names.of(Kind.DOMAIN, accounts),
    }


def log_item(names: Pseudonyms, name: str, about: str, text: str) -> Item:
    return Item(name, about, "".join(names.text(line) + "\n" for line in text.splitlines()))


def outcomes_item(names: Pseudonyms, rows: Iterable[ReportRow]) -> Item:
    return Item("outcomes.ndjson", "each outcome with its evidence", "".join(_lines(names, rows)))


def _lines(names: Pseudonyms, rows: Iterable[ReportRow]) -> Iterator[str]:
    for row in rows:
        yield dumps(outcome_document(names, row)) + "\n"


def pretty(document: Mapping[str, Any]) -> str:
    return dumps(document, indent=1) + "\n"
