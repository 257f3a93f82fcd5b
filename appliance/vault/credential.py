"""A target's credential, in memory only."""

from __future__ import annotations

import hmac
from typing import NoReturn

from appliance.vault.standing import Standing

_UNKNOWN = Standing()


class Credential:
    """User name and domain as the vault has them, and a password or a private key with its passphrase, and
    perhaps a certificate, which is public.

    It has no repr of its values, cannot be pickled, and compares in constant time. Python cannot wipe `str`:
    `forget` drops our references, and the end of the scan process destroys the rest (SECURITY.md).
    """

    __slots__ = ("_passphrase", "_password", "_private_key", "certificate", "domain", "standing", "user")

    def __init__(
        self,
        *,
        user: str = "",
        domain: str = "",
        password: str = "",
        private_key: bytes = b"",
        passphrase: str = "",
        certificate: bytes = b"",
        standing: Standing = _UNKNOWN,
    ) -> None:
        self.user = user
        self.domain = domain
        self.standing = standing
        self.certificate = certificate
        self._password = password
        self._private_key = private_key
        self._passphrase = passphrase

    @property
    def password(self) -> str:
        return self._password

    @property
    def private_key(self) -> bytes:
        return self._private_key

    @property
    def passphrase(self) -> str:
        return self._passphrase

    def same_secret_as(self, other: Credential) -> bool:
        """Is it the same password, key, passphrase and certificate? The user name does not matter."""
        return (
            hmac.compare_digest(self._password.encode(), other._password.encode())
            and hmac.compare_digest(self._private_key, other._private_key)
            and hmac.compare_digest(self._passphrase.encode(), other._passphrase.encode())
            and self.certificate == other.certificate
        )

    def copy(self) -> Credential:
        """The same for another holder, who forgets it on its own."""
        return Credential(
            user=self.user,
            domain=self.domain,
            password=self._password,
            private_key=self._private_key,
            passphrase=self._passphrase,
            certificate=self.certificate,
            standing=self.standing,
        )

    @property
    def forgotten(self) -> bool:
        return not (self._password or self._private_key)

    def forget(self) -> None:
        self._password = self._passphrase = ""
        self._private_key = b""

    def __repr__(self) -> str:
        return "<Credential>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential does not leave the memory of its process")
