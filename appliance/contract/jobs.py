"""One attempt at one target, as it goes out."""

from __future__ import annotations

from typing import Literal

from appliance.contract.logins import AccessTerms, Candidate
from appliance.contract.wire import Technology, Wire


class Target(Wire):
    """A host as the campaign names it. `address` is an IP literal, or a DNS name to be resolved by the appliance."""

    address: str
    host: str = ""
    fqdn: str = ""
    domain: str = ""


class HostAuthority(Wire):
    """A CA that may vouch for a target's SSH host key by a certificate."""

    key: str
    """As `type base64`."""
    names: tuple[str, ...]
    """The target's names for which it may: a certificate must be for one of them."""


class Job(Wire):
    """One attempt at one target with one technology."""

    v: Literal[1] = 1
    run: str
    job: str
    attempt: int
    lease: str
    """A random 128-bit token (hex) that the report must echo; a report with another one is discarded."""
    zone: str
    technology: Technology
    target: Target
    candidates: tuple[Candidate, ...]
    """Applicable records in order of selection; which Windows one applies is known after the challenge."""
    tried: tuple[str, ...] = ()
    """Records that an earlier attempt has tried and that must not be tried again."""
    rotated: bool = False
    """An earlier attempt was refused while its secret changed: what this process has kept of it may be the old one."""
    known_host_keys: tuple[str, ...] = ()
    """OpenSSH public key lines (`type base64`) the store knows for this target."""
    host_authorities: tuple[HostAuthority, ...] = ()
    revoked_host_keys: tuple[str, ...] = ()
    """Fingerprints (`SHA256:...`) of keys that are taken from no host, nor as the CA of its certificate."""
    known_jump_keys: tuple[str, ...] = ()
    """The same of the jump host of its record."""
    jump_authorities: tuple[HostAuthority, ...] = ()
    revoked_jump_keys: tuple[str, ...] = ()
    deadline: float
    """Seconds from the first byte of work to the last; absolute for the attempt, whatever hangs. The wait for a vault
    that limits its rate does not count, nor the listing of secrets that serves all targets.
    """
    give_up_at: float
    """Unix time after which waiting for the vault or the pacer ends as a failure instead of a deferral."""
    purpose: str
    """What the vault's audit is told: campaign, run and target."""
    terms: tuple[AccessTerms, ...] = ()
    """Of those records whose vault has terms of its own."""
    vault_only: bool = False
    """A load test of the vault: the attempt ends once its secret has been read; nothing is dialled or submitted."""
