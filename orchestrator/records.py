"""Which authentication record serves which target, as which account, with which secret. Pure.

Order of selection, the field's own: for Windows every service-selected record (which one applies is known only after
the challenge: `Candidate.domain` says for whom it is), then user-selected and local ones that contain the address, then
Active Directory; for Unix the one record that contains the address. A record contains a target whose address is in its
`ips`; a DNS name is contained only by the same name there, since nothing is resolved before the appliance dials.

What locks an account (its authority): `host:<address>` for an account of the host's own (Unix `accounts = "local"`,
Windows `local`), else the directory that `accounts` names, else the Windows domain, else the Kerberos realm, else one
directory named after the record: the safe side, since a shared account then is counted as one.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

from appliance.contract import (
    Account,
    Candidate,
    CredentialRef,
    Fallback,
    Jump,
    KdcPlace,
    KerberosTerms,
    RootBy,
    RootPassword,
    SecretLookup,
    Selection,
    Target,
    Technology,
    account_key,
)
from orchestrator.account_state import Budget
from orchestrator.addresses import AddressSet, number_of
from orchestrator.campaign_model import Record, SecretReference, UnixRecord, Vault, WindowsRecord

_ADDRESS = frozenset({"address"})


@dataclass(frozen=True, slots=True)
class NoCandidate:
    """No record can serve a target: a code of the reason table, and why in words."""

    reason: str
    text: str


class RecordBook:
    """A campaign's records, looked up by target; by address that costs a bisection, however many there are."""

    def __init__(self, records: Iterable[Record], vaults: Iterable[Vault]) -> None:
        self._records = tuple(records)
        self._vaults = {vault.title: vault for vault in vaults}
        self._by_title = {record.title: record for record in self._records}
        self._unix = [r for r in self._records if isinstance(r, UnixRecord)]
        windows = [r for r in self._records if isinstance(r, WindowsRecord)]
        self._service = [r for r in windows if r.selection is Selection.SERVICE_SELECTED]
        self._directory = [r for r in windows if r.selection is Selection.ACTIVE_DIRECTORY]
        self._addresses = {r.title: AddressSet.parse(r.ips) for r in self._records}
        self._unix_index = _Index((r, self._addresses[r.title]) for r in self._unix)
        self._windows_index = _Index((r, self._addresses[r.title]) for r in windows if r.by_address)
        self._jumping: dict[tuple[str, str], list[Record]] = {}
        """By account of a jump host: the records that use it."""
        for record in self._unix:
            if (jump := jump_of(record)) is not None:
                self._jumping.setdefault((jump.account.authority, jump.account.user), []).append(record)
        self._shared = self._shared_budgets()

    def technologies(self) -> tuple[Technology, ...]:
        """The technologies that some record could serve."""
        return tuple(t for t in Technology if any(r.technology == t.value for r in self._records))

    def vault(self, title: str) -> Vault:
        """Raises KeyError."""
        return self._vaults[title]

    def serves(self, technology: Technology) -> AddressSet | None:
        """The addresses that some record could serve; None means any address (a record that goes by domain)."""
        if technology is Technology.WINDOWS and (self._service or self._directory):
            return None
        served = AddressSet()
        for record in self._records:
            if record.technology == technology.value:
                served |= self._addresses[record.title]
        return served

    def applicable(self, target: Target, technology: Technology) -> tuple[Record, ...]:
        """The records for a target, in order of selection."""
        if technology is Technology.UNIX:
            return self._unix_index.find(target.address)
        return (*self._service, *self._windows_index.find(target.address), *self._directory)

    def candidates(self, target: Target, technology: Technology) -> tuple[Candidate, ...] | NoCandidate:
        """The applicable records, resolved for the target: at least one. A record whose secret's name, or whose ticket,
        needs what the target list does not say is left out.
        """
        found: list[Candidate] = []
        lacking: list[str] = []
        for record in self.applicable(target, technology):
            secret = resolve_secret(record, target)
            if isinstance(secret, NoCandidate):
                lacking.append(secret.text)
                continue
            if nameless := _nameless(record, target):
                lacking.append(nameless)
                continue
            root, fallbacks = root_password(record, target, secret), fallbacks_of(record, target, secret)
            if isinstance(root, NoCandidate):
                lacking.append(root.text)
            elif isinstance(fallbacks, NoCandidate):
                lacking.append(fallbacks.text)
            else:
                found.append(_candidate(record, target, secret, root, fallbacks))
        if found:
            return tuple(found)
        return NoCandidate("NO_RECORD", "; ".join(lacking) or f"no {technology} record contains {target.address}")

    def budget(self, record: str) -> Budget:
        """What a record, by its title, allows its account. Raises KeyError."""
        return _budget(self._by_title[record])

    def budget_for(self, account: Account) -> Budget | None:
        """The safest of what the records that name this account allow: fewest failures, longest window. None for an
        account that no record names.
        """
        if account.is_directory:
            return self._shared.get((account.authority, account.user))
        address = account.authority.removeprefix("host:")
        budgets = [_budget(record) for record in self._jumping.get((account.authority, account.user), ())]
        budgets += [
            _budget(record)
            for record in (*self._unix_index.find(address), *self._windows_index.find(address))
            if account in (account_of(record, address), root_account_of(record, address))
        ]
        return _safest(budgets) if budgets else None

    def budgets_of_hosts(self) -> frozenset[Budget]:
        """What records allow accounts that are a host's own, those of root and of jump hosts included."""
        own = {
            _budget(record)
            for record in self._records
            for account in (account_of(record, ""), root_account_of(record, ""))
            if account is not None and not account.is_directory
        }
        jumps = [records for (authority, _), records in self._jumping.items() if authority.startswith("host:")]
        return frozenset(own | {_budget(record) for records in jumps for record in records})

    def directory_accounts(self) -> Mapping[Account, tuple[Record, ...]]:
        """Every account of a directory, with the records that use it."""
        users: dict[tuple[str, str], list[Record]] = {}
        for record in self._records:
            account = account_of(record, "")
            if account.is_directory:
                users.setdefault((account.authority, account.user), []).append(record)
        return {Account(authority=a, user=u): tuple(records) for (a, u), records in users.items()}

    def _shared_budgets(self) -> dict[tuple[str, str], Budget]:
        users = {(a.authority, a.user): list(records) for a, records in self.directory_accounts().items()}
        for key, records in self._jumping.items():
            users.setdefault(key, []).extend(records)
        return {key: _safest([_budget(r) for r in records]) for key, records in users.items()}


