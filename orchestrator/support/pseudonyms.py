"""Names that stand for others: `host-7` wherever a host's name was, in fields and in running text. Pure.

The numbers follow the order in which names are first met, so that one bundle is consistent in itself and two bundles
cannot be laid beside each other. Nothing of a name is kept. In running text every known name is replaced, whatever its
case, and besides that whatever looks like an address, and long runs of letters and digits such as keys and tokens.
What an unknown name looks like nobody can tell: the user is asked to read the bundle.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address


class Kind(StrEnum):
    """What a name is a name of; its pseudonym begins with it."""

    ADDRESS = "address"
    HOST = "host"
    DOMAIN = "domain"
    USER = "user"
    SECRET = "secret"  # noqa: S105 - the word
    RECORD = "record"
    VAULT = "vault"
    CAMPAIGN = "campaign"
    APPLIANCE = "appliance"
    PATH = "path"


SAID_OF_ALL = frozenset({"root", "admin", "administrator", "guest", "embedded", "localhost", "127.0.0.1", "::1"})
"""Names that tell nothing of an estate, and words that logs need."""

_TOKEN = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?![\w:])")
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
LONG = "[long]"


class Pseudonyms:
    """First tell it every name (`of`), then let it read texts (`text`)."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._numbers: dict[Kind, int] = {}

    def of(self, kind: Kind, name: str) -> str:
        """The pseudonym; a name has one, whatever it is met as later. An empty name has none."""
        folded = name.casefold()
        if not name or folded in SAID_OF_ALL:
            return name
        if folded not in self._names:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            self._names[folded] = f"{kind}-{self._numbers[kind]}"
            self.__dict__.pop("_phrases", None)
        return self._names[folded]

    def text(self, text: str) -> str:
        """Running text with every name in it replaced."""
        if self._phrases is not None:
            text = self._phrases.sub(lambda found: self._names[found[0].casefold()], text)
        text = _TOKEN.sub(lambda found: self._token(found[0]), text)
        text = _IPV6.sub(lambda found: self._address(found[0]), text)
        return _LONG.sub(LONG, text)

    @cached_property
    def _phrases(self) -> re.Pattern[str] | None:
        """Names that are no single token: titles with blanks, paths, users with their domain; the longest first."""
        phrases = sorted((n for n in self._names if not _TOKEN.fullmatch(n)), key=len, reverse=True)
        if not phrases:
            return None
        return re.compile("|".join(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in phrases), re.IGNORECASE)

    def _token(self, token: str) -> str:
        """Known as it stands, as an address, below a known domain, or made of known parts."""
        known = self._names.get(token.casefold())
        if known is not None:
            return known
        if (address := self._address(token)) != token:
            return address
        host, dot, domain = token.partition(".")
        while dot:
            if (known := self._names.get(domain.casefold())) is not None:
                return f"{self.of(Kind.HOST, token.removesuffix(domain).rstrip('.'))}.{known}"
            more, dot, domain = domain.partition(".")
            host = f"{host}.{more}"
        return token

    def _address(self, token: str) -> str:
        try:
            ip_address(token)
        except ValueError:
            return token
        return self.of(Kind.ADDRESS, token)
