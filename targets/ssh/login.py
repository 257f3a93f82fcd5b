"""The logins that a simulated SSH host takes: what it offers, whom it believes, and what it says about it."""

from __future__ import annotations

import asyncio
import random
from typing import Literal

import anyio
import asyncssh
from asyncssh.auth import KbdIntChallenge, KbdIntResponse

from targets.conduct import Pace
from targets.directory import Logon
from targets.door import reset
from targets.estate import Host
from targets.faults import Manner, Session, Stage
from targets.host_world import HostWorld
from targets.ssh.session import HostSession

_PASSWORD_CHANGE = """\
You are required to change your password immediately (administrator enforced).
Changing password for {user}.
Current password: """  # noqa: S105 - a prompt
"""pam_unix's words; sshd puts them in front of the prompt that follows."""


class HostServer(asyncssh.SSHServer):
    """One connection's server side: decides logons by the world's accounts and counts them.

    A refusal is counted as it is decided, a success once nothing more is wanted: who is asked for a new password and
    leaves has not been logged in, nor refused.
    """

    def __init__(self, world: HostWorld, host: Host, pace: Pace) -> None:
        self._world = world
        self._host = host
        self._pace = pace
        self._fault = host.fault
        self._user = ""
        self._method = ""
        self._first = ""
        """The method that was right, where another one is wanted too."""
        self._sessions = 0
        """Open at the moment."""
        self.has_tried = False
        """A credential has come."""
        self._over = False
        """Of a keyboard-interactive conversation: whatever is answered now is refused."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return not self._fault.anonymous or self._host.login == "keyboard-interactive"

    def admits(self) -> bool:
        """The credential is right. Is that all, and may the account be used? What stands in the way is said here."""
        if self._fault.two_methods and not self._first:
            self._first = self._method
            self._refused()
            self._connection.send_userauth_failure(partial_success=True)
            return False
        if self._method and self._fault.hangs_up:
            self._refused()
            self._connection.abort()
            return False
        if self._method and self._fault.notice and not self._fault.locked:
            self._refused()
            self._connection.send_auth_banner(self._fault.notice)
            self._connection.abort()
            return False
        return True

    def auth_completed(self) -> None:
        if self._method:  # else nothing was asked
            self._count(ok=True)

    # -- by password ---------------------------------------------------------------------------------------------------

    def password_auth_supported(self) -> bool:
        return self._wants_password() and self._host.login != "keyboard-interactive"

    async def validate_password(self, username: str, password: str) -> bool:  # noqa: ARG002 - asyncssh's signature
        right = await self._password(password, "password")
        if right and self._fault.wants_new_password:
            raise asyncssh.PasswordChangeRequired("You must change your password.")
        return right

    def kbdint_auth_supported(self) -> bool:
        if self._fault.two_methods and self._host.login != "keyboard-interactive":
            return False
        return self._wants_password() or self._fault.second_factor

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> KbdIntChallenge:  # noqa: ARG002 - asyncssh's signature
        if self._fault.anonymous:
            self._method = "keyboard-interactive"
            return True
        if self._fault.second_factor:
            return _asking("Verification code: ")
        return _asking((self._fault.notice if self._fault.locked else "") + "Password: ")

    async def validate_kbdint_response(self, username: str, responses: KbdIntResponse) -> KbdIntChallenge:
        if self._over:
            return self._refused()
        if self._fault.second_factor or len(responses) != 1:
            return False
        if not await self._password(responses[0], "keyboard-interactive"):
            return False
        if self._fault.notice:
            self._over = True
            return "", self._fault.notice, "", []
        if self._fault.wants_new_password or self._fault.session is Session.EXPIRED:
            self._over = True
            return _asking(_PASSWORD_CHANGE.format(user=username))
        return True

    def _wants_password(self) -> bool:
        return self._fault.passwords and self._first in ("", "publickey")

    async def _password(self, password: str, method: str) -> bool:
        self._method = method
        await self._trouble()
        verdict = self._world.accounts.password(self._host, self._user, password)
        known = (await verdict if isinstance(verdict, asyncio.Future) else verdict) is Logon.OK
        if known and not self._fault.locked:
            return True
        await self._fail_delay()
        return self._refused()

    async def _fail_delay(self) -> None:
        """pam_fail_delay(3): give or take a quarter."""
        sshd = self._host.conduct.sshd
        if sshd is not None and sshd.fail_delay:
            await anyio.sleep(sshd.fail_delay * random.uniform(0.75, 1.25))

    # -- by key --------------------------------------------------------------------------------------------------------

    def public_key_auth_supported(self) -> bool:
        return self._first != "publickey"

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return await self._key(self._world.accounts.public_key(self._host, username, key.public_data))

    async def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002 - asyncssh's signature
        """A certificate of the estate's user CA opens every account there is; asyncssh checks its names and dates."""
        self._method = "publickey"
        await self._trouble()
        known = self._world.accounts.knows(self._host, self._user)
        return known and key.public_data == self._world.estate.user_ca.public_blob

    def certificate_refused(self) -> None:
        """For its authority, its names or its dates."""
        if self._world.accounts.knows(self._host, self._user):
            self._refused()

    async def _key(self, authorized: bool) -> bool:
        # A key is asked about before it is used: that it is right is counted once its signature has been seen.
        self._method = "publickey"
        await self._trouble()
        if not self._world.accounts.knows(self._host, self._user):
            return False  # sshd logs no verdict on the key of nobody
        return authorized or self._refused()

    # -- both ----------------------------------------------------------------------------------------------------------

    def session_requested(self) -> HostSession:
        sshd = self._host.conduct.sshd
        if not self._fault.opens_session or (sshd is not None and self._sessions >= sshd.max_sessions):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "open failed")
        self._sessions += 1
        return HostSession(self._world, self._host, self._user, self._connection, self._pace, self._session_ended)

    def _session_ended(self) -> None:
        self._sessions -= 1

    async def _trouble(self) -> None:
        self.has_tried = True
        trouble = self._fault.trouble
        match trouble.manner if trouble is not None and trouble.stage is Stage.LOGIN else None:
            case Manner.CUTS:
                reset(self._connection)
            case Manner.STALLS:
                await anyio.sleep_forever()  # until the connection ends, which ends this
            case _:
                if delay := self._pace.take(Stage.LOGIN):
                    await anyio.sleep(delay)

    def _refused(self) -> Literal[False]:
        self._count(ok=False)
        if self._fault.one_try:
            self._connection.disconnect(asyncssh.DISC_PROTOCOL_ERROR, "Too many authentication failures")
        return False

    def _count(self, *, ok: bool) -> None:
        self._world.metrics.logon(self._host.address, self._user, self._method, ok=ok)


def _asking(prompt: str) -> KbdIntChallenge:
    return "", "", "", [(prompt, False)]
