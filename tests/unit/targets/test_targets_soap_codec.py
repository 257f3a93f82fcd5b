"""The simulated vault's SOAP codec: what goes through it both ways, and that no bytes whatever break it."""

from __future__ import annotations

import re
import tracemalloc
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from targets.secret_server.soap import answering, contract, envelope, forms, markup, sessions, values, wsdl
from targets.secret_server.soap.contract import OPERATIONS
from targets.secret_server.soap.envelope import Call, Code, Fault, Version
from targets.secret_server.soap.schema import Array, Member, Simple, Structure, Type
from tests.unit.targets.soap_client import NAMESPACE, NIL, SOAP_11, local, request

ACTION = f"{NAMESPACE}/GetSecret"
UNREADABLE = "Server was unable to read request. ---> "

UNSAYABLE = "".join(map(chr, range(32))) + "\ufffe\uffff"
sayable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=UNSAYABLE))
SIMPLE: dict[Simple, st.SearchStrategy[Any]] = {
    Simple.STRING: sayable,
    Simple.INT: st.integers(-(2**31), 2**31 - 1),
    Simple.BOOLEAN: st.booleans(),
    Simple.DATE: st.datetimes(min_value=datetime(1900, 1, 1)).map(lambda d: d.replace(microsecond=0)),  # noqa: DTZ001
    Simple.BYTES: st.binary(),
}


def of(kind: Type) -> st.SearchStrategy[Any]:
    match kind:
        case Structure():
            return st.fixed_dictionaries({m.name: optional(m) for m in kind.members})
        case Array():
            return st.lists(of(kind.item), max_size=2)
        case _:
            return SIMPLE[kind]


def optional(member: Member) -> st.SearchStrategy[Any]:
    return of(member.type) | st.none() if member.nullable else of(member.type)


def structure(xml: str) -> Element:
    found: Element = fromstring(f'<x xmlns="{NAMESPACE}" xmlns:xsi="{values.XSI}">{xml}</x>')
    return found


@pytest.mark.parametrize("kind", [contract.SECRET, contract.AUDIT, contract.SECRET_ERROR, contract.CODE_RESPONSE])
@given(data=st.data())
def test_what_is_written_is_read_again(kind: Structure, data: st.DataObject) -> None:
    value = data.draw(of(kind))
    assert values.read(structure(values.write(kind.members, value)), kind.members) == value


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_written_and_what_xml_cannot_say_is_replaced(text: str) -> None:
    read = fromstring(f'<x a="{markup.attribute(text)}">{markup.text(text)}</x>')
    unsayable = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
    assert (read.text or "") == re.sub(unsayable, "\ufffd", text)
    assert read.get("a") == re.sub(unsayable, "\ufffd", text)


def check_read(document: bytes, version: Version, action: str | None) -> Call | Fault:
    read = envelope.read(document, version, action)
    if isinstance(read, Fault):
        fromstring(envelope.fault(version, read))
        return read
    assert set(read.arguments) == {parameter.name for parameter in read.operation.parameters}
    return read


actions = st.none() | st.text() | st.sampled_from([operation.action for operation in OPERATIONS.values()])


@given(document=st.binary(max_size=300), version=st.sampled_from(Version), action=actions)
def test_any_bytes_are_a_call_or_a_fault(document: bytes, version: Version, action: str | None) -> None:
    check_read(document, version, action)


tags = st.sampled_from(
    [
        "s:Envelope",
        "s:Body",
        "s:Header",
        "GetSecret",
        "t:GetSecret",
        "secretId",
        "token",
        "codeResponses",
        "CodeResponse",
        "ErrorCode",
        "x:y",
        "!--",
        "!DOCTYPE",
        "?xml",
    ]
)
pieces = st.one_of(
    tags.map(lambda t: f"<{t}>"),
    tags.map(lambda t: f"</{t}>"),
    tags.map(lambda t: f"<{t}/>"),
    st.sampled_from(["&amp;", "&x;", "&#0;", "1", "true", " ", "]]>", "<![CDATA[", 'xsi:nil="true"', "\ud7ff"]),
    st.text(max_size=5),
)


