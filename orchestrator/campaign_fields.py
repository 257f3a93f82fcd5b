"""The kinds of value in a campaign file: how each is written, and what is said of one that is not so written.

A message is what the file's author reads. It may quote what is no secret; that of a URL or a
password reference never does.
"""

from __future__ import annotations

import os
import re
import string
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    ValidationInfo,
)

from appliance.contract import ZONE, is_host
from orchestrator.addresses import AddressError, canonical_address, number_of, parse_entry
from orchestrator.campaign_table import is_stored
from orchestrator.gates import parse_gate

KDC_PORT = 88
PLACEHOLDERS = ("address", "domain", "fqdn", "host")
"""What a secret's name, path or machine may take from the target."""
COMMENT_PLACEHOLDERS = ("campaign", "job", "record", "run", "target")
"""What a comment in a vault's audit may say."""

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h)")
_PIN = re.compile(r"sha256//[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def duration_of(value: object) -> float:
    """Seconds of "30s", "2m" or "1h". Raises ValueError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('is no duration; write a number with its unit in quotes, for example "30s", "2m" or "1h"')
    return float(match[1]) * _SECONDS[match[2]]


def _duration_text(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _entry(text: str) -> str:
    parse_entry(text)  # raises AddressError, a ValueError that says what to write
    return text.strip()


def _single_host(text: str) -> str:
    try:
        return canonical_address(text)
    except AddressError:
        raise ValueError(f"{text!r} is not one host; write an address or a DNS name") from None


def _login_type(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("vault", "authentication vault"):
        return "vault"
    if word == "basic":
        raise ValueError(
            "basic is refused: it would put the target's password into this file, the store and the bus; "
            'put the password into a secret and write login_type = "vault" with vault and secret'
        )
    raise ValueError('must be "vault" (or "Authentication Vault")')


def _vault_type(value: object) -> object:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in ("thycotic secret server", "delinea secret server", "secret server"):
        return "Thycotic Secret Server"
    raise ValueError('must be "Thycotic Secret Server"')


def _url(value: str, info: ValidationInfo) -> str:
    """The value is not repeated in the message: a password may stand in it."""
    try:
        parts = urlsplit(value.strip())
        good = parts.scheme in ("http", "https") and _leads_to_host(value, info)
    except ValueError:
        good = False
    if not good:
        raise ValueError("is no http or https URL; write for example https://vault.example/SecretServer")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or a password; use the vault's user and password keys")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path of Secret Server; leave out what follows ? or #")
    return value.strip().rstrip("/")


def _leads_to_host(url: str, info: ValidationInfo) -> bool:
    """Is it written as a URL may be, to a host and a port that there can be? Raises ValueError."""
    parts, text = urlsplit(url.strip()), url.strip()
    if not (url.isascii() and url.isprintable() and " " not in text and parts.port != 0):
        return False
    return bool(parts.hostname) if is_stored(info) else is_host(parts.hostname or "") and "\\" not in text


def _proxy(value: str, info: ValidationInfo) -> str:
    """The value is not repeated in the message: a password may stand in it."""
    try:
        parts = urlsplit(value)
        good = parts.scheme == "http" and _leads_to_host(value, info)
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("is no address of a proxy; write for example http://proxy.example:3128")
    if parts.username is not None:
        raise ValueError("must not hold a user or a password; let the appliance's address through the proxy instead")
    return value.rstrip("/")


def _template(value: str) -> str:
    return _with_placeholders(value, PLACEHOLDERS)


def _comment(value: str) -> str:
    return _with_placeholders(_line(value), COMMENT_PLACEHOLDERS)


def _line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a line break or another character that cannot be shown; write it in one line")
    return value


def _with_placeholders(value: str, names: tuple[str, ...]) -> str:
    known = " ".join(f"{{{name}}}" for name in names)
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(value)]
    except ValueError:
        raise ValueError(
            "has a brace without its partner; write {{ or }} for a brace that is meant literally"
        ) from None
    for name, spec, conversion in fields:
        if name is not None and (name not in names or spec or conversion):
            raise ValueError(f"has an unknown placeholder {{{name}}}; known ones are {known}")
    return value


def _folder(value: str) -> str:
    if not value.startswith("\\") or any(not part.strip() for part in value[1:].split("\\")):
        raise ValueError("is no folder's path; write it from the root, with backslashes, for example '\\Scan\\Linux'")
    if "{" in value or "}" in value:
        raise ValueError("takes nothing from the target; write the folder out, and the placeholder into machine")
    return value


def _file(value: str, info: ValidationInfo) -> str:
    """A path is meant relative to the campaign file, and kept absolute."""
    if "\0" in value:
        raise ValueError("holds a NUL character, which no path can; correct it")
    base = (info.context or {}).get("base", "")
    return os.path.abspath(os.path.join(base, os.path.expanduser(value)))  # noqa: PTH100, PTH111, PTH118 - pathlib raises for an unknown home, and does not drop ".." without touching the disk


_CERTIFICATE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}-cert-v01@openssh\.com [A-Za-z0-9+/=]{1,16384}( [^\r\n]*)?")


def _certificate(value: str, info: ValidationInfo) -> str:
    """A public file is read with the campaign: appliances are sent its line, and a run is resumed with that."""
    text = value.strip()
    if not text.startswith(("ssh-", "ecdsa-", "sk-")):
        try:
            text = Path(_file(text, info)).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError("cannot be read; give the path of an OpenSSH user certificate (id_...-cert.pub)") from None
    if not _CERTIFICATE.fullmatch(text):
        raise ValueError("is no OpenSSH certificate; ssh-keygen -s writes one as id_...-cert.pub")
    return " ".join(text.split()[:2])  # without its comment


def _pin(value: str) -> str:
    if not _PIN.fullmatch(value):
        raise ValueError(
            'is no pin; write "sha256//" and the base64 of the SHA-256 of the vault\'s public key. `keymuster vault '
            "test` shows it; so does, after sha256//: openssl s_client -connect HOST:443 </dev/null | openssl x509 "
            "-pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
        )
    return value


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def dns_domain(text: str) -> str:
    """Raises ValueError, with a text for the user."""
    try:
        name = canonical_address(text)
    except AddressError:
        name = ""
    if "." not in name or number_of(name) is not None:
        raise ValueError(f"{text!r} is no full name of a directory; write for example corp.example")
    return name


def kdc_place(text: str) -> tuple[str, int]:
    """Address or name of a domain controller, and its port. Raises ValueError, with a text for the user."""
    host, port = text, str(KDC_PORT)
    if text.startswith("["):
        host, bracket, behind = text[1:].partition("]")
        port = behind.removeprefix(":") if behind or not bracket else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = canonical_address(host)
    except AddressError:
        address = ""
    if not (address and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(
            f"{text!r} is no domain controller; write its name or address, with a port where it is not {KDC_PORT}: "
            "dc1.corp.example, 10.0.0.5:8888, [2001:db8::5]:8888"
        )
    return address, int(port)


def _kdc(value: str) -> str:
    kdc_place(value)
    return value


def _keyring(value: str) -> str:
    service, slash, user = value.rpartition("/")
    if not (service and slash and user):
        raise ValueError('must name service and user, for example "keymuster/svc_scan"')
    return value


def _gate(value: str) -> str:
    return parse_gate(value).text  # raises GateError, a ValueError that says what to write


Text = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
Duration = Annotated[
    float,
    BeforeValidator(duration_of, json_schema_input_type=Annotated[str, Field(pattern=f"^{_DURATION.pattern}$")]),
    PlainSerializer(_duration_text, return_type=str),
]
"""Seconds; in the file "30s", "2m" or "1h"."""
Entry = Annotated[str, AfterValidator(_entry)]
"""An address, range, CIDR block or DNS name."""
SingleHost = Annotated[Text, AfterValidator(_single_host)]
"""An address or DNS name, in its one spelling."""
Template = Annotated[Text, AfterValidator(_template)]
FolderPath = Annotated[Text, AfterValidator(_folder)]
CertificateLine = Annotated[
    str, StringConstraints(min_length=1, max_length=32768, strip_whitespace=True), AfterValidator(_certificate)
]
"""An OpenSSH certificate, as its one line; in the file its path."""
Comment = Annotated[Text, AfterValidator(_comment)]
Line = Annotated[Text, AfterValidator(_line)]
FilePath = Annotated[Text, AfterValidator(_file)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=253)]
DEFAULT_PRIORITY, HIGHEST_PRIORITY = 10, 1000
Priority = Annotated[StrictInt, Field(ge=1, le=HIGHEST_PRIORITY)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Url = Annotated[Text, AfterValidator(_url)]
Pin = Annotated[str, AfterValidator(_pin)]
Pins = Annotated[tuple[Pin, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str])]
"""One, or several: that in use and those that may follow it."""
ProxyUrl = Annotated[Text, AfterValidator(_proxy)]
LoginType = Annotated[Literal["vault"], BeforeValidator(_login_type, json_schema_input_type=str)]
VaultType = Annotated[str, BeforeValidator(_vault_type, json_schema_input_type=str)]
UnixName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9._-]{0,63}$")]
"""As it may stand in a command line."""
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
DnsDomain = Annotated[Text, AfterValidator(dns_domain)]
"""The full name of a directory, which is its Kerberos realm."""
Kdc = Annotated[Text, AfterValidator(_kdc)]
KeyringName = Annotated[Text, AfterValidator(_keyring)]
GateText = Annotated[str, AfterValidator(_gate)]
Zone = Annotated[str, StringConstraints(pattern=ZONE)]
