"""What a Windows session may do, of what a scanner needs. Read-only: shares are connected, two services asked for.

1. IPC$ proves the session. ADMIN$ and C$ are for administrators.
2. The service control manager is opened to connect and no more, the registry to query values and no more. Both handles
   go with the session.
3. The first right that lacks, in that order, is the reason; the text names all that lack, and the facts every one.
4. A registry that is not there yet may be starting: Windows starts it when its pipe is asked for, which takes a second.
5. A local administrator whose token UAC has filtered is told from a user by his membership, where the host lets us read
   that (Windows does so up to Server 2012 R2): the account is in Administrators, and refused all the same.

Everything here blocks, and runs in the bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from appliance.contract import Failure, Phase, Signal, named, ntstatus
from appliance.login.bridge import wait_for
from appliance.login.smb_members import is_administrator
from appliance.login.smb_requests import Answer, Request, file_of, open_pipe, said, say, share_flags, tree_connect
from appliance.login.smb_rpc import (
    ACCESS_DENIED,
    FRAGMENT,
    SAMR,
    SVCCTL,
    WINREG,
    Interface,
    RpcError,
    RpcFault,
    bind,
    open_local_machine,
    open_service_manager,
    read_bind,
    read_opened,
)
from appliance.login.smb_session import STATUS_ACCESS_DENIED, STATUS_SUCCESS, SmbSession

STARTING = frozenset({0xC00000AB, 0xC00000AC, 0xC00000AE})
"""INSTANCE_NOT_AVAILABLE, PIPE_NOT_AVAILABLE, PIPE_BUSY."""
MISSING = frozenset({0xC0000034, *STARTING})
"""Of a pipe: OBJECT_NAME_NOT_FOUND too."""
NO_SHARE = 0xC00000CC
START_S = (0.4, 0.8)
"""Waits for a pipe that is starting, in seconds."""

YES, NO, OFF, UNCLEAR = "yes", "no", "off", "unclear"


@dataclass(frozen=True, slots=True)
class Right:
    found: str
    signal: Signal | None = None
    """The reason, where it lacks."""
    text: str = ""


@dataclass(slots=True)
class Look:
    """One look at the rights of a session. `host` and `user` are those of a local account, else empty."""

    session: SmbSession
    host: str = ""
    user: str = ""
    rights: dict[str, Right] = field(default_factory=dict)
    """By the name of the fact; kept where the connection is cut in mid-look."""
    _tree: int = 0

    def look(self) -> Failure | None:
        """Raises what the session raises: a cut connection, an unreadable answer."""
        proof = self.session.ipc()
        if proof.status != STATUS_SUCCESS:
            return Failure(Phase.PRIVILEGE, named("PRIV_CHECK_FAILED"), f"IPC$: {_hex(proof.status)}")
        self._tree = self.session.connected(proof)
        admin, disk, services, registry = self.session.ask(
            *(tree_connect(self.session.address, share) for share in ("ADMIN$", "C$")),
            *(open_pipe(self._tree, interface.pipe) for interface in (SVCCTL, WINREG)),
        )
        self.rights["admin_share"] = _share("ADMIN$", admin)
        self.rights["disk_share"] = _share("C$", disk)
        self._open_both(services, self._awaited(registry))
        if self.rights["admin_share"].found == NO and self.user:
            self._membership()
        return self._lacking()

    @property
    def facts(self) -> Mapping[str, str]:
        return {name: right.found for name, right in self.rights.items()}

    def _lacking(self) -> Failure | None:
        lacking = [right for right in self.rights.values() if right.signal is not None]
        # What is denied or gone is told before what only could not be made out.
        lacking.sort(key=lambda right: right.found == UNCLEAR)
        if not lacking or lacking[0].signal is None:
            return None
        return Failure(Phase.PRIVILEGE, lacking[0].signal, "; ".join(right.text for right in lacking), dict(self.facts))

    # -- pipes ---------------------------------------------------------------------------------------------------------

    def _awaited(self, registry: Answer) -> Answer:
        """The registry's pipe, asked for again while it may be starting."""
        for pause in START_S:
            if registry.status not in STARTING:
                break
            wait_for(anyio.sleep(pause))
            [registry] = self.session.ask(open_pipe(self._tree, WINREG.pipe))
        return registry

    def _open_both(self, services: Answer, registry: Answer) -> None:
        """What the two pipes lead to, side by side: they are bound at once, and then called at once."""
        files: dict[Interface, bytes] = {}
        for interface, opened in ((SVCCTL, services), (WINREG, registry)):
            if opened.status == STATUS_SUCCESS:
                files[interface] = file_of(opened)
                self._learnt(interface, Right(YES))  # unless one of the calls says otherwise
            else:
                self._learnt(interface, _unopened(interface, opened.status))
        for message, read in ((bind, _bound), (_OPENINGS.__getitem__, read_opened)):
            said_on = list(files)
            answers = self.session.ask(*(self._say(files[interface], message(interface)) for interface in said_on))
            for interface, answer in zip(said_on, answers, strict=True):
                try:
                    error = read(_heard(answer))
                except RpcFault as fault:
                    error = fault.status
                except RpcError as unreadable:
                    self._learnt(interface, _unclear(interface, str(unreadable)))
                    del files[interface]
                    continue
                if error:
                    self._learnt(interface, _failed(interface, error))
                    del files[interface]

    def _learnt(self, interface: Interface, right: Right) -> None:
        self.rights[_FACTS[interface]] = right

    def _say(self, file: bytes, message: bytes) -> Request:
        return say(self._tree, file, message, at_most=FRAGMENT)

    def _membership(self) -> None:
        """Is the refused account an administrator? Then it is its token that UAC has filtered."""
        refused = self.rights["admin_share"]
        try:
            filtered = self._is_administrator()
        except RpcError as unknown:
            # Most hosts tell their members to administrators only: then nobody can say.
            self.rights["admin_share"] = Right(NO, refused.signal, f"{refused.text} (members: {unknown})")
            return
        if filtered:
            text = f"{refused.text}, though the account is in Administrators"
            self.rights["admin_share"] = Right(NO, named("PRIV_UAC_FILTERED"), text)

    def _is_administrator(self) -> bool:
        """Raises RpcError where the host does not tell."""
        [opened] = self.session.ask(open_pipe(self._tree, SAMR.pipe))
        if opened.status != STATUS_SUCCESS:
            raise RpcError(_hex(opened.status))
        file = file_of(opened)

        def exchange(message: bytes) -> bytes:
            [answer] = self.session.ask(self._say(file, message))
            return _heard(answer)

        read_bind(exchange(bind(SAMR)))
        return is_administrator(exchange, self.host, self.user)


