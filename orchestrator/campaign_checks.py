"""What must hold between the keys and tables of a campaign file, and no single model can see.

The checks read the file's raw data, so that a fault in one key does not hide those of others: a value that is not what
it should be is passed over here, since its model has already complained. Each yields (key path, message).

1. Titles are unique among vaults and among records; a record's vault exists, and finds secrets as the record names
   them: SOAP knows no paths, neither of secrets nor of folders.
2. Records chosen by address (Unix, user-selected and local Windows) have `ips`; records chosen by the domain that a
   host negotiates (service-selected, Active Directory) have none, and need the domain.
3. An address is in one Unix record only: which password it gets must not depend on the order of the file.
4. What locks an account is said once: `domain` or `accounts`, not in the user name; a local account has neither.
5. One target has one set of attributes, whatever entries name it.
6. A vault is asked by https, but on this machine or by leave (`tls.plain_http`); what needs TLS goes with https.
7. Kerberos needs the directory's full name; what it is found by has no effect without it.
8. A jump host may be dialled, its vault exists, and whoever excludes addresses names the targets behind it by theirs:
   names are resolved by the jump host, and nobody here would see that one leads to an excluded address.

What concerns zones is in `campaign_zones`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from appliance.toml_lines import KeyPath
from orchestrator.addresses import AddressError, AddressSet, Name, Span, canonical_address, parse_entry
from orchestrator.campaign_fields import dns_domain
from orchestrator.campaign_zones import check_zones
from orchestrator.exposure import on_this_machine

Complaint = tuple[KeyPath, str]
Attributes = tuple[str, ...]
"""Of a target: its canonical address; host, FQDN and domain, empty where they are not given."""

_Place = TypeVar("_Place")

_BY_DOMAIN = ("netbios-service-selected", "active-directory")


def check(data: Mapping[str, Any]) -> Iterator[Complaint]:
    vaults, records = _tables(data, "vaults"), _tables(data, "records")
    yield from _titles("vaults", vaults)
    yield from _titles("records", records)
    for index, vault in vaults:
        yield from _plain_http(("vaults", index), vault)
    titles = sorted({_text(vault, "title") for _, vault in vaults} - {""})
    by_soap = {_text(vault, "title") for _, vault in vaults if vault.get("api") == "soap"} - {""}
    for index, record in records:
        path: KeyPath = ("records", index)
        yield from _vault(path, record, titles)
        yield from _paths_by_soap(path, record, by_soap)
        if record.get("technology") == "windows":
            yield from _windows(path, record)
        elif record.get("technology") == "unix":
            if not record.get("ips"):
                yield (*path, "ips"), "is missing; say which addresses this record serves"
            yield from _unix(path, record, data, titles, by_soap)
    yield from _unix_overlaps(records)
    yield from _attributes(data)
    yield from check_zones(data)


def _tables(data: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    value = data.get(key)
    return [(i, t) for i, t in enumerate(value) if isinstance(t, dict)] if isinstance(value, list) else []


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    return value.strip() if isinstance(value, str) else ""


def _titles(key: str, tables: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, table in tables:
        title = _text(table, "title")
        if title and first.setdefault(title, index) != index:
            yield (key, index, "title"), f"{title!r} is the title of {key}[{first[title]}] too; give each its own"


def _plain_http(path: KeyPath, vault: Mapping[str, Any]) -> Iterator[Complaint]:
    url, tls = _text(vault, "url").lower(), vault.get("tls")
    tls = tls if isinstance(tls, dict) else {}
    allowed = tls.get("plain_http") is True
    if url.startswith("https://") and allowed:
        yield (*path, "tls", "plain_http"), "is for a vault whose url begins with http://; remove it"
    if not url.startswith("http://"):
        return
    if not allowed and not on_this_machine(url):
        clear = "begins with http://: the vault's password and every secret would cross the network in clear"
        yield (*path, "url"), f"{clear}; write https://, or, where there is none, tls = {{ plain_http = true }}"
    sealed = "is for a vault whose url begins with https://; correct the url, or remove it"
    for key in ("pin", "client_cert"):
        if tls.get(key):
            yield (*path, "tls", key), sealed
    if vault.get("proxy"):
        yield (*path, "proxy"), sealed


def _vault(path: KeyPath, record: Mapping[str, Any], titles: list[str]) -> Iterator[Complaint]:
    title = _text(record, "vault")
    if title and title not in titles:
        known = ", ".join(map(repr, titles)) or "none"
        yield (
            (*path, "vault"),
            f"there is no vault {title!r}; name one of this file's [[vaults]] by its title ({known})",
        )


def _paths_by_soap(path: KeyPath, record: Mapping[str, Any], by_soap: set[str]) -> Iterator[Complaint]:
    secret = record.get("secret")
    if isinstance(secret, dict) and "path" in secret and _text(record, "vault") in by_soap:
        yield (
            (*path, "secret", "path"),
            'is for vaults with api = "rest": SOAP finds no secret by its path; give its name or id',
        )
    if isinstance(secret, dict) and "folder" in secret and _text(record, "vault") in by_soap:
        yield (
            (*path, "secret", "folder"),
            'is for vaults with api = "rest": SOAP tells no folder\'s path; narrow by template, or remove it',
        )


def _unix(
    path: KeyPath, record: Mapping[str, Any], data: Mapping[str, Any], titles: list[str], by_soap: set[str]
) -> Iterator[Complaint]:
    if record.get("certificate") and record.get("private_key") is not True:
        yield (*path, "certificate"), "is for records with private_key = true; add that, or remove it"
    yield from _fallback((*path, "fallback"), record, by_soap)
    root = record.get("root_delegation")
    if isinstance(root, dict):
        below = {"vault": record.get("vault"), **root}
        if "vault" in root:
            yield from _vault((*path, "root_delegation"), below, titles)
        yield from _paths_by_soap((*path, "root_delegation"), below, by_soap)
    if isinstance(record.get("jump"), dict):
        yield from _jump((*path, "jump"), record, data, titles, by_soap)


def _fallback(path: KeyPath, record: Mapping[str, Any], by_soap: set[str]) -> Iterator[Complaint]:
    given = record.get("fallback")
    given = given if isinstance(given, list) else []
    if given and record.get("private_key") is not True:
        yield path, "is for records with private_key = true: a refused password is not followed by anything; remove it"
    for number, one in enumerate(given):
        if not isinstance(one, dict):
            continue
        yield from _paths_by_soap((*path, number), {"vault": record.get("vault"), **one}, by_soap)
        if one.get("private_key") is not True and number + 1 < len(given):
            yield (*path, number), "is a password, and so the last; put the keys before it, and keep one password"


def _jump(
    path: KeyPath, record: Mapping[str, Any], data: Mapping[str, Any], titles: list[str], by_soap: set[str]
) -> Iterator[Complaint]:
    jump = record["jump"]
    if "vault" in jump:
        yield from _vault(path, jump, titles)
    yield from _paths_by_soap(path, {"vault": record.get("vault"), **jump}, by_soap)
    targets = data.get("targets")
    excluded = AddressSet.of(_entries({"ips": targets.get("exclude") if isinstance(targets, dict) else None}))
    if _text(jump, "host") in excluded:
        yield (*path, "host"), "is excluded by [targets] exclude, so that nobody may dial it; take it out there"
    names = sorted(AddressSet.of(_entries(record)).names)
    if excluded.spans and names:
        yield (
            (*path[:-1], "ips"),
            (
                f"{names[0]!r} would be resolved by the jump host, and might be one of the addresses that are "
                "excluded; name the targets behind a jump host by address, or exclude by name"
            ),
        )


def _windows(path: KeyPath, record: Mapping[str, Any]) -> Iterator[Complaint]:
    kind = record.get("domain_type", "netbios-user-selected")
    domain, ips, accounts = _text(record, "domain"), record.get("ips"), _text(record, "accounts")
    if kind in _BY_DOMAIN:
        if ips:
            yield (*path, "ips"), f"does not go with {kind}: such a record serves every host of its domain; remove ips"
        if "domain" not in record:
            yield (*path, "domain"), f"is missing; a record of type {kind} is chosen by its domain"
    elif kind in ("netbios-user-selected", "local") and not ips:
        yield (*path, "ips"), "is missing; say which addresses this record serves, or choose a type that goes by domain"
    if kind == "netbios-service-selected" and (len(domain) > 15 or "." in domain):
        yield (
            (*path, "domain"),
            f"{domain!r} is no NetBIOS name (at most 15 characters, no dot), so no host would match",
        )
    if kind == "local" and domain:
        yield (*path, "domain"), "does not go with local: the account is the host's own; remove domain"
    if kind == "local" and accounts:
        yield (*path, "accounts"), "does not go with local: the account is the host's own; remove accounts"
    elif accounts == "local":
        yield (*path, "accounts"), 'is for Unix; for the hosts\' own Windows accounts write domain_type = "local"'
    yield from _kerberos(path, record)
    if "\\" in _text(record, "user") or "@" in _text(record, "user"):
        yield (*path, "user"), 'must be the bare account name; give the domain by itself, domain = "CORP"'


def _kerberos(path: KeyPath, record: Mapping[str, Any]) -> Iterator[Complaint]:
    if record.get("kerberos", "off") == "off":
        for key in ("realm", "kdc"):
            if key in record:
                yield (
                    (*path, key),
                    'has no effect without Kerberos; add kerberos = "required" or "prefer", or remove it',
                )
        return
    if record.get("nt_hash") is True:
        yield (
            (*path, "nt_hash"),
            "does not go with Kerberos, whose keys are made of the password; remove one of them",
        )
    if record.get("domain_type") == "local":
        yield (*path, "kerberos"), "does not go with local: the directory knows no account of the host's own; remove it"
    elif "realm" not in record and not _is_dns_domain(_text(record, "domain")):
        yield (
            (*path, "realm"),
            'is missing; Kerberos goes by the full name of the directory, for example realm = "corp.example"',
        )


def _is_dns_domain(text: str) -> bool:
    try:
        dns_domain(text)
    except ValueError:
        return False
    return True


def _entries(record: Mapping[str, Any]) -> Iterator[Span | Name]:
    ips = record.get("ips")
    for text in ips if isinstance(ips, list) else ():
        if isinstance(text, str):
            try:
                yield parse_entry(text)
            except AddressError:
                continue  # its model has said so


def _unix_overlaps(records: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Complaint]:
    """Every pair of Unix records that share an address: sorted by address, so that disjoint records cost no pairing."""
    owned: list[tuple[Span, int]] = []
    names: dict[str, int] = {}
    clashes: set[tuple[int, int]] = set()
    for index, record in records:
        if record.get("technology") != "unix":
            continue
        own = AddressSet.of(_entries(record))
        owned += [(span, index) for span in own.spans]
        clashes |= {(names.setdefault(name, index), index) for name in own.names}
    open_spans: list[tuple[int, int]] = []
    for (first, last), index in sorted(owned):
        open_spans = [(end, other) for end, other in open_spans if end >= first]
        clashes |= {(min(index, other), max(index, other)) for _, other in open_spans}
        open_spans.append((last, index))
    tables = dict(records)
    for one, two in sorted(clashes):
        if one != two:
            shared = AddressSet.of(_entries(tables[one])) & AddressSet.of(_entries(tables[two]))
            message = (
                f"{_label(tables, two)} and {_label(tables, one)} both claim {shared.describe()}; an address may be "
                "in one Unix record only: take it out of one of them"
            )
            yield ("records", two, "ips"), message


def _label(tables: Mapping[int, Mapping[str, Any]], index: int) -> str:
    title = _text(tables[index], "title")
    return f"record {title!r} (records[{index}])" if title else f"records[{index}]"


def _attributes(data: Mapping[str, Any]) -> Iterator[Complaint]:
    targets = data.get("targets")
    include = targets.get("include") if isinstance(targets, dict) else None
    given: dict[int, Attributes] = {}
    for index, entry in enumerate(include if isinstance(include, list) else ()):
        if not isinstance(entry, dict):
            continue
        try:
            address = canonical_address(_text(entry, "address"))
        except AddressError:
            continue  # its model has said so
        given[index] = (address, *(_text(entry, key) for key in ("host", "fqdn", "domain")))
    for index, first in disagreeing(given):
        yield (
            ("targets", "include", index),
            f"{given[index][0]} has other attributes in targets.include[{first}]; keep one of the two",
        )


def disagreeing(given: Mapping[_Place, Attributes]) -> Iterator[tuple[_Place, _Place]]:
    """Each entry that gives an address other attributes than the first that gives it any, and that one. Entries that
    give none agree with all.
    """
    seen: dict[str, _Place] = {}
    for place, (address, *attributes) in given.items():
        if any(attributes):
            first = seen.setdefault(address, place)
            if given[first] != given[place]:
                yield place, first
