"""The vault logins that the orchestrator sends this appliance: opened, held against its own policy, and put to use.

Rules:
1. Nothing counts that was not signed by whom this appliance has enrolled with, or was made for another appliance, or
   has expired, or is older than the last one that counted.
2. A login is taken only for a vault that the appliance's own file names, and to that URL. The URL that is used is the
   one inside the seal, and so has to be the same. Where the file says whom to trust for TLS, that goes.
3. What is sent replaces all that was sent before. A run that is under way asks with the new login from then on.
4. What has expired is used for no new grant.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace

import anyio
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from appliance.contract import ContractError, canonical
from appliance.contract.sealed import SUITE, SealedLogins, bound
from appliance.logs import get_logger
from appliance.vault.definition import VaultLogin, VaultTls

log = get_logger()


@dataclass(frozen=True, slots=True)
class KnownVault:
    """A vault as the appliance's own file has it."""

    url: str
    tls: VaultTls | None = None
    """Whom to trust there, whatever is sent; None where the file says nothing of it."""


class SealError(ValueError):
    """Logins that do not count; the text says why."""


def new_sealing_key() -> tuple[str, str]:
    """Private and public half, base64; the first is a secret."""
    key = X25519PrivateKey.generate()
    return b64encode(key.private_bytes_raw()).decode(), b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass(slots=True)
class SealedBox:
    """Opens what is for this appliance."""

    appliance: str
    private: str = field(repr=False)
    voice: str
    """Whom to believe, base64."""
    vaults: Mapping[str, KnownVault]
    """By title, as the appliance's own file has them."""
    _last: float = 0.0

    def open(self, data: bytes, now: float) -> tuple[tuple[VaultLogin, ...], float]:
        """The logins that may be used, and until when. Raises SealError."""
        try:
            sealed = SealedLogins.decode(data)
            Ed25519PublicKey.from_public_bytes(b64decode(self.voice)).verify(b64decode(sealed.signature), sealed.signed)
        except ContractError as error:
            raise SealError(str(error)) from None
        except InvalidSignature:
            raise SealError("they were not signed by the fleet that this appliance has enrolled with") from None
        if sealed.appliance != self.appliance:
            raise SealError(f"they are for appliance {sealed.appliance!r}")
        if sealed.expires_at <= now:
            raise SealError("they have expired")
        if sealed.issued_at < self._last:
            raise SealError("they are older than those that were sent before")
        info = bound(sealed.appliance, sealed.issued_at, sealed.expires_at)
        try:
            private = X25519PrivateKey.from_private_bytes(b64decode(self.private))
            plain = json.loads(SUITE.decrypt(b64decode(sealed.box), private, info))
            logins = tuple(VaultLogin.from_pipe(canonical(one)) for one in plain)
        except (InvalidTag, ValueError):
            raise SealError("they were not sealed to this appliance's key") from None
        self._last = sealed.issued_at
        return tuple(filter(None, map(self._held, logins))), sealed.expires_at

    def _held(self, login: VaultLogin) -> VaultLogin | None:
        """The login as far as the appliance's own file lets it (rule 2)."""
        title, known = login.access.title, self.vaults.get(login.access.title)
        if known is None:
            return None
        if known.url != login.access.url.rstrip("/"):
            log.warning("vault login refused: its URL is not the one of this appliance's file", vault=title)
            return None
        if known.tls is None:
            return login
        own = {name: getattr(known.tls, name) for name in ("ca", "verify", "pins", "plain_http")}
        tls = login.access.tls.model_copy(update=own)
        return replace(login, access=login.access.model_copy(update={"tls": tls}))


async def follow(
    sent: AsyncIterator[bytes | None],
    box: SealedBox,
    use: Callable[[tuple[VaultLogin, ...]], None],
    clock: Callable[[], float],
) -> None:
    """Put to use what is sent, for ever."""
    async with anyio.create_task_group() as tasks:
        expiry = anyio.CancelScope()
        async for data in sent:
            if data is None:
                continue
            try:
                logins, until = box.open(data, clock())
            except SealError as error:
                log.warning("vault logins refused", text=str(error))
                continue
            expiry.cancel()
            expiry = anyio.CancelScope()
            log.info("vault logins received", vaults=[login.access.title for login in logins])
            use(logins)
            tasks.start_soon(_end, expiry, until, use, clock, name="sealed logins: expiry")


async def _end(
    scope: anyio.CancelScope, until: float, use: Callable[[tuple[VaultLogin, ...]], None], clock: Callable[[], float]
) -> None:
    with scope:
        await anyio.sleep(max(0.0, until - clock()))
        log.warning("vault logins have expired; an orchestrator of the fleet sends new ones")
        use(())
