"""The logins that a simulated SSH host takes: what it offers, whom it believes, and what it says about it."""

from __future__ import annotations

import anyio
import asyncssh
from asyncssh.auth import KbdIntChallenge, KbdIntResponse

from targets.door import reset
from targets.estate import Host
from targets.faults import LAG_S, Manner, Stage
from targets.ssh.session import HostSession
from targets.world import World


class HostServer(asyncssh.SSHServer):
    """One connection's server side: decides logons by the world's accounts and counts them."""

    def __init__(self, world: World, host: Host) -> None:
        self._world = world
        self._host = host
        self._fault = host.fault
        self._user = ""
        self._method = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return not self._fault.anonymous

    def auth_completed(self) -> None:
        # A key is asked about before it is used; only here has its signature been seen to be good.
        if self._method == "publickey":
            self._count(self._user, "publickey", ok=True)

    def password_auth_supported(self) -> bool:
        return self._fault.passwords and self._host.login != "keyboard-interactive"

    async def validate_password(self, username: str, password: str) -> bool:
        return await self._password(username, password, "password")

    def kbdint_auth_supported(self) -> bool:
        return self._fault.passwords or self._fault.second_factor

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> KbdIntChallenge:  # noqa: ARG002 - asyncssh's signature
        return "", "", "", [("Verification code: " if self._fault.second_factor else "Password: ", False)]

    async def validate_kbdint_response(self, username: str, responses: KbdIntResponse) -> KbdIntChallenge:
        if self._fault.second_factor or len(responses) != 1:
            return False
        return await self._password(username, responses[0], "keyboard-interactive")

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return await self._key(username, self._world.accounts.public_key(self._host, username, key.public_data))

    async def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """A certificate of the estate's user CA opens every account there is; asyncssh checks its names and dates."""
        known = self._world.accounts.knows(self._host, username)
        return await self._key(username, known and key.public_data == self._world.estate.user_ca.public_blob)

    def session_requested(self) -> HostSession:
        return HostSession(self._world, self._host, self._user, self._connection)

    async def _key(self, user: str, authorized: bool) -> bool:
        self._method = "publickey"
        await self._trouble()
        if not authorized:
            self._count(user, "publickey", ok=False)
        return authorized

    async def _password(self, user: str, password: str, method: str) -> bool:
        self._method = method
        await self._trouble()
        ok = self._world.accounts.password(self._host, user, password) and not self._fault.notice
        self._count(user, method, ok=ok)
        if self._fault.notice:
            self._connection.send_auth_banner(self._fault.notice)
        if self._fault.hangs_up:
            self._connection.abort()
        if ok and self._fault.wants_new_password:
            raise asyncssh.PasswordChangeRequired("You must change your password.")
        return ok

    async def _trouble(self) -> None:
        trouble = self._fault.trouble
        if trouble is None or trouble.stage is not Stage.LOGIN:
            return
        match trouble.manner:
            case Manner.CUTS:
                reset(self._connection)
            case Manner.STALLS:
                await anyio.sleep_forever()  # until the connection ends, which ends this
            case Manner.LAGS:
                await anyio.sleep(LAG_S)

    def _count(self, user: str, method: str, *, ok: bool) -> None:
        self._world.metrics.logon(self._host.address, user, method, ok=ok)
