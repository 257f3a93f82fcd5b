"""A host of the estate as an SMB conversation asks for it: what it is, whom it lets in, and what it shows them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from targets.directory import Logon
from targets.estate import Host
from targets.host_world import HostWorld
from targets.material import derive
from targets.smb import ntlm
from targets.smb.conversation import ANONYMOUS, GUEST, Verdict
from targets.smb.ntlm import Answer, Names
from targets.smb.rpc import Endpoint
from targets.smb.services import Registry, Sam, ServiceManager
from targets.smb.status import Status

METHOD = "ntlmv2"


class SmbHost:
    """A host of the estate as `Conversation` asks for it."""

    def __init__(self, world: HostWorld, host: Host) -> None:
        self._world = world
        self._host = host
        self._registry_asked = 0
        self.delay = 0.0
        """Seconds that the verdict, once given, is to be held back."""

    @property
    def names(self) -> Names:
        local = self._host.account == "local"
        domain = self._host.name if local else self._host.account.split(".")[0]
        return Names(self._host.name, domain, version=self._host.windows.version)

    @property
    def guid(self) -> bytes:
        return derive(self._world.estate.seed, "guid", self._host.address)[:16]

    @property
    def signing_required(self) -> bool:
        return self._host.fault.signing

    @property
    def dialects(self) -> frozenset[int]:
        return frozenset() if self._host.fault.smb1 else self._host.windows.dialects

    @property
    def encryption_required(self) -> bool:
        return self._host.fault.encrypts

    @property
    def ciphers(self) -> Sequence[int]:
        return self._host.fault.ciphers

    @property
    def shares(self) -> Mapping[str, int]:
        admin = self._host.fault.admin_share
        return {"IPC$": Status.SUCCESS, "ADMIN$": admin, "C$": admin}

    @property
    def offers_ntlm(self) -> bool:
        return self._host.fault.offers_ntlm

    @property
    def ntlm(self) -> int:
        return self._host.fault.ntlm

    def open_pipe(self, name: str) -> Endpoint | int:
        host, fault = self._host, self._host.fault
        match name:
            case "svcctl":
                return ServiceManager(fault.service_control)
            case "winreg":
                status = fault.registry_pipe[min(self._registry_asked, len(fault.registry_pipe) - 1)]
                self._registry_asked += 1
                return Registry(fault.registry) if status == Status.SUCCESS else status
            case "samr":
                is_open = host.windows.tells_members if fault.tells_members is None else fault.tells_members
                is_open = is_open or fault.admin_share != Status.ACCESS_DENIED
                return Sam(host.name, host.user, fault.administrator, is_open, self.guid)
        return Status.OBJECT_NAME_NOT_FOUND

    def judge(self, answer: Answer, nonce: bytes) -> Verdict | asyncio.Future[Verdict]:
        """One logon: by the world's accounts, and counted there."""
        fault = self._host.fault
        if not fault.judges:
            return Verdict(fault.status)
        if answer.anonymous:
            return Verdict(Status.SUCCESS, flags=ANONYMOUS)
        keys: list[bytes] = []

        def proven(password: str) -> bool:
            key = ntlm.proves(answer, nonce, password)
            keys.extend([key] if key is not None else [])
            return key is not None

        logon = self._world.accounts.logon(self._host, answer.user, proven)
        if not isinstance(logon, asyncio.Future):
            return self._judged(answer.user, logon, keys)
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def told(logon: asyncio.Future[Logon]) -> None:
            if logon.cancelled():
                verdict.cancel()
            elif not verdict.cancelled():
                verdict.set_result(self._judged(answer.user, logon.result(), keys))

        logon.add_done_callback(told)
        return verdict

    def _judged(self, user: str, logon: Logon, keys: Sequence[bytes]) -> Verdict:
        verdict = self._verdict(user, logon, keys)
        if verdict.status != Status.SUCCESS:
            self.delay = self._host.windows.refusal_s
        return verdict

    def _verdict(self, user: str, logon: Logon, keys: Sequence[bytes]) -> Verdict:
        fault = self._host.fault
        status = Status.LOGON_FAILURE
        if logon is Logon.LOCKED or fault.locked:
            status = Status.ACCOUNT_LOCKED_OUT
        elif logon is Logon.OK or not fault.known:
            status = fault.status if fault.known or fault.status != Status.SUCCESS else Status.LOGON_FAILURE
        self._world.metrics.logon(self._host.address, user, METHOD, ok=status == Status.SUCCESS)
        if status == Status.LOGON_FAILURE and fault.guest:
            return Verdict(Status.SUCCESS, flags=GUEST)
        if status == Status.LOGON_FAILURE and fault.anonymous:
            return Verdict(Status.SUCCESS, flags=ANONYMOUS)
        return Verdict(status, keys[0] if keys and status == Status.SUCCESS else b"")
