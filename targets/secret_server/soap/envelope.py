"""SOAP 1.1 and 1.2 envelopes, document/literal wrapped: requests in, answers and faults out. Pure.

Rules, those of ASP.NET's web services:
1. SOAP 1.1 is routed by its SOAPAction alone, before its body is looked at; SOAP 1.2 by the action, else by the body.
2. A body that holds another element than the routed operation's is a call without arguments.
3. What is no call is a `Fault`: the client's, unless we failed ourselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from xml.etree.ElementTree import Element

from targets.secret_server.soap import markup, values
from targets.secret_server.soap.contract import OPERATIONS
from targets.secret_server.soap.markup import MarkupError
from targets.secret_server.soap.schema import NAMESPACE, Operation
from targets.secret_server.soap.values import BadValueError, Values

_XSD = "http://www.w3.org/2001/XMLSchema"
_UNREADABLE = "Server was unable to read request. ---> "
_NO_ACTION = "Unable to handle request without a valid action parameter. Please supply a valid soap action."


class Version(Enum):
    """By the envelope's namespace."""

    SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
    SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"

    @property
    def content_type(self) -> str:
        return "text/xml" if self is Version.SOAP_11 else "application/soap+xml"


class Code(StrEnum):
    """Fault codes, by their names in SOAP 1.1."""

    CLIENT = "Client"
    SERVER = "Server"
    VERSION = "VersionMismatch"
    MUST_UNDERSTAND = "MustUnderstand"


_CODES_12 = {Code.CLIENT: "Sender", Code.SERVER: "Receiver"}


@dataclass(frozen=True, slots=True)
class Call:
    operation: Operation
    arguments: Values


@dataclass(frozen=True, slots=True)
class Fault:
    text: str
    code: Code = Code.CLIENT


def read(document: bytes, version: Version, action: str | None) -> Call | Fault:
    """A request from any bytes; `action` as the HTTP headers name it, None where they don't."""
    routed = _by_action(version, action)
    if isinstance(routed, Fault):
        return routed
    try:
        root = markup.parse(document)
    except MarkupError as error:
        return Fault(f"{_UNREADABLE}{error}")
    body = _body(root, version)
    if isinstance(body, Fault):
        return body
    operation = routed or next((OPERATIONS[name] for name in map(_own_name, body) if name in OPERATIONS), None)
    if operation is None:
        return Fault(_NO_ACTION)
    element = body.find(f"{{{NAMESPACE}}}{operation.name}")
    try:
        return Call(operation, values.read(Element("none") if element is None else element, operation.parameters))
    except BadValueError as error:
        return Fault(f"{_UNREADABLE}There is an error in XML document. ---> {error}")


def answer(version: Version, operation: Operation, result: Values) -> bytes:
    name = operation.name
    inner = values.write(operation.result.members, result)
    return _envelope(
        version, f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{inner}</{name}Result></{name}Response>'
    )


def fault(version: Version, what: Fault) -> bytes:
    said = markup.text(what.text)
    if version is Version.SOAP_11:
        code = f"<faultcode>soap:{what.code}</faultcode><faultstring>{said}</faultstring><detail />"
        return _envelope(version, f"<soap:Fault>{code}</soap:Fault>")
    code = f"<soap:Code><soap:Value>soap:{_CODES_12.get(what.code, what.code)}</soap:Value></soap:Code>"
    reason = f'<soap:Reason><soap:Text xml:lang="en">{said}</soap:Text></soap:Reason><soap:Detail />'
    return _envelope(version, f"<soap:Fault>{code}{reason}</soap:Fault>")


def _by_action(version: Version, action: str | None) -> Operation | Fault | None:
    """None: the body decides."""
    if action is None or (version is Version.SOAP_12 and not action):
        return Fault(_NO_ACTION) if version is Version.SOAP_11 else None
    for operation in OPERATIONS.values():
        if operation.action == action:
            return operation
    if version is Version.SOAP_12:
        return Fault(_NO_ACTION)
    return Fault(f"Server did not recognize the value of HTTP Header SOAPAction: {action}.")


def _body(root: Element, version: Version) -> Element | Fault:
    namespace, _, name = root.tag.removeprefix("{").rpartition("}")
    if name != "Envelope":
        return Fault(f"{_UNREADABLE}Request format is invalid: Missing required soap:Envelope element.")
    if namespace != version.value:
        text = f"Possible SOAP version mismatch: Envelope namespace {namespace} was unexpected."
        return Fault(f"{text} Expecting {version.value}.", Code.VERSION)
    for header in root.iterfind(f"{{{namespace}}}Header/*"):
        if header.get(f"{{{namespace}}}mustUnderstand") in {"1", "true"}:
            return Fault(f"SOAP header {header.tag.rpartition('}')[2]} was not understood.", Code.MUST_UNDERSTAND)
    body = root.find(f"{{{namespace}}}Body")
    return (
        Fault(f"{_UNREADABLE}Request format is invalid: Missing required soap:Body element.") if body is None else body
    )


def _own_name(element: Element) -> str:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    return name if namespace == NAMESPACE else ""


def _envelope(version: Version, body: str) -> bytes:
    names = f'xmlns:soap="{version.value}" xmlns:xsi="{values.XSI}" xmlns:xsd="{_XSD}"'
    return f"{markup.DECLARATION}<soap:Envelope {names}><soap:Body>{body}</soap:Body></soap:Envelope>".encode()
