"""Names that stand for others: `host-7` wherever a host's name was, in fields and in running text. Pure.

The numbers follow the order in which names are first met, so that one bundle is consistent in itself and two bundles
cannot be laid beside each other. Nothing of a name is kept. In running text every known name is replaced, whatever its
case, however JSON writes it, and also where dots, hyphens or underscores join it to other words; and besides that
whatever looks like an address, and long runs of letters and digits such as keys and tokens.
What an unknown name looks like nobody can tell: the user is asked to read the bundle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address
from unicodedata import normalize


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
_JOINT = re.compile(r"([._-]+)")
_JOINED_MAX = 16
"""Words that a name joins with dots, hyphens and underscores, at most, where it is part of a longer token."""
_ESCAPE = re.compile(r"[nrtfvab]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}", re.ASCII)
"""What stands behind the backslash where a peer's text, or JSON, has a control character: no part of the next word."""
_ESCAPED = re.compile(rf"\\(?:{_ESCAPE.pattern})$", re.ASCII)
_IPV6 = re.compile(r"(?:(?<![\w:.])|(?<=\\[nrt]))[0-9A-Fa-f:.]++(?!\w)")
"""What may be one, with the colon or full stop of its sentence."""
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{40,}")
LONG = "[long]"


class Pseudonyms:
    """First tell it every name (`of`), then let it read texts (`text`)."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._numbers: dict[Kind, int] = {}
        self._given: set[str] = set()
        self._spellings: dict[str, str] = {}
        """Pseudonyms of names that are no single token, in lower case, in every way in which they may be written."""

    def of(self, kind: Kind, name: str) -> str:
        """The pseudonym; a name has one, whatever it is met as later. An empty name has none."""
        name = normalize("NFC", name)
        folded = name.casefold()
        if not name or folded in SAID_OF_ALL:
            return name
        if folded not in self._names:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            pseudonym = self._names[folded] = f"{kind}-{self._numbers[kind]}"
            self._given.add(pseudonym)
            written = {name, folded, *(json.dumps(name, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))}
            # Addresses are found by what they look like.
            phrases = [way for way in written if not _TOKEN.fullmatch(way) and not _is_address(way)]
            if phrases:
                self._spellings |= {_lower(phrase): pseudonym for phrase in phrases}
                self.__dict__.pop("_phrases", None)
        return self._names[folded]

    def text(self, text: str) -> str:
        """Running text with every name in it replaced."""
        text = "".join(self._without_phrases(normalize("NFC", text)))
        text = _TOKEN.sub(self._found, text)
        text = _IPV6.sub(lambda found: self._ipv6(found[0]), text)
        return _LONG.sub(LONG, text)

    def _without_phrases(self, text: str) -> Iterator[str]:
        """Names that are no single token, replaced where they stand between other than word characters; of those that
        begin at one place the longest.
        """
        folded, done = _lower(text), 0
        lengths = self._phrases
        for start, character in enumerate(folded if self._spellings else ""):
            if start < done or character not in lengths or not _begins(folded, start):
                continue
            for end in (start + length for length in lengths[character]):
                if (pseudonym := self._spellings.get(folded[start:end])) and not _is_word(folded[end : end + 1]):
                    yield text[done:start]
                    yield pseudonym
                    done = end
                    break
        yield text[done:]

    @cached_property
    def _phrases(self) -> dict[str, list[int]]:
        """By what phrases begin with and how long they are, the longest first: an estate has a secret per host, so that
        they are too many to be tried one by one, and of few lengths.
        """
        lengths: dict[str, set[int]] = {}
        for phrase in self._spellings:
            lengths.setdefault(phrase[0], set()).add(len(phrase))
        return {character: sorted(some, reverse=True) for character, some in lengths.items()}

    def _found(self, found: re.Match[str]) -> str:
        token = found[0]
        shown = self._token(token)
        escape = _ESCAPE.match(token) if found.string[found.start() - 1 : found.start()] == "\\" else None
        if escape is None or shown != token:
            return shown
        return escape[0] + self._token(token[escape.end() :])

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
        return "".join(self._parts(_JOINT.split(token)))

    def _parts(self, pieces: list[str]) -> Iterator[str]:
        """`srv01-10.0.0.5.log`: words and what joins them in turn, the longest known name first."""
        at = 0
        while at < len(pieces):
            for end in range(min(len(pieces), at + 2 * _JOINED_MAX), at, -1):
                part = "".join(pieces[at:end])
                known = part if part in self._given else self._names.get(part.casefold()) or self._address(part)
                if known != part or part in self._given:
                    yield known
                    break
            else:
                end = at + 1
                yield pieces[at]
            at = end

    def _ipv6(self, found: str) -> str:
        """An address, perhaps with the colons and full stops of its sentence."""
        if found.count(":") < 2:
            return found
        for address in (found, found.rstrip("."), found.rstrip(":."), found.strip(":."), found.rstrip(".")[:-1]):
            if (pseudonym := self._address(address)) != address:
                return found.replace(address, pseudonym, 1)
        return found

    def _address(self, token: str) -> str:
        return self.of(Kind.ADDRESS, token) if _is_address(token) else token


def _is_address(token: str) -> bool:
    try:
        ip_address(token)
    except ValueError:
        return False
    return True


def _lower(text: str) -> str:
    """In lower case, character by character, so that places stay what they are."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(low := c.lower()) > 1 else low for c in text)


def _begins(text: str, start: int) -> bool:
    """May a name begin here: behind no word character, or behind one that belongs to an escape?"""
    return not _is_word(text[start - 1 : start]) or _ESCAPED.search(text[max(0, start - 6) : start]) is not None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