@given(inner=st.lists(pieces, max_size=12).map("".join), version=st.sampled_from(Version), action=actions)
def test_any_pieces_of_an_envelope_are_a_call_or_a_fault(inner: str, version: Version, action: str | None) -> None:
    head = f'<s:Envelope xmlns:s="{version.value}" xmlns="{NAMESPACE}" xmlns:t="{NAMESPACE}"><s:Body>'
    document = f"{head}{inner}</s:Body></s:Envelope>".encode("utf-8", "replace")
    check_read(document, version, action)


LAUGHS = '<!DOCTYPE x [<!ENTITY a0 "ha">{}]>'.format(
    "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
)
MISSING = f"{UNREADABLE}Request format is invalid: Missing required soap:"
ENCODING = f"{UNREADABLE}System does not support the encoding of this XML document."
DTD = f"{UNREADABLE}For security reasons DTD is prohibited in this XML document."


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (f"{LAUGHS}<x>&a11;</x>", DTD),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', DTD),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', DTD),
        ('<!DOCTYPE x [<!ENTITY % e SYSTEM "http://127.0.0.1:9/x.dtd"> %e;]><x/>', DTD),
        ("<!DOCTYPE x><x/>", DTD),
        ("<a>" * 33 + "</a>" * 33, f"{UNREADABLE}The XML document has more than 32 levels."),
        (f"<x>{'<a/>' * 200_000}</x>", f"{UNREADABLE}The XML document has more than 5000 elements."),
        ("<a>" * 200_000, f"{UNREADABLE}The XML document has more than 32 levels."),
        ('<?xml version="1.0" encoding="nonsense"?><x/>', ENCODING),
        ('<?xml version="1.0" encoding="utf-7"?><x/>', None),
        ("", f"{UNREADABLE}There is an error in XML document (1, 1)."),
        ("<x>\n<y></x>", f"{UNREADABLE}There is an error in XML document (2, 6)."),
        ("<x>&nbsp;</x>", f"{UNREADABLE}There is an error in XML document (1, 4)."),
        ("<x/>", f"{MISSING}Envelope element."),
        (f'<s:Envelope xmlns:s="{SOAP_11}"/>', f"{MISSING}Body element."),
    ],
)  # fmt: skip
def test_xml_that_hurts_is_a_fault_of_the_client(document: str, text: str | None) -> None:
    tracemalloc.start()
    read = check_read(document.encode(), Version.SOAP_11, ACTION)
    assert tracemalloc.get_traced_memory()[1] < 20 * 1024 * 1024
    tracemalloc.stop()
    assert isinstance(read, Fault)
    assert read.code is Code.CLIENT
    assert text is None or read.text == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_a_request_may_come_in_another_encoding(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?>' + request("GetSecret", {"token": "tökén"}).decode()
    read = check_read(document.encode(encoding), Version.SOAP_11, ACTION)
    assert isinstance(read, Call)
    assert read.arguments["token"] == "tökén"


def test_arguments_are_read_as_their_types_whatever_their_order() -> None:
    response = {"ErrorCode": "COMMENT", "Comment": "a & b", "Later": "x"}
    given = {
        "codeResponses": [{"CodeResponse": response}, {"CodeResponse": {}}],
        "secretId": " 7\n",
        "loadSettingsAndPermissions": "1",
        "unknown": "x",
    }
    read = check_read(request("GetSecret", given), Version.SOAP_11, ACTION)
    assert isinstance(read, Call)
    empty = {"ErrorCode": None, "Comment": None, "AdditionalComment": None, "TicketSystemId": None}
    responses = [empty | {"ErrorCode": "COMMENT", "Comment": "a & b"}, empty]
    assert read.arguments == {
        "token": None, "secretId": 7, "loadSettingsAndPermissions": True, "codeResponses": responses,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("secretId", "one", "Input string was not in a correct format."),
        ("secretId", "", "Input string was not in a correct format."),
        ("secretId", "1٣", "Input string was not in a correct format."),
        ("secretId", "2147483648", "Value was either too large or too small for an Int32."),
        ("secretId", "9" * 400, "Input string was not in a correct format."),
        ("loadSettingsAndPermissions", "yes", "The string is not a valid Boolean value."),
    ],
)
def test_a_value_of_the_wrong_type_is_a_fault(name: str, raw: str, text: str) -> None:
    read = check_read(request("GetSecret", {name: raw}), Version.SOAP_11, ACTION)
    assert read == Fault(f"{UNREADABLE}There is an error in XML document. ---> {text}")


