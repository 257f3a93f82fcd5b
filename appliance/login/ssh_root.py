"""From a login to root, over one SSH connection: by sudo without a password where that is enough, else with one.

What is asked, and what an answer means, is in `root`; the password comes from whoever lends it (`AskRoot`), goes out
once, and is kept no longer than that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncssh

from appliance.contract import Candidate, Failure, Phase, RootBy, RootPassword, named, peer_text
from appliance.login import AskRoot, Elevation
from appliance.login import root as rules
from appliance.login.privilege import CommandResult
from appliance.login.ssh_channel import Talk, talk
from appliance.login.ssh_prompts import Ask
from appliance.login.ssh_survey import Session, free_sudo

Run = Callable[[str, bool], Awaitable[CommandResult | Failure]]
"""Runs a command without input, with a terminal or without."""


class ToRoot:
    """One session's way to root. `state` is true at every moment, whatever interrupts it."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._terminal = False
        self.state = Elevation.UNTRIED

    async def gain(
        self, connection: asyncssh.SSHClientConnection, run: Run, session: Session, ask_root: AskRoot | None
    ) -> dict[str, str] | Failure:
        """Facts of all the rights that the record asks for, or what is missing. Raises what asyncssh raises when the
        connection fails.
        """
        free, root = session.sudo, self._candidate.root
        if session.root:
            return {}
        if session.needs_terminal:
            self._terminal = True
            free = await _on_terminal(run)
        if self._candidate.sudo and not (isinstance(free, Failure) and free.signal == named("PRIV_SUDO_PASSWORD")):
            return free
        return free if root is None or ask_root is None else await self._with_password(connection, root, ask_root)

    async def _with_password(
        self, connection: asyncssh.SSHClientConnection, root: RootPassword, ask_root: AskRoot
    ) -> dict[str, str] | Failure:
        if root.by is RootBy.SUDO:
            # sudo has asked already, in the way that costs nothing; a conversation begun and left would be counted.
            password = _typable(await ask_root())
            if isinstance(password, Failure):
                return password
            async with talk(connection, rules.command(root), terminal=self._terminal) as talking:
                asked = await self._question(talking, root)
                return asked if asked is not None else await self._answer(talking, root, password)
        async with talk(connection, rules.command(root), terminal=True) as talking:
            asked = await self._question(talking, root)
            if asked is not None:
                return asked
            password = _typable(await ask_root())
            return password if isinstance(password, Failure) else await self._answer(talking, root, password)

    async def _question(self, talking: Talk, root: RootPassword) -> dict[str, str] | Failure | None:
        """None: the password is asked for. Else how it ended without that."""
        asked = await talking.until(lambda said: rules.question(root, said), _stands_open)
        if asked is None and talking.ended:
            missing = rules.without_question(root, talking.result)
            return missing if missing is not None else _facts(root, "without a password")
        self.state = Elevation.BEGUN
        if asked is Ask.PASSWORD:
            return None
        return Failure(Phase.PRIVILEGE, named("PRIV_PROMPT_UNKNOWN"), peer_text(talking.output))

    async def _answer(self, talking: Talk, root: RootPassword, password: str) -> dict[str, str] | Failure:
        if not talking.answer(password):
            return Failure(Phase.PRIVILEGE, named("PRIV_CHECK_FAILED"), peer_text(talking.output))
        self.state = Elevation.SENT
        del password
        refused = await talking.until(
            lambda said: True if rules.refused(root, said) else _other_question(root, said),
            _stands_open,
        )
        if refused:
            self.state = Elevation.REFUSED
            return Failure(Phase.PRIVILEGE, named("PRIV_SUDO_REFUSED"), peer_text(talking.output))
        if not talking.ended:
            return Failure(Phase.PRIVILEGE, named("PRIV_PROMPT_UNKNOWN"), peer_text(talking.output))
        accepted, missing = rules.after_answer(root, talking.result)
        if accepted is not None:
            self.state = Elevation.ACCEPTED if accepted else Elevation.REFUSED
        return missing if missing is not None else _facts(root, "password")


async def _on_terminal(run: Run) -> dict[str, str] | Failure:
    listed = await run(rules.SUDO_LIST, True)
    if isinstance(listed, Failure) or listed.status != 0:
        return listed if isinstance(listed, Failure) else free_sudo(listed, None)
    proof = await run(rules.SUDO_PROOF, True)
    return proof if isinstance(proof, Failure) else free_sudo(listed, proof)


def _typable(password: str | Failure) -> str | Failure:
    """A terminal would take a control character for an order, and a line break for the end of the answer."""
    if isinstance(password, Failure) or password.isprintable():
        return password
    return Failure(Phase.PRIVILEGE, named("PRIV_NO_SECRET"), "the password holds a character that cannot be typed")


def _other_question(root: RootPassword, said: bytes) -> bool | None:
    """False: something else is asked after the answer. None: nothing so far."""
    asked = rules.question(root, said)
    return None if asked is None else False


def _stands_open(said: bytes) -> bool:
    return bool(rules.open_question(said))


def _facts(root: RootPassword, how: str) -> dict[str, str]:
    return {root.by.value: how}
