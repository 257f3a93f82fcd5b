"""Which fields of a secret hold the credential. Pure.

Slugs are those of the shipped templates (Windows Account, Unix Account (SSH), Active Directory Account); they can be
edited per template, so where they are missing the flags decide: the one password field, the one attachment with "key"
in its slug.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.vault.answers import Item, Secret


@dataclass(frozen=True, slots=True)
class Chosen:
    """The fields that count; None where the secret has none."""

    user: str
    domain: str
    password: Item | None
    key: Item | None
    passphrase: Item | None
    certificate: Item | None
    """Of the key, by OpenSSH; no shipped template has one, so it is found by its slug alone."""


def choose(secret: Secret) -> Chosen:
    by_slug = {i.slug: i for i in secret.items}
    user, domain = by_slug.get("username"), by_slug.get("domain")
    return Chosen(
        user=user.value if user else "",
        domain=domain.value if domain else "",
        password=_one(secret, by_slug.get("password"), _is_password),
        key=_one(secret, by_slug.get("private-key"), _is_key),
        passphrase=_one(secret, by_slug.get("private-key-passphrase"), _is_passphrase),
        certificate=_one(secret, by_slug.get("certificate"), _is_certificate),
    )


def _one(secret: Secret, known: Item | None, fits: Callable[[Item], bool]) -> Item | None:
    """The field of the known slug, else the only one that fits: two that fit are a choice nobody made."""
    if known is not None:
        return known
    found = [i for i in secret.items if fits(i)]
    return found[0] if len(found) == 1 else None


def _is_password(item: Item) -> bool:
    return item.is_password and not item.is_file and not _is_passphrase(item)


def _is_passphrase(item: Item) -> bool:
    return "passphrase" in item.slug and not item.is_file


def _is_key(item: Item) -> bool:
    return item.is_file and "key" in item.slug and "public" not in item.slug and not _is_certificate(item)


def _is_certificate(item: Item) -> bool:
    return "certificate" in item.slug and not item.is_password
