"""From a secret that has been viewed to a credential: which of its fields count, and those that are read by themselves.

A mask is never a value: submitted to a target, it would be a failed logon.
"""

from __future__ import annotations

from appliance.contract import Failure, peer_text
from appliance.vault.answers import NOT_FOR_DISPLAY, Item, Secret
from appliance.vault.credential import Credential
from appliance.vault.dialect import Dialect
from appliance.vault.dialogue import Dialogue
from appliance.vault.failures import fail
from appliance.vault.fields import Chosen, choose
from appliance.vault.messages import Why


def credential(dialect: Dialect, secret: Secret, why: Why, *, private_key: bool) -> Dialogue[Credential | Failure]:
    """`why`: what the view was given, for the reads that follow."""
    chosen = choose(secret)
    if private_key:
        return (yield from _with_key(dialect, secret, chosen, why))
    # A blank password may be a hidden one, which is asked for by itself.
    password = yield from _text(dialect, secret, chosen.password, why, blank_is_masked=True)
    if isinstance(password, Failure):
        return password
    if not password:
        return fail("SECRET_FIELD_MISSING", "the secret has no password", template=peer_text(secret.template))
    return Credential(user=chosen.user, domain=chosen.domain, password=password, standing=secret.standing)


def _with_key(dialect: Dialect, secret: Secret, chosen: Chosen, why: Why) -> Dialogue[Credential | Failure]:
    key = chosen.key
    if key is None or (key.is_file and not key.has_file):
        return fail("SECRET_FIELD_MISSING", "the secret has no private key")
    data: bytes | str | Failure
    if key.is_file:
        data = yield from dialect.file(secret.id, key, why)
    else:
        data = yield from _text(dialect, secret, key, why)
    if isinstance(data, Failure):
        return data
    passphrase = yield from _text(dialect, secret, chosen.passphrase, why)
    if isinstance(passphrase, Failure):
        return passphrase
    if not data:
        return fail("SECRET_FIELD_MISSING", "the secret's private key is empty")
    certificate = yield from _certificate(dialect, secret, chosen.certificate, why)
    if isinstance(certificate, Failure):
        return certificate
    # A password beside a key is a bonus (sudo may want it): a masked one is not worth a view of its own.
    beside = chosen.password.value if chosen.password is not None else ""
    return Credential(
        user=chosen.user,
        domain=chosen.domain,
        password="" if beside == NOT_FOR_DISPLAY else beside,
        private_key=data.encode() if isinstance(data, str) else data,
        passphrase=passphrase,
        certificate=certificate,
        standing=secret.standing,
    )


def _certificate(dialect: Dialect, secret: Secret, item: Item | None, why: Why) -> Dialogue[bytes | Failure]:
    """A field's text, or an attachment; empty where there is none."""
    if item is not None and item.is_file:
        return (yield from dialect.file(secret.id, item, why)) if item.has_file else b""
    text = yield from _text(dialect, secret, item, why)
    return text if isinstance(text, Failure) else text.encode()


def _text(
    dialect: Dialect, secret: Secret, item: Item | None, why: Why, *, blank_is_masked: bool = False
) -> Dialogue[str | Failure]:
    """A field's value, read by itself where the secret came without it."""
    if item is None or item.is_file:
        return ""
    if item.value != NOT_FOR_DISPLAY and not (blank_is_masked and item.value == ""):
        return item.value
    value = yield from dialect.text(secret.id, item, why)
    if value == NOT_FOR_DISPLAY:
        return fail("VAULT_FORBIDDEN", f"the field {item.slug} is not shown to the vault's user")
    return value
