"""What a scripted vault answers by SOAP."""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.unit.vault.scripted import Act, reply

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


def enveloped(operation: str, members: str) -> bytes:
    inner = f"<{operation}Result>{members}</{operation}Result>"
    call = f'<{operation}Response xmlns="urn:thesecretserver.com">{inner}</{operation}Response>'
    return f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>{call}</soap:Body></soap:Envelope>'.encode()


def result(operation: str, members: str = "") -> Act:
    return reply(200, enveloped(operation, f"<Errors />{members}"), kind="text/xml; charset=utf-8")


def refused(operation: str, text: str) -> Act:
    errors = f"<Errors><string>{escape(text)}</string></Errors>"
    return reply(200, enveloped(operation, errors), kind="text/xml; charset=utf-8")


def asked_for(code: str, text: str) -> Act:
    """What a secret asks of its reader."""
    error = f"<SecretError><ErrorCode>{code}</ErrorCode><ErrorMessage>{text}</ErrorMessage></SecretError>"
    return result("GetSecret", error)


def soap_grant(token: str = "AgJ-soap-token-1") -> Act:
    return result("Authenticate", f"<Token>{token}</Token>")


def found(*rows: tuple[int, str], restricted: bool = False) -> Act:
    summary = (
        "<SecretSummary><SecretId>{}</SecretId><SecretName>{}</SecretName><FolderId>5</FolderId>{}</SecretSummary>"
    )
    more = f"<IsRestricted>{str(restricted).lower()}</IsRestricted>"
    summaries = "".join(summary.format(number, escape(name), more) for number, name in rows)
    return result("SearchSecrets", f"<SecretSummaries>{summaries}</SecretSummaries>")


def item(number: int, name: str, value: str, *, password: bool = False, file: bool = False) -> str:
    kinds = f"<IsFile>{str(file).lower()}</IsFile><IsPassword>{str(password).lower()}</IsPassword>"
    return (
        f"<SecretItem><Value>{escape(value)}</Value><Id>{number}</Id><FieldName>{name}</FieldName>{kinds}</SecretItem>"
    )


def secret(*items: str, out: bool = False, secret_id: int = 7) -> Act:
    held = "<IsCheckedOut>true</IsCheckedOut>" if out else ""
    inner = f"<Items>{''.join(items)}</Items><Id>{secret_id}</Id>{held}<Active>true</Active>"
    return result("GetSecret", f"<Secret>{inner}</Secret>")


def with_password(value: str = "Pa55", *, out: bool = False) -> Act:
    return secret(item(1, "Username", "scan"), item(2, "Password", value, password=True), out=out)


def status(holder: int | None = None, *, name: str = "", minutes: int = 30) -> Act:
    """Who has it checked out: a user's id, or nobody."""
    if holder is None:
        return result("GetCheckOutStatus", "<IsCheckedOut>false</IsCheckedOut>")
    left = f"<CheckOutMinutesRemaining>{minutes}</CheckOutMinutesRemaining>"
    who = f"<CheckOutUserDisplayName>{name}</CheckOutUserDisplayName><CheckOutUserId>{holder}</CheckOutUserId>"
    return result("GetCheckOutStatus", f"{left}<IsCheckedOut>true</IsCheckedOut>{who}")


def user(number: int = 2) -> Act:
    return result("WhoAmI", f"<UserId>{number}</UserId>")