@pytest.mark.parametrize(
    "body",
    [
        b"<GetSecret><secretId>7</secretId></GetSecret>",
        b'<GetSecret xmlns="urn:other"><secretId>7</secretId></GetSecret>',
        b'<GetSecrets xmlns="urn:thesecretserver.com"><secretId>7</secretId></GetSecrets>',
        b'<t:GetSecret xmlns:t="urn:thesecretserver.com"><secretId>7</secretId></t:GetSecret>',
    ],
)
def test_arguments_of_another_namespace_are_none_at_all(body: bytes) -> None:
    """As ASP.NET does it: the call is one, without its arguments."""
    document = b'<s:Envelope xmlns:s="%s"><s:Body>%s</s:Body></s:Envelope>' % (SOAP_11.encode(), body)
    read = check_read(document, Version.SOAP_11, ACTION)
    assert isinstance(read, Call)
    assert (read.operation.name, read.arguments["secretId"]) == ("GetSecret", 0)


def test_nil_is_none_and_a_nil_array_is_empty() -> None:
    xml = '<token xsi:nil="true"/><secretId xsi:nil="1"/><codeResponses xsi:nil="true"/>'
    found = values.read(structure(xml), OPERATIONS["GetSecret"].parameters)
    assert (found["token"], found["secretId"], found["codeResponses"]) == (None, 0, [])


def test_none_is_nil_where_it_can_be_and_left_out_elsewhere() -> None:
    members = contract.SECRET.members
    written = structure(values.write(members, {"IsCheckedOut": None, "OutOfSyncReason": None, "Name": ""}))
    assert [(local(child), child.get(NIL)) for child in written] == [
        ("Name", None),
        ("IsCheckedOut", "true"),
    ]


def test_members_are_written_in_the_order_of_the_contract() -> None:
    written = values.write(contract.SUMMARY.members, {"FolderId": 5, "SecretName": "a", "SecretId": 1})
    assert written == "<SecretId>1</SecretId><SecretName>a</SecretName><FolderId>5</FolderId>"


@given(name=st.text() | st.sampled_from(sorted(OPERATIONS)), query=st.lists(st.tuples(st.text(), st.text())))
def test_any_form_is_a_call_or_a_text(name: str, query: list[tuple[str, str]]) -> None:
    read = forms.read(name, query)
    assert read if isinstance(read, str) else isinstance(read, Call)


def test_every_operation_is_answered_and_in_the_wsdl() -> None:
    assert set(OPERATIONS) == set(answering.HANDLERS) | set(sessions.OPEN)
    assert {name for name, operation in OPERATIONS.items() if not operation.has_token} == set(sessions.OPEN)
    root = fromstring(wsdl.document('http://h/"<x>&'))
    schema, soap = "{http://www.w3.org/2001/XMLSchema}", "{http://schemas.xmlsoap.org/wsdl/soap/}"
    elements = {element.get("name") for element in root.iterfind(f".//{schema}schema/{schema}element")}
    assert elements == {f"{name}{what}" for name in OPERATIONS for what in ("", "Response")}
    address = root.find(f".//{soap}address")
    assert address is not None
    assert address.get("location") == 'http://h/"<x>&'
    types = [element.get("name") for element in root.iterfind(f".//{schema}schema/{schema}complexType")]
    named = {element.get("type", "") for element in root.iter(f"{schema}element")} - {""}
    assert {f"tns:{name}" for name in types} == {name for name in named if name.startswith("tns:")}
    assert len(types) == len(set(types))
