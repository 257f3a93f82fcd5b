"""The witness of one SSH login: it sees what asyncssh tells its client, and decides what is answered.

asyncssh raises one `PermissionDenied` for six different causes and forgets what was offered; what really happened is
told apart by which callbacks ran, and when. Rules, stated here and nowhere else:
1. Each answer that the record has is given once, in its order, and no other: what is asked after the last is declined,
   since asyncssh asks again after a denial. A password is the last; no second one is ever given.
2. A key answers `publickey` only; a password `password`, or `keyboard-interactive` if it must. Keys that a host does
   not ask for are passed over.
3. The witness says `asked` only when an answer would be taken: a prompt for a second factor costs no vault read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

import anyio
import asyncssh
from asyncssh.auth import KbdIntPrompts, KbdIntResponse, PasswordChangeResponse
from asyncssh.public_key import KeyPairListArg, SSHKeyPair

from appliance.contract import peer_text
from appliance.login.ssh_crypto import Offers
from appliance.login.ssh_host_keys import Expected, Judgement, Shown, judge_key, read
from appliance.login.ssh_prompts import Ask, account_state, demands_change, judge

Answer = str | asyncssh.SSHKey | SSHKeyPair
"""A password, a key, or a key with its certificate, which alone is offered then."""

MAX_CHALLENGES = 8
"""Challenges of one conversation; a server that goes on is not asking for a password."""
NOTICE_LIMIT = 2048
"""Characters of the server's notices that are kept."""


