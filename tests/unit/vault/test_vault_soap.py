"""The SOAP codec: what is asked, what each answer means, and that no bytes whatever break it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from xml.sax.saxutils import escape

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import PEER_TEXT_LIMIT, Failure, Phase, SignalKind, Ticket
from appliance.reasons import REASONS
from appliance.vault import soap, soap_answers, soap_envelope
from appliance.vault.answers import Grant, Item, Page, Secret, Summary
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.fields import choose
from appliance.vault.messages import FILE_LIMIT, Answer, Request, Why
from appliance.vault.soap_answers import Checkout

TOKEN = Hidden("AgJ-token")
NAMESPACE = "urn:thesecretserver.com"
PARSERS: dict[str, Callable[[Answer], object]] = {
    "Authenticate": soap_answers.read_grant,
    "GetTokenIsValid": soap_answers.read_token_is_valid,
    "SearchSecrets": soap_answers.read_page,
    "GetCheckOutStatus": soap_answers.read_checkout,
    "GetSecret": soap_answers.read_secret,
    "DownloadFileAttachmentByItemId": soap_answers.read_file,
    "VersionGet": soap_answers.read_version,
    "WhoAmI": soap_answers.read_user,
    "CheckIn": soap_answers.read_check_in,
}


def envelope(body: str) -> bytes:
    names = (
        'xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    )
    return f"<soap:Envelope {names}><soap:Body>{body}</soap:Body></soap:Envelope>".encode()


def result(operation: str, members: str) -> Answer:
    inner = f"<{operation}Result>{members}</{operation}Result>"
    body = envelope(f'<{operation}Response xmlns="{NAMESPACE}">{inner}</{operation}Response>')
    return Answer(200, "text/xml; charset=utf-8", "", body)


def errors(operation: str, *texts: str) -> Answer:
    return result(operation, f"<Errors>{''.join(f'<string>{escape(t)}</string>' for t in texts)}</Errors>")


def name_of(read: object) -> str:
    assert isinstance(read, Failure), read
    return read.signal.name


# -- any bytes ---------------------------------------------------------------------------------------------------------


def check_total(answer: Answer) -> None:
    for parse in (*PARSERS.values(), soap_answers.read_taken):
        read = parse(answer)
        if isinstance(read, Failure):
            assert read.phase is Phase.VAULT
            assert read.signal.kind is SignalKind.NAMED
            assert read.signal.name in REASONS
            assert len(read.text.encode()) <= PEER_TEXT_LIMIT
            json.dumps(read.facts).encode()
        if isinstance(read, Secret):
            choose(read)
            "".join(item.value for item in read.items).encode()


@given(status=st.integers(100, 599), kind=st.text(), body=st.binary(max_size=300))
def test_any_bytes_give_a_value_or_a_failure(status: int, kind: str, body: bytes) -> None:
    check_total(Answer(status, kind, "", body))


tags = st.sampled_from([
    "Errors", "string", "Token", "SecretError", "ErrorCode", "ErrorMessage", "Secret",
    "Items", "SecretItem", "Id", "Value", "FieldName", "IsFile", "Active",
    "SecretSummaries", "SecretSummary", "SecretId", "SecretName", "FolderId", "IsCheckedOut", "CheckOutUserId",
    "FileAttachment", "x",
])  # fmt: skip
leaf = st.text(max_size=6).map(escape) | st.sampled_from(["1", "-1", "true", "999999999999", "٣", "COMMENT", "QUJD"])
xml = st.recursive(
    leaf,
    lambda inner: st.lists(st.builds("<{0}>{1}</{0}>".format, tags, inner), max_size=5).map("".join),
    max_leaves=25,
)


@given(status=st.sampled_from([200, 200, 200, 400, 500]), operation=st.sampled_from(sorted(PARSERS)), members=xml)
def test_any_members_give_a_value_or_a_failure(status: int, operation: str, members: str) -> None:
    whole = result(operation, members)
    check_total(Answer(status, whole.content_type, "", whole.body))


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize(
    "body",
    [
        LAUGHS.encode(),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<a>" * 100_000,
        b"<a" * 100_000,
        b'<?xml version="1.0" encoding="nonsense"?><x/>',
        b"\xff\xfe<\x00",
        b"",
        b"<!DOCTYPE html><html><body>Log in</body></html>",
        b"{}",
        envelope("<x/>"),
    ],
)
def test_what_is_no_result_is_a_bad_response(body: bytes) -> None:
    for parse in PARSERS.values():
        assert name_of(parse(Answer(200, "text/xml", "", body))) == "VAULT_BAD_RESPONSE"


# -- refusals ----------------------------------------------------------------------------------------------------------

TEXTS = [
    ("Authentication failed or expired token", "VAULT_TOKEN_EXPIRED"),
    ("Authentication failed or expired token.", "VAULT_TOKEN_EXPIRED"),
    ("Access Denied", "SECRET_ACCESS_DENIED"),
    ("The requested Secret requires a comment when viewed.", "SECRET_NEEDS_COMMENT"),
    ("The requested Secret requires approval for access.", "SECRET_NEEDS_APPROVAL"),
    ("The requested Secret requires its DoubleLock password.", "SECRET_DOUBLELOCK"),
    ("The requested Secret is checked out by boss.", "SECRET_CHECKED_OUT_BY"),
    ("A password change of the requested Secret is pending.", "SECRET_RPC_PENDING"),
    ("The field does not exist or has no file.", "SECRET_FIELD_MISSING"),
    ("Access is not allowed from this IP address.", "VAULT_IP_BLOCKED"),
    ("You do not have permission to perform this operation.", "VAULT_FORBIDDEN"),
    ("Secret Server is in read-only mode.", "VAULT_ERROR"),
    ("An administrator's own words.", "VAULT_ERROR"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_each_text_has_its_reason_whatever_the_operation(text: str, expected: str) -> None:
    for operation, parse in PARSERS.items():
        read = parse(errors(operation, text))
        if operation == "GetTokenIsValid":
            assert read is False, "its errors are about the token alone"
            continue
        assert name_of(read) == ("VAULT_LOGIN_REFUSED" if operation == "Authenticate" else expected)
        assert isinstance(read, Failure)
        assert read.text == text
        assert read.facts["status"] == "200"
        assert ("words" in read.facts) is (text == "An administrator's own words.")


CODES = [
    ("COMMENT", "SECRET_NEEDS_COMMENT"),
    ("Comment_Required", "SECRET_NEEDS_COMMENT"),
    ("TICKETSYSTEM", "SECRET_NEEDS_COMMENT"),
    ("APPROVAL", "SECRET_NEEDS_APPROVAL"),
    ("APPROVAL_PENDING", "SECRET_NEEDS_APPROVAL"),
    ("DOUBLE-LOCK", "SECRET_DOUBLELOCK"),
    ("CHECKOUT", "SECRET_CHECKED_OUT_BY"),
    ("CHECKOUTPENDINGRPC", "SECRET_RPC_PENDING"),
    ("Invented", "SECRET_ACCESS_DENIED"),
]


@pytest.mark.parametrize("beside", ["<Errors />", "<Errors><string>said otherwise</string></Errors>", ""])
@pytest.mark.parametrize(("code", "expected"), CODES)
def test_what_a_secret_asks_for_goes_before_the_errors_beside_it(code: str, expected: str, beside: str) -> None:
    error = f"<SecretError><ErrorCode>{code}</ErrorCode><ErrorMessage>why?</ErrorMessage></SecretError>"
    read = soap_answers.read_secret(result("GetSecret", beside + error))
    assert name_of(read) == expected
    assert isinstance(read, Failure)
    assert (read.text, read.facts["error_code"]) == ("why?", code)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Kms+/'<é1", "[withheld]"),
        ('{"a": "\\u004bms+/\'<\\u00e91"}', '{"a": "[withheld]"}'),
        ("no &#0075;ms+/'&lt;&#xe9;1", ""),
        ("Kms%2B%2F%27%3C%C3%A91", "[withheld]"),
    ],
)
def test_a_refusal_with_200_loses_what_an_error_page_would(said: str, left: str) -> None:
    answer = result("GetSecret", f"<Errors><string>{escape(said)}</string></Errors>")
    read = soap_answers.read_secret(replace(answer, secrets=(Hidden("Kms+/'<é1"),)))
    assert isinstance(read, Failure)
    assert read.text == left


def test_what_a_refusal_repeats_of_its_request_is_withheld() -> None:
    """It comes with 200, whose body is left as it is; escaped once more it is found as well."""
    for said in ("by AgJ-token", "by &amp;lt;p&amp;amp;w&amp;gt;", "by &lt;p&amp;w&gt;"):
        told = result("GetSecret", f"<Errors><string>{said}</string></Errors>")
        asked = f"<SecretError><ErrorCode>{said}</ErrorCode><ErrorMessage>{said}</ErrorMessage></SecretError>"
        for answer in (told, result("GetSecret", asked)):
            read = soap_answers.read_secret(replace(answer, secrets=(TOKEN, Hidden("<p&w>"))))
            assert isinstance(read, Failure)
            assert read.text == "by [withheld]"
            assert "AgJ" not in repr(read)
            assert "p&" not in repr(read)


@pytest.mark.parametrize("error", ["<SecretError />", '<SecretError xsi:nil="true" />'])
def test_an_empty_secret_error_is_none(error: str) -> None:
    assert name_of(soap_answers.read_secret(errors("GetSecret", "Access Denied"))) == "SECRET_ACCESS_DENIED"
    denied = f"<Errors><string>Access Denied</string></Errors>{error}"
    assert name_of(soap_answers.read_secret(result("GetSecret", denied))) == "SECRET_ACCESS_DENIED"


def test_a_fault_is_the_vaults_error_with_its_text() -> None:
    body = envelope("<soap:Fault><faultcode>soap:Server</faultcode><faultstring>It broke.</faultstring></soap:Fault>")
    for parse in PARSERS.values():
        read = parse(Answer(500, "text/xml", "", body))
        assert name_of(read) == "VAULT_ERROR"
        assert isinstance(read, Failure)
        assert read.text == "It broke."


@pytest.mark.parametrize(
    ("status", "expected", "at_login"),
    [
        (400, "VAULT_BAD_RESPONSE", "VAULT_LOGIN_REFUSED"),
        (401, "VAULT_TOKEN_EXPIRED", "VAULT_LOGIN_REFUSED"),
        (404, "VAULT_BAD_RESPONSE", "VAULT_BAD_RESPONSE"),
        (408, "VAULT_TIMEOUT", "VAULT_TIMEOUT"),
        (429, "VAULT_RATE_LIMITED", "VAULT_RATE_LIMITED"),
        (500, "VAULT_ERROR", "VAULT_ERROR"),
        (503, "VAULT_ERROR", "VAULT_ERROR"),
    ],
)
def test_a_page_comes_from_something_in_between(status: int, expected: str, at_login: str) -> None:
    for operation, parse in PARSERS.items():
        read = parse(Answer(status, "text/html", "", b"<html>sign in, s3cret</html>"))
        assert name_of(read) == (at_login if operation == "Authenticate" else expected)
        assert "s3cret" not in repr(read)


# -- values ------------------------------------------------------------------------------------------------------------


def test_a_grant_has_a_token_and_the_default_life() -> None:
    read = soap_answers.read_grant(result("Authenticate", "<Errors /><Token>AgJ-1</Token>"))
    assert isinstance(read, Grant)
    assert (read.access.reveal(), read.life, read.refresh) == ("AgJ-1", 1200.0, None)
    for bad in ("", "abc", "has space", "ümlaut"):
        token = result("Authenticate", f"<Errors /><Token>{bad}</Token>")
        assert name_of(soap_answers.read_grant(token)) == "VAULT_BAD_RESPONSE"


def test_a_search_has_ids_names_and_folders() -> None:
    row = "<SecretSummary><SecretId>{}</SecretId><SecretName>{}</SecretName><FolderId>{}</FolderId></SecretSummary>"
    open_row = row.replace("</SecretSummary>", "<IsRestricted>false</IsRestricted></SecretSummary>")
    rows = open_row.format(7, "a &amp; b", 5) + row.format(8, "", -1)
    read = soap_answers.read_page(result("SearchSecrets", f"<Errors /><SecretSummaries>{rows}</SecretSummaries>"))
    silent = Summary(8, "", "folder -1", restricted=True)
    assert read == Page((Summary(7, "a & b", "folder 5"), silent), more=False), "who does not say, may want anything"
    assert soap_answers.read_page(result("SearchSecrets", "<Errors /><SecretSummaries />")) == Page((), more=False)
    assert name_of(soap_answers.read_page(result("SearchSecrets", "<Errors />"))) == "VAULT_BAD_RESPONSE"
    for bad in (row.format("", "x", 1), row.format(0, "x", 1), "<SecretSummary><SecretId>1</SecretId></SecretSummary>"):
        found = result("SearchSecrets", f"<SecretSummaries>{bad}</SecretSummaries>")
        assert name_of(soap_answers.read_page(found)) == "VAULT_BAD_RESPONSE"


ITEM = "<SecretItem><Value>{}</Value><Id>{}</Id><FieldName>{}</FieldName>{}</SecretItem>"


def secret(*items: str, active: str = "true", secret_id: str = "7") -> Answer:
    inner = (
        f"<Items>{''.join(items)}</Items><Id>{secret_id}</Id><SecretTypeId>6007</SecretTypeId><Active>{active}</Active>"
    )
    return result("GetSecret", f"<Errors /><Secret>{inner}</Secret>")


def test_a_secret_has_its_items_with_slugs_made_of_their_names() -> None:
    read = soap_answers.read_secret(
        secret(
            ITEM.format("root", 1, "Username", "<IsPassword>false</IsPassword>"),
            ITEM.format(" p&amp;w&#xD; ", 2, "Password", "<IsPassword>true</IsPassword>"),
            ITEM.format("*** Not Valid For Display ***", 3, "Private Key", "<IsFile>1</IsFile>"),
            ITEM.format("", 4, "Public  Key (old)", "<IsFile>true</IsFile>"),
        )
    )
    assert read == Secret(
        7,
        "type 6007",
        (
            Item("username", "root", id=1),
            Item("password", " p&w\r ", is_password=True, id=2),
            Item("private-key", "*** Not Valid For Display ***", is_file=True, has_file=True, id=3),
            Item("public-key-old", "", is_file=True, id=4),
        ),
    )
    assert isinstance(read, Secret)
    chosen = choose(read)
    assert (chosen.user, chosen.key and chosen.key.id) == ("root", 3)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (secret(active="false"), "SECRET_INACTIVE"),
        (secret(secret_id="0"), "VAULT_BAD_RESPONSE"),
        (secret(secret_id="x"), "VAULT_BAD_RESPONSE"),
        (secret("<SecretItem><Id>1</Id></SecretItem>"), "VAULT_BAD_RESPONSE"),
        (secret("<SecretItem><FieldName>a</FieldName></SecretItem>"), "VAULT_BAD_RESPONSE"),
        (result("GetSecret", "<Errors />"), "VAULT_BAD_RESPONSE"),
        (result("GetSecret", "<Errors /><Secret><Id>7</Id></Secret>"), "VAULT_BAD_RESPONSE"),
    ],
)
def test_a_secret_that_is_none(answer: Answer, expected: str) -> None:
    assert name_of(soap_answers.read_secret(answer)) == expected


def test_a_secret_says_whether_it_is_checked_out_and_one_that_is_taken_says_nothing_else() -> None:
    whole = secret(ITEM.format("p", 2, "Password", "<IsPassword>true</IsPassword>"))
    assert soap_answers.read_taken(whole) is None
    assert isinstance(read := soap_answers.read_secret(whole), Secret)
    assert not read.checked_out
    out = whole.body.replace(b"<Active>", b"<IsCheckedOut>true</IsCheckedOut><Active>")
    read = soap_answers.read_secret(replace(whole, body=out))
    assert isinstance(read, Secret)
    assert read.checked_out
    assert name_of(soap_answers.read_taken(result("GetSecret", "<Errors />"))) == "VAULT_BAD_RESPONSE"
    assert name_of(soap_answers.read_taken(errors("GetSecret", "Access Denied"))) == "SECRET_ACCESS_DENIED"


def test_who_asks_and_which_version_answers() -> None:
    assert soap_answers.read_user(result("WhoAmI", "<Errors /><UserId>3</UserId>")) == 3
    assert name_of(soap_answers.read_user(result("WhoAmI", "<Errors /><UserId>x</UserId>"))) == "VAULT_BAD_RESPONSE"
    assert soap_answers.read_version(result("VersionGet", "<Errors /><Version>8.9</Version>")) == "8.9"
    assert soap_answers.read_check_in(result("CheckIn", "<Errors />")) is None


def test_a_check_out_says_who_and_how_long() -> None:
    held = "<IsCheckedOut>true</IsCheckedOut><CheckOutMinutesRemaining>9</CheckOutMinutesRemaining>"
    held += "<CheckOutUserDisplayName>boss</CheckOutUserDisplayName><CheckOutUserId>3</CheckOutUserId>"
    assert soap_answers.read_checkout(result("GetCheckOutStatus", held)) == Checkout(True, "boss", 3, 9)
    for nonsense in ("-1", "9999999999", "x"):
        answer = result("GetCheckOutStatus", held.replace(">9<", f">{nonsense}<"))
        assert soap_answers.read_checkout(answer) == Checkout(True, "boss", 3, None)
    for free in ("<IsCheckedOut>false</IsCheckedOut>", '<IsCheckedOut xsi:nil="true" />'):
        assert soap_answers.read_checkout(result("GetCheckOutStatus", f"<Errors />{free}")) == Checkout(held=False)
    assert name_of(soap_answers.read_checkout(result("GetCheckOutStatus", "<Errors />"))) == "VAULT_BAD_RESPONSE"


def test_an_attachment_is_base64_of_a_bounded_length() -> None:
    def file(content: str) -> Answer:
        return result("DownloadFileAttachmentByItemId", f"<Errors /><FileAttachment>{content}</FileAttachment>")

    assert soap_answers.read_file(file("AAEC\n /w==")) == b"\x00\x01\x02\xff"
    for bad in ("AAE", "ä", base64.b64encode(b"x" * (FILE_LIMIT + 1)).decode()):
        assert name_of(soap_answers.read_file(file(bad))) == "VAULT_BAD_RESPONSE"
    nil = result("DownloadFileAttachmentByItemId", '<Errors /><FileAttachment xsi:nil="true" />')
    assert name_of(soap_answers.read_file(nil)) == "VAULT_BAD_RESPONSE"


# -- requests ----------------------------------------------------------------------------------------------------------


def login(user: str = "scan", password: str = "p&w", domain: str = "") -> VaultLogin:
    return VaultLogin(VaultAccess(title="V", url="https://v/S", user=user), Hidden(password), domain)


def test_requests_go_out_as_the_vault_reads_them() -> None:
    grant = soap.authenticate(login(domain="corp"))
    assert isinstance(grant, Request)
    assert (grant.method, grant.target) == ("POST", "/webservices/SSWebService.asmx")
    assert grant.content_type == "text/xml; charset=utf-8"
    assert dict(grant.headers)["SOAPAction"] == '"urn:thesecretserver.com/Authenticate"'
    inner = "<username>scan</username><password>p&amp;w</password><organization></organization><domain>corp</domain>"
    assert inner.encode() in grant.body
    assert "p&" not in repr(grant)
    plain = soap.secret(7, TOKEN).body
    assert b"<secretId>7</secretId><loadSettingsAndPermissions>false</loadSettingsAndPermissions></GetSecret>" in plain
    code = b"<CodeResponse><ErrorCode>WHY</ErrorCode><Comment>run &lt;1&gt;</Comment></CodeResponse>"
    assert b"<codeResponses>%s</codeResponses>" % code in soap.secret(7, TOKEN, Why("run <1>"), "WHY").body
    code = code.replace(
        b"</Comment>", b"</Comment><AdditionalComment>CHG-1</AdditionalComment><TicketSystemId>3</TicketSystemId>"
    )
    with_ticket = Why("run <1>", Ticket(number="CHG-1", system=3))
    assert b"<codeResponses>%s</codeResponses>" % code in soap.secret(7, TOKEN, with_ticket, "WHY").body
    found = soap.search("a\rb", TOKEN, inactive=True).body
    assert b"<searchTerm>a&#xD;b</searchTerm><includeDeleted>true</includeDeleted>" in found
    item = soap.file_item(7, 3, TOKEN)
    assert b"<secretId>7</secretId><secretItemId>3</secretItemId>" in item.body
    back = soap.check_in(7, TOKEN)
    assert b"<CheckIn xmlns=" in back.body
    assert b"<secretId>7</secretId>" in back.body
    asked = (item, soap.checkout_status(7, TOKEN), soap.token_is_valid(TOKEN), soap.who_am_i(TOKEN))
    for request in (*asked, back):
        assert request.secrets == (TOKEN,)
        assert b"<token>AgJ-token</token>" in request.body
    assert all(request.question for request in (*asked, soap.version(), soap.secret(7, TOKEN)))
    assert not grant.question, "a password goes once"
    assert not back.question
    assert b"token" not in soap.version().body


@given(name=st.text(), comment=st.text())
def test_any_text_makes_a_call(name: str, comment: str) -> None:
    for request in (soap.search(name, TOKEN, inactive=False), soap.secret(7, TOKEN, Why(comment), name)):
        fromstring(request.body)


@pytest.mark.parametrize("unsayable", ["\x00", "\x1b", "\ud800", "\uffff"])
def test_a_login_that_xml_cannot_carry_is_not_sent_as_another(unsayable: str) -> None:
    for refused in (login(user=unsayable), login(password=unsayable), login(domain=unsayable)):
        read = soap.authenticate(refused)
        assert name_of(read) == "VAULT_LOGIN_REFUSED"
        assert unsayable not in repr(read)


@given(text=st.text())
def test_what_can_be_said_arrives_as_it_was(text: str) -> None:
    root = fromstring(soap_envelope.wrap("X", [("a", text)]))
    arrived = root[0][0][0].text or ""
    assert (arrived == text) or not soap_envelope.sayable(text)