class _Index:
    """Records by address. Overlapping ones (Windows) are found in the order of the file."""

    def __init__(self, served: Iterable[tuple[Record, AddressSet]]) -> None:
        rows = list(served)
        bounds = sorted({b for _, s in rows for first, last in s.spans for b in (first, last + 1)})
        self._bounds = bounds
        self._owners: list[tuple[Record, ...]] = [()] * len(bounds)
        """Who serves the addresses from one bound up to the next."""
        self._names: dict[str, tuple[Record, ...]] = {}
        for record, addresses in rows:
            for first, last in addresses.spans:
                for n in range(bisect.bisect_left(bounds, first), bisect.bisect_left(bounds, last + 1)):
                    self._owners[n] = (*self._owners[n], record)
            for name in addresses.names:
                self._names[name] = (*self._names.get(name, ()), record)

    def find(self, address: str) -> tuple[Record, ...]:
        number = number_of(address)
        if number is None:
            return self._names.get(address.strip().lower().removesuffix("."), ())
        n = bisect.bisect_right(self._bounds, number) - 1
        return self._owners[n] if n >= 0 else ()


def account_of(record: Record, address: str) -> Account:
    """The account that a record logs in with on the host at `address`."""
    local = record.accounts == "local" if isinstance(record, UnixRecord) else record.selection is Selection.LOCAL
    if local:
        return account_key(f"host:{address}", record.user)
    domain = (record.domain or record.realm) if isinstance(record, WindowsRecord) else None
    return account_key(f"dir:{record.accounts or domain or f'record:{record.title}'}", record.user)


def template_values(target: Target) -> dict[str, str]:
    """What a secret's name may take from a target, as the target list says it. A fully qualified name (given, or the
    address itself where that is a DNS name) also gives host and domain where they are not given.
    """
    name = "" if number_of(target.address) is not None else target.address
    fqdn = target.fqdn or (name if "." in name else "")
    host, _, domain = (fqdn or target.host or name).partition(".")
    values = {"address": target.address, "fqdn": fqdn, "host": target.host or host, "domain": target.domain or domain}
    return {key: value for key, value in values.items() if value}


def resolve_secret(record: Record, target: Target) -> CredentialRef | NoCandidate:
    """The secret of a record for one target. The values come from the target list, never from what the target says of
    itself: a hostile host would choose its secret.
    """
    return _resolved(record.title, record.vault, record.secret, target)


def _resolved(title: str, vault: str, reference: SecretReference, target: Target) -> CredentialRef | NoCandidate:
    if reference.by is SecretLookup.ID:
        return CredentialRef(vault=vault, by=SecretLookup.ID, key=reference.text)
    try:
        key = reference.text.format(**_values_for(reference.text, target))
    except KeyError as error:
        return NoCandidate(
            "NO_RECORD",
            f"record {title!r} names its secret {reference.text!r}, and the target list gives "
            f"no {error.args[0]} for {target.address}",
        )
    narrowed = {"template": reference.template or "", "folder": reference.folder or ""}
    return CredentialRef(vault=vault, by=reference.by, key=key, **narrowed)


def _values_for(text: str, target: Target) -> dict[str, str]:
    """The same, or only what most names take: this is done for each target of a run."""
    return {"address": target.address} if _fields(text) <= _ADDRESS else template_values(target)