class Witness(asyncssh.SSHClient):
    def __init__(self, expected: Expected, keys: Sequence[bool]) -> None:
        """`keys`: of each answer that there is, whether it is a key."""
        self._expected = expected
        self._keys = tuple(keys)
        self._at = 0
        self._given = False
        """The answer at `_at` has been."""
        self._answer: Answer | None = None
        self._handed = anyio.Event()
        self._news = anyio.Event()
        self._challenges = 0
        self._notices: list[str] = []
        self.host_key: Shown | None = None
        """The key the server showed; proven to be its own once `offered` is known."""
        self.judgement = Judgement()
        """What was made of it."""
        self.offers: Offers | None = None
        """Algorithms the server named."""
        self.offered: tuple[str, ...] = ()
        """Authentication methods the server named before any answer."""
        self.refusal: tuple[str, str] | None = None
        """The reason code and text, where the witness itself knows why the login must end."""
        self.asked: int | None = None
        """The answer that is waited for, by its number."""
        self.submitted = False
        self.unsigned = ""
        """Why the last answer, a key, was not sent."""
        self.method = ""
        """By which the answer was given."""
        self.accepted = False
        self.success_seen = False
        self.ended = False
        self.error: Exception | None = None

    # -- for the login -------------------------------------------------------------------------------------------------

    async def turn(self) -> None:
        """Wait until the server asks for a credential, accepts one, or has ended the connection."""
        await self._news.wait()
        self._news = anyio.Event()

    def hand(self, answer: Answer) -> None:
        """Give the password or key to whoever waits for it. It is kept no longer than that."""
        self._answer = answer
        self._handed.set()

    def refuse(self, reason: str, text: str = "") -> None:
        """Note why the login must end; the first reason stands."""
        if self.refusal is None:
            self.refusal = (reason, text)

    @property
    def notices(self) -> str:
        """What the server had to say: banners after an answer, and words around its prompts."""
        return " ".join(self._notices)

    # -- called by the connection --------------------------------------------------------------------------------------

    def greeted(self) -> None:
        """The server has identified itself."""
        self._news.set()

    def methods_seen(self, methods: Sequence[bytes], *, partial: bool) -> None:
        """The server has refused a method and names those that may go on."""
        if not self.offered:
            self.offered = tuple(m.decode("ascii", "replace") for m in methods)
        if partial and self.submitted and not self._could_follow(methods):
            wanted = ", ".join(m.decode("ascii", "replace") for m in methods)
            self.refuse("PARTIAL_SUCCESS", peer_text(f"also wants: {wanted}"))

    def key_not_sent(self, kind: str) -> None:
        """The server takes no signature of this kind of key that the record's profile allows; nothing was signed."""
        self.unsigned = f"the host takes no signature of {kind} keys but SHA-1: the profile legacy would do"
        self.submitted = False

    def host_key_shown(self, data: bytes) -> asyncssh.SSHKey:
        """The server has shown a host key, or a certificate of one. Raises ValueError if it is not to be taken."""
        try:
            shown = read(data)
        except ValueError as error:
            self.refuse("SSH_PROTOCOL", str(error))
            raise
        self.host_key, self.judgement = shown, judge_key(shown, self._expected, time.time())
        if self.judgement.refusal is not None:
            self.refuse(*self.judgement.refusal)
            raise ValueError(self.judgement.refusal[0])
        return shown.key

    # -- callbacks of asyncssh -----------------------------------------------------------------------------------------

    async def public_key_auth_requested(self) -> KeyPairListArg | None:
        if not self._next(key=True):
            return None
        key = await self._wait_for_answer("publickey")
        return [key] if isinstance(key, asyncssh.SSHKey | SSHKeyPair) else None

    async def password_auth_requested(self) -> str | None:
        if not self._next(key=False):
            return None
        password = await self._wait_for_answer("password")
        return password if isinstance(password, str) else None

    def password_change_requested(self, prompt: str, lang: str) -> PasswordChangeResponse:  # noqa: ARG002 - asyncssh's signature
        self.refuse("PASSWORD_EXPIRED", peer_text(prompt))
        return cast("PasswordChangeResponse", NotImplemented)  # asyncssh's word for declining

    def kbdint_auth_requested(self) -> str | None:
        if self._keys[-1] or self._password_given or "password" in self.offered:
            return None
        return ""

    async def kbdint_challenge_received(
        self,
        name: str,
        instructions: str,
        lang: str,  # noqa: ARG002 - asyncssh's signature
        prompts: KbdIntPrompts,
    ) -> KbdIntResponse | None:
        self._note(name, instructions)
        self._challenges += 1
        ask = judge(name, instructions, prompts) if self._challenges <= MAX_CHALLENGES else Ask.UNKNOWN
        if ask is Ask.NOTHING:
            return []
        words = peer_text(" ".join((name, instructions, *(prompt for prompt, _ in prompts))))
        if ask is not Ask.PASSWORD:
            self.refuse(ask.value, words)
            return None
        if self._password_given:
            self.refuse("BAD_CREDENTIALS", f"asked again: {words}")
            return None
        self._next(key=False)
        password = await self._wait_for_answer("keyboard-interactive")
        return [password] if isinstance(password, str) else None

    def auth_banner_received(self, msg: str, lang: str) -> None:  # noqa: ARG002 - asyncssh's signature
        if self.submitted:  # one that comes before is the host's greeting, and may quote anything
            self._note(msg)

    def auth_completed(self) -> None:
        self.accepted = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        self._news.set()

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _wait_for_answer(self, method: str) -> Answer | None:
        self.submitted, self.asked = False, self._at  # what was given before is judged
        self._handed = anyio.Event()
        self._news.set()
        await self._handed.wait()
        answer, self._answer = self._answer, None
        self.submitted = self._given = answer is not None
        self.method, self.asked = method, None
        return answer

    def _next(self, *, key: bool) -> bool:
        """Come to the answer that is asked for now; False: there is none."""
        at = self._at + self._given
        while at < len(self._keys) and self._keys[at] and not key:
            at += 1
        if at == len(self._keys) or self._keys[at] is not key:
            return False
        self._at, self._given, self.unsigned = at, False, ""
        return True

    def _could_follow(self, methods: Sequence[bytes]) -> bool:
        """Is there an answer left that a method takes?"""
        by_kind = {True: {b"publickey"}, False: {b"password", b"keyboard-interactive"}}
        return any(by_kind[key].intersection(methods) for key in self._keys[self._at + 1 :])

    @property
    def _password_given(self) -> bool:
        return self._given and not self._keys[self._at]

    def _note(self, *words: str) -> None:
        if sum(map(len, self._notices)) < NOTICE_LIMIT:
            self._notices += [w.strip()[:NOTICE_LIMIT] for w in words if w.strip()]

    def account_state(self) -> str | None:
        """What the server's notices say of the account or its password, as a reason code."""
        if not self.submitted:
            return account_state(self.notices)
        return account_state(self.notices) or ("PASSWORD_EXPIRED" if demands_change(self.notices) else None)
