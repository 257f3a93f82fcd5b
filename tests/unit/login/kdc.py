"""A domain controller of a few lines, on loopback, that misbehaves in a chosen exchange. What a real one does is for
`tests/peers` to say; this one is for what none does on demand.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from impacket.krb5 import asn1, crypto
from pyasn1.codec.der import decoder, encoder
from pyasn1.type.univ import noValue

from tests.cancellation.hanging import listening, until_hung_up

USER, PASSWORD, REALM, HOST = "scan", "Pw-scan-Marker-1", "LAB.TEST", "host.lab.test"
SALT = b"LAB.TESTscan"
ASK, PROVE, SERVICE = "as", "as with proof", "tgs"
"""The exchanges of a login, in order."""

Answer = Callable[[SocketStream, bytes], Awaitable[None]]
"""What is done with the answer that would be right."""


@dataclass(slots=True)
class Kdc:
    """`faults`: by exchange, what it does there. `wrong`: by exchange, changes to the right answer's fields."""

    port: int = 0
    faults: dict[str, Answer] = field(default_factory=dict)
    wrong: dict[str, Any] = field(default_factory=dict)
    etype_info: tuple[tuple[int, bytes | None, bytes | None], ...] = ((18, SALT, None),)
    heard: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    released: anyio.Event = field(default_factory=anyio.Event)
    """Its client has hung up on the exchange with a fault."""
    reached: anyio.Event = field(default_factory=anyio.Event)
    clock: Callable[[], float] = time.time
    session: Any = field(default_factory=lambda: crypto.Key(18, b"S" * 32))
    ticket: Any = field(default_factory=lambda: crypto.Key(18, b"T" * 32))

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            buffered = BufferedByteReceiveStream(stream)
            try:
                length = int.from_bytes(await buffered.receive_exactly(4), "big")
                message = await buffered.receive_exactly(length)
            except (anyio.IncompleteRead, anyio.BrokenResourceError):
                return
            kind, answer = self._answer(message)
            self.heard.append(kind)
            self.requests.append(message)
            fault = self.faults.get(kind)
            if fault is None:
                await framed(stream, answer)
                return
            self.reached.set()
            try:
                await fault(stream, answer)
                await until_hung_up(stream)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass
            self.released.set()

    def _answer(self, message: bytes) -> tuple[str, bytes]:
        if message[:1] == b"\x6c":
            request = decoder.decode(message, asn1Spec=asn1.TGS_REQ())[0]
            service = tuple(map(str, request["req-body"]["sname"]["name-string"]))
            return SERVICE, self._reply(asn1.TGS_REP(), 13, request, self.session, 8, self.ticket, service, SERVICE)
        request = decoder.decode(message, asn1Spec=asn1.AS_REQ())[0]
        proofs = [p["padata-value"].asOctets() for p in request["padata"] if int(p["padata-type"]) == 2]
        if not proofs:
            return ASK, self.refusal(25, encoder.encode(self._methods()))
        sealed = decoder.decode(proofs[0], asn1Spec=asn1.EncryptedData())[0]
        key = _key(int(sealed["etype"]))
        try:
            crypto.decrypt(key, 1, sealed["cipher"].asOctets())
        except crypto.InvalidChecksum:
            return PROVE, self.refusal(24)
        return PROVE, self._reply(asn1.AS_REP(), 11, request, key, 3, self.session, ("krbtgt", REALM), PROVE)

    def _methods(self) -> Any:
        infos = asn1.ETYPE_INFO2()
        for place, (etype, salt, params) in enumerate(self.etype_info):
            infos[place] = noValue
            infos[place]["etype"] = etype
            if salt is not None:
                infos[place]["salt"] = salt
            if params is not None:
                infos[place]["s2kparams"] = params
        methods = asn1.METHOD_DATA()
        for place, (kind, value) in enumerate(((2, b""), (19, encoder.encode(infos)))):
            methods[place] = noValue
            methods[place]["padata-type"], methods[place]["padata-value"] = kind, value
        return methods

    def _reply(
        self, reply: Any, kind: int, request: Any, key: Any, usage: int, new: Any, service: tuple[str, ...], step: str
    ) -> bytes:
        wrong = self.wrong.get(step, {})
        reply["pvno"], reply["msg-type"], reply["crealm"] = 5, kind, REALM
        _name(reply, "cname", USER)
        if kind == 11:
            reply["padata"] = noValue
            for place, method in enumerate(self._methods()):
                reply["padata"][place] = noValue
                for name in ("padata-type", "padata-value"):
                    reply["padata"][place][name] = method[name]
        ticket = asn1.seq_set(reply, "ticket")
        ticket["tkt-vno"], ticket["realm"] = 5, REALM
        _name(ticket, "sname", *service)
        ticket["enc-part"] = noValue
        ticket["enc-part"]["etype"], ticket["enc-part"]["cipher"] = 18, b"opaque"
        part = asn1.EncASRepPart() if wrong.get("tag", "as" if kind == 11 else "tgs") == "as" else asn1.EncTGSRepPart()
        part["key"] = noValue
        part["key"]["keytype"], part["key"]["keyvalue"] = wrong.get("keytype", new.enctype), new.contents
        part["last-req"] = noValue
        part["last-req"][0] = noValue
        part["last-req"][0]["lr-type"], part["last-req"][0]["lr-value"] = 0, "20260101000000Z"
        part["nonce"] = wrong.get("nonce", int(request["req-body"]["nonce"]))
        part["flags"] = (0,) * 32
        part["authtime"] = part["endtime"] = "20260101000000Z"
        part["srealm"] = REALM
        _name(part, "sname", *wrong.get("service", service))
        reply["enc-part"] = noValue
        reply["enc-part"]["etype"] = wrong.get("etype", key.enctype)
        sealing = wrong.get("key", key)
        reply["enc-part"]["cipher"] = crypto.encrypt(sealing, usage, encoder.encode(part), b"c" * 16)
        return bytes(encoder.encode(reply))

    def refusal(self, code: int, data: bytes = b"", text: str = "") -> bytes:
        error = asn1.KRB_ERROR()
        error["pvno"], error["msg-type"] = 5, 30
        error["stime"] = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(self.clock()))
        error["susec"], error["error-code"], error["realm"] = 0, code, REALM
        _name(error, "sname", "krbtgt", REALM)
        if data:
            error["e-data"] = data
        if text:
            error["e-text"] = text
        return bytes(encoder.encode(error))