_FACTS = {SVCCTL: "service_control", WINREG: "remote_registry"}
_OPENINGS = {SVCCTL: open_service_manager(), WINREG: open_local_machine()}
_DENIED = {SVCCTL: "PRIV_NO_SERVICES", WINREG: "PRIV_NO_REGISTRY"}


def _unopened(interface: Interface, status: int) -> Right:
    """A pipe that is refused."""
    text = f"{interface.pipe}: {_hex(status)}"
    if status == STATUS_ACCESS_DENIED:
        return Right(NO, named(_DENIED[interface]), text)
    if interface == WINREG and status in MISSING:
        return Right(OFF, ntstatus(status), text)
    return Right(UNCLEAR, named("PRIV_CHECK_FAILED"), text)


def _failed(interface: Interface, error: int) -> Right:
    """A call that is refused, by its own error or as an RPC fault."""
    text = f"{interface.pipe}: error {error:#x}" if error > 0xFFFF else f"{interface.pipe}: error {error}"
    if error == ACCESS_DENIED:
        return Right(NO, named(_DENIED[interface]), text)
    return Right(UNCLEAR, named("PRIV_CHECK_FAILED"), text)


def _unclear(interface: Interface, why: str) -> Right:
    return Right(UNCLEAR, named("PRIV_CHECK_FAILED"), f"{interface.pipe}: {why}")


def _heard(answer: Answer) -> bytes:
    """What a pipe answered. Raises RpcError where it did not."""
    if answer.status != STATUS_SUCCESS:
        raise RpcError(_hex(answer.status))
    return said(answer)


def _bound(answer: bytes) -> int:
    read_bind(answer)
    return 0


def _share(name: str, answer: Answer) -> Right:
    if answer.status == STATUS_SUCCESS:
        share_flags(answer)  # half an answer is none
        return Right(YES)
    found = {STATUS_ACCESS_DENIED: NO, NO_SHARE: OFF}.get(answer.status, UNCLEAR)
    return Right(found, ntstatus(answer.status), f"{name}: {_hex(answer.status)}")


def _hex(status: int) -> str:
    return f"0x{status & 0xFFFFFFFF:08x}"
