"""The first bytes of a server that should speak SSH, judged before the library sees them.

A server may send lines before its identification (RFC 4253, 4.2), and libraries skip them silently. There sshd says why
it turns us away, and there a server of another kind shows itself. Pure: bytes in, a verdict out.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.contract import peer_text

LIMIT = 8192
"""Bytes of other text we read before we give a server up."""

_TURNED_AWAY = {
    b"Not allowed at this time": "SSH_PENALTY",  # OpenSSH >= 9.8: PerSourcePenalties, and MaxStartups too
    b"Exceeded MaxStartups": "SSH_THROTTLED",  # OpenSSH 8.8 to 9.7; older ones just hang up
}
_OTHERS = (b"HTTP/", b"220 ", b"220-", b"+OK", b"* OK", b"RFB 0", b"<?xml", b"<html", b"<!DOCTYPE")
"""How servers greet that are certainly not SSH: HTTP, SMTP and FTP, POP3, IMAP, VNC, XMPP, web pages."""
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n") | frozenset(range(0x80, 0x100))


@dataclass(frozen=True, slots=True)
class Identification:
    """The server's identification line (`SSH-2.0-...`), safe to print, and all bytes so far, to be handed on."""

    line: str
    received: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not a server we can talk to: a reason code and the peer's own words."""

    reason: str
    text: str


class Preface:
    """Collects bytes until they can be judged."""

    def __init__(self) -> None:
        self._received = b""
        self._line = 0
        """Where the line begins that is not complete yet: each byte is judged once, however slowly they drip."""

    def feed(self, data: bytes) -> Identification | Refusal | None:
        """The verdict, or None while more bytes are needed."""
        self._received += data
        *lines, rest = self._received[self._line :].split(b"\n")
        self._line = len(self._received) - len(rest)
        for line in lines:
            if line.startswith(b"SSH-"):
                return Identification(peer_text(line.rstrip(b"\r")), self._received)
            for words, reason in _TURNED_AWAY.items():
                if line.startswith(words):
                    return Refusal(reason, peer_text(line))
        if not self._may_be_ssh(rest, data):
            return self._not_ssh()
        return None

    def end(self) -> Refusal | None:
        """The peer hung up before it identified itself: what its words mean; None if it said nothing at all."""
        if not self._received:
            return None
        verdict = self.feed(b"\n")
        if isinstance(verdict, Identification):
            return None
        return verdict or self._not_ssh()

    def _may_be_ssh(self, rest: bytes, data: bytes) -> bool:
        if rest.startswith(b"SSH-"):
            return len(rest) <= LIMIT
        if len(self._received) > LIMIT or self._received.startswith(_OTHERS):
            return False
        return _TEXT.issuperset(data)

    def _not_ssh(self) -> Refusal:
        return Refusal("NOT_SSH", peer_text(self._received[:LIMIT]))