@lru_cache(maxsize=1024)
def _fields(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def root_account_of(record: Record, address: str) -> Account | None:
    """The account whose password root delegation submits: the record's own, where it is that user's; else the host's
    own (root is one on each host). None where none is submitted.
    """
    if not isinstance(record, UnixRecord) or not (record.root_delegation.password or record.root_delegation.secret):
        return None
    own = account_of(record, address)
    user = _root_user(record)
    return own if account_key(own.authority, user) == own else account_key(f"host:{address}", user)


def _root_user(record: UnixRecord) -> str:
    root = record.root_delegation
    return root.user or ("root" if root.type == "su" else record.user)


def root_password(record: Record, target: Target, login: CredentialRef) -> RootPassword | NoCandidate | None:
    """What the record's root delegation may be answered with at one target."""
    account = root_account_of(record, target.address)
    if account is None or not isinstance(record, UnixRecord):
        return None
    root = record.root_delegation
    secret = login if root.secret is None else _resolved(record.title, root.vault or record.vault, root.secret, target)
    if isinstance(secret, NoCandidate):
        return secret
    return RootPassword(by=RootBy(root.type), user=_root_user(record), account=account, secret=secret)


def fallbacks_of(record: Record, target: Target, login: CredentialRef) -> tuple[Fallback, ...] | NoCandidate:
    """What the login goes on with at one target."""
    found: list[Fallback] = []
    for told in record.fallback if isinstance(record, UnixRecord) else ():
        secret = login if told.secret is None else _resolved(record.title, record.vault, told.secret, target)
        if isinstance(secret, NoCandidate):
            return secret
        found.append(Fallback(secret=secret, private_key=told.private_key, certificate=told.certificate or ""))
    return tuple(found)


def service_host(target: Target) -> str:
    """The name that a target's Kerberos ticket is asked for, as the target list gives it; empty where it gives none.
    Never what the target says of itself: a hostile host would name another, and pass the ticket on to it.
    """
    values = template_values(target)
    host, domain = values.get("host", ""), values.get("domain", "")
    return values.get("fqdn") or (f"{host}.{domain}" if host and domain else host)


def _nameless(record: Record, target: Target) -> str:
    """Why no ticket can be asked for where the record takes nothing else; else empty."""
    if not isinstance(record, WindowsRecord) or record.kerberos != "required" or service_host(target):
        return ""
    return (
        f"record {record.title!r} logs in with Kerberos, which goes by name, and the target list gives no name for "
        f"{target.address}; give it an fqdn"
    )


def _terms(record: WindowsRecord, target: Target) -> KerberosTerms | None:
    if record.tickets_from is None:
        return None
    realm, kdcs = record.tickets_from
    return KerberosTerms(
        required=record.kerberos == "required",
        realm=realm,
        kdcs=tuple(KdcPlace(host=host, port=port) for host, port in kdcs),
        host=service_host(target),
    )


def _candidate(
    record: Record, target: Target, secret: CredentialRef, root: RootPassword | None, fallbacks: tuple[Fallback, ...]
) -> Candidate:
    account = account_of(record, target.address)
    if isinstance(record, WindowsRecord):
        return Candidate(
            record=record.title,
            user=record.user,
            domain=record.domain or record.realm or "",
            account=account,
            secret=secret,
            selection=record.selection,
            port=record.port,
            kerberos=_terms(record, target),
            nt_hash=record.nt_hash,
        )
    return Candidate(
        record=record.title,
        user=record.user,
        account=account,
        secret=secret,
        selection=Selection.IP,
        port=record.port,
        private_key=record.private_key,
        certificate=record.certificate or "",
        sudo=record.root_delegation.type == "sudo",
        host_keys=record.host_keys,
        crypto=record.crypto,
        jump=jump_of(record),
        root=root,
        fallbacks=fallbacks,
    )


def jump_of(record: Record) -> Jump | None:
    """The jump host of a record, and the login there; it is the same for all targets."""
    told = record.jump if isinstance(record, UnixRecord) else None
    if told is None:
        return None
    own = told.accounts is None or told.accounts == "local"
    authority = f"host:{told.host}" if own else f"dir:{told.accounts}"
    narrowed = {"template": told.secret.template or "", "folder": told.secret.folder or ""}
    return Jump(
        address=told.host,
        port=told.port,
        user=told.user,
        account=account_key(authority, told.user),
        secret=CredentialRef(vault=told.vault or record.vault, by=told.secret.by, key=told.secret.plain, **narrowed),
        private_key=told.private_key,
        host_keys=told.host_keys,
        crypto=told.crypto,
    )


def _budget(record: Record) -> Budget:
    return Budget(failures=record.failure_budget, window_s=record.failure_window)


def _safest(budgets: list[Budget]) -> Budget:
    return Budget(failures=min(b.failures for b in budgets), window_s=max(b.window_s for b in budgets))
