"""The certificate that a vault is shown, from the files and references of its `tls` table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from appliance.certificates import (
    CertificateError,
    ClientCertificate,
    certificates_in,
    check_usable,
    client_certificate,
)
from orchestrator.campaign_model import Vault
from orchestrator.cli.errors import BadInput
from orchestrator.cli.secret_references import Reader, read_secret


def own_certificate(vault: Vault, now: float, read: Reader = read_secret) -> ClientCertificate:
    """What the vault, which names one, is shown at this Unix time. Raises BadInput."""
    try:
        return _whole(vault, now, read)
    except CertificateError as error:
        what = "the client key" if error.key == "client_key" else f"the client certificate {vault.tls.client_cert}"
        raise BadInput(f"vault {vault.title!r}: {what} {error}") from None


def faults(vault: Vault, now: float) -> Iterator[tuple[Literal["client_cert", "client_key"], str]]:
    """What is wrong with it, by key, as far as it can be seen in files: nobody is asked for anything."""
    if vault.tls.client_cert is None:
        return
    references = (vault.tls.client_key, vault.tls.client_key_passphrase)
    try:
        if all(reference is None or reference.kind == "file" for reference in references):
            _whole(vault, now, read_secret)
        else:
            check_usable(certificates_in(_chain(vault.tls.client_cert))[0], now)
    except CertificateError as error:
        yield error.key, str(error)
    except BadInput as error:
        yield "client_key", str(error)


def _whole(vault: Vault, now: float, read: Reader) -> ClientCertificate:
    """Raises CertificateError; BadInput for a reference that leads to nothing."""
    tls = vault.tls
    assert tls.client_cert is not None  # noqa: S101 - the callers have seen to it
    assert tls.client_key is not None  # noqa: S101 - the two go together
    chain = _chain(tls.client_cert)
    key = read(tls.client_key, vault.title, "client key", "")
    passphrase = ""
    if tls.client_key_passphrase is not None:
        prompt = f"Passphrase of the client key for {vault.title}"
        passphrase = read(tls.client_key_passphrase, vault.title, "client key's passphrase", prompt)
    return client_certificate(chain, key.encode(), passphrase, now)


def _chain(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CertificateError("client_cert", f"cannot be read: {error.strerror}; check the path") from None