@cache
def _key(etype: int) -> Any:
    """Takes impacket a tenth of a second."""
    return crypto.string_to_key(etype, PASSWORD, SALT)


def _name(into: Any, name: str, *parts: str) -> None:
    principal = asn1.seq_set(into, name)
    principal["name-type"] = 1
    asn1.seq_set_iter(principal, "name-string", parts)


@asynccontextmanager
async def serving(kdc: Kdc) -> AsyncIterator[Kdc]:
    async with listening(kdc.serve) as kdc.port:
        yield kdc


# -- what it may do in place of an answer ------------------------------------------------------------------------------


async def framed(stream: SocketStream, answer: bytes) -> None:
    await stream.send(len(answer).to_bytes(4, "big") + answer)


async def silent(stream: SocketStream, _: bytes) -> None:
    await until_hung_up(stream)


async def closing(stream: SocketStream, _: bytes) -> None:
    await stream.aclose()


async def half_a_length(stream: SocketStream, _: bytes) -> None:
    await stream.send(b"\0\0")
    await stream.aclose()


async def half_an_answer(stream: SocketStream, answer: bytes) -> None:
    await stream.send(len(answer).to_bytes(4, "big") + answer[: len(answer) // 2])
    await stream.aclose()


async def dripping(stream: SocketStream, answer: bytes) -> None:
    await stream.send(len(answer).to_bytes(4, "big"))
    for octet in answer:
        await stream.send(bytes([octet]))
        await anyio.sleep(0.05)


async def huge(stream: SocketStream, _: bytes) -> None:
    await stream.send(b"\x7f\xff\xff\xff" + b"x" * 1000)


async def empty(stream: SocketStream, _: bytes) -> None:
    await stream.send(b"\0\0\0\0")


async def http(stream: SocketStream, _: bytes) -> None:
    await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def says(answer: bytes) -> Answer:
    async def instead(stream: SocketStream, _: bytes) -> None:
        await framed(stream, answer)

    return instead
