"""The codec: what goes out and what comes in, and that no bytes whatever break it. Reasons: test_vault_reasons.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.contract import PEER_TEXT_LIMIT, Evidence, Failure, Phase, SignalKind, Ticket, peer_text
from appliance.reasons import REASONS
from appliance.vault import answers, rest
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.failures import STATES, fail, login_refusal, refusal, wants_new_token
from appliance.vault.fields import choose
from appliance.vault.messages import UNTOLD, Answer, Request, Why, delta_seconds
from tests.unit.vault.scripted import error, item, ok, page, row, secret_body, unix_secret, windows_secret

PARSERS: list[Callable[[Answer], object]] = [
    answers.read_grant,
    answers.read_page,
    answers.read_state,
    answers.read_secret,
    answers.read_text_field,
    answers.read_file_field,
    refusal,
    login_refusal,
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(st.characters())
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [
        "access_token",
        "expires_in",
        "token_type",
        "records",
        "hasNext",
        "id",
        "name",
        "items",
        "slug",
        "itemValue",
        "isFile",
        "isPassword",
        "active",
        "secretState",
        "isActive",
        "isCheckedOut",
        "message",
        "errorCode",
        "error",
        "responseCodes",
        "fileAttachmentId",
    ]
)
vaultish = st.dictionaries(keys, json_values | st.lists(st.dictionaries(keys, json_values)), max_size=8)


any_text = st.text(st.characters()) | st.sampled_from(["\ud800", "private key\ud800", "passphrase\ud800", "\r\n"])
items = st.fixed_dictionaries(
    {"slug": any_text | st.sampled_from(["password", "private-key", "username"]), "itemValue": any_text | st.none()},
    optional={"isFile": st.booleans(), "isPassword": st.booleans(), "fileAttachmentId": st.integers()},
)
likely = st.fixed_dictionaries(
    {"id": st.integers(1, 9)},
    optional={
        "items": st.lists(items, max_size=4),
        "secretTemplateName": any_text,
        "secretState": any_text | st.sampled_from(list(STATES)),
        "isActive": st.booleans(),
        "checkedOutUserDisplayName": any_text,
        "records": st.lists(st.fixed_dictionaries({"id": st.integers(), "name": any_text, "folderPath": any_text})),
        "message": any_text,
        "errorCode": any_text,
    },
)
"""What a vault might say, with texts that no vault should."""


def check_total(answer: Answer) -> None:
    for parse in PARSERS:
        result = parse(answer)
        if isinstance(result, Failure):
            assert result.phase is Phase.VAULT
            assert result.signal.kind is SignalKind.NAMED
            assert result.signal.name in REASONS
            assert len(result.text.encode()) <= PEER_TEXT_LIMIT
            reported(result)
        if isinstance(result, answers.State):
            reported(fail("SECRET_INACTIVE", result.holder, **result.facts))
        if isinstance(result, answers.Page):
            reported(fail("SECRET_AMBIGUOUS_NAME", ", ".join(f"{s.name} {s.folder_path}" for s in result.records)))
        if isinstance(result, answers.Secret):
            chosen = choose(result)
            for field in (chosen.password, chosen.key, chosen.passphrase):
                if field is not None:
                    asked(rest.text_field(result.id, field.slug, UNTOLD))
            "".join(i.value for i in result.items).encode()
            reported(fail("SECRET_FIELD_MISSING", chosen.user, template=peer_text(result.template)))
    wants_new_token(answer)


def reported(failure: Failure) -> None:
    """It goes over the bus as evidence."""
    Evidence(phase=failure.phase, signal=failure.signal, text=failure.text, facts=failure.facts).encode()


def asked(request: Request) -> None:
    """It goes over the wire: nothing in it that a request line cannot hold."""
    assert re.fullmatch(r"/[!-~]*", request.target)


@given(status=st.integers(100, 599), kind=st.text(), retry=st.text(), body=st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_failure(status: int, kind: str, retry: str, body: bytes) -> None:
    check_total(Answer(status, kind, retry, body))


@example(status=200, body={"id": 1, "secretState": "\ud800\x1b"})
@example(status=200, body={"id": 1, "items": [{"slug": "passphrase\ud800", "itemValue": ""}]})
@example(status=200, body={"id": 1, "items": [{"slug": "private key\ud800", "itemValue": "x", "isFile": True}]})
@given(status=st.sampled_from([200, 400, 401, 403, 404, 429, 500]), body=likely | vaultish | json_values)
def test_any_json_gives_a_value_or_a_failure(status: int, body: Any) -> None:
    check_total(error(status, body))


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{\x00", b"NaN", b""])
@pytest.mark.parametrize("status", [200, 400])
def test_json_that_hurts_is_a_bad_response(body: bytes, status: int) -> None:
    check_total(Answer(status, "application/json", "", body))
    result = answers.read_secret(Answer(status, "application/json", "", body))
    assert isinstance(result, Failure)
    assert result.signal.name == "VAULT_BAD_RESPONSE"


def test_a_refusals_text_is_the_documented_fields_only() -> None:
    body = {
        "message": "An error\x1b[31m has occurred.",
        "messageDetail": "more",
        "stackTrace": "at X(s3cret)",
        "x": "s3cret",
    }
    result = refusal(error(500, body, retry_after="7"))
    assert result.text == "An error\\x1b[31m has occurred.: more"
    assert result.facts["retry_after"] == "7"
    assert "s3cret" not in repr(result)


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": "abc"},
        {"access_token": "has space"},
        {"access_token": "line\nbreak"},
        {"access_token": None},
        {"expires_in": 0},
        {"expires_in": True},
        {"expires_in": "1200"},
        {"expires_in": 1e12},
        {"expires_in": float("nan")},
        {"token_type": "mac"},
    ],
)
def test_an_unusable_grant_is_a_bad_response(change: dict[str, Any]) -> None:
    good = {"access_token": "abcd", "token_type": "Bearer", "expires_in": 1199, "refresh_token": "refr"}
    granted = answers.read_grant(ok(good))
    assert isinstance(granted, answers.Grant)
    assert (granted.access.reveal(), granted.life) == ("abcd", 1199)
    assert granted.refresh == Hidden("refr")
    result = answers.read_grant(ok(good | change))
    assert isinstance(result, Failure)
    assert result.signal.name == "VAULT_BAD_RESPONSE"


def test_a_full_page_may_have_a_successor_whatever_it_says() -> None:
    full = answers.read_page(ok(page(*(row(i, "n") for i in range(1, rest.PAGE + 1)))))
    assert isinstance(full, answers.Page)
    assert full.more
    short = answers.read_page(ok(page(row(1, "n"))))
    assert isinstance(short, answers.Page)
    assert not short.more
    lying = answers.read_page(ok(page(more=True)))
    assert isinstance(lying, answers.Page)
    assert not lying.more


def chosen(body: dict[str, Any]) -> dict[str, str]:
    secret = answers.read_secret(ok(body))
    assert isinstance(secret, answers.Secret)
    fields = choose(secret)
    slugs = {n: f.slug for n in ("password", "key", "passphrase") if (f := getattr(fields, n)) is not None}
    return {"user": fields.user, "domain": fields.domain, **slugs}


def test_the_fields_of_the_shipped_templates() -> None:
    assert chosen(windows_secret(1)) == {"user": "scan", "domain": "", "password": "password"}
    unix = {"password": "password", "key": "private-key", "passphrase": "private-key-passphrase"}
    assert chosen(unix_secret(1)) == {"user": "root", "domain": "", **unix}
    directory = secret_body(1, item("domain", "corp"), item("username", "svc"), item("password", "p", isPassword=True))
    assert chosen(directory) == {"user": "svc", "domain": "corp", "password": "password"}


def test_the_fields_of_an_edited_template() -> None:
    edited = [
        item("kennwort", "p", isPassword=True),
        item("Key-Passphrase", "q", isPassword=True),
        item("public-key", "", isFile=True),
        item("ssh-key", "", isFile=True, fileAttachmentId=3),
    ]
    assert chosen(secret_body(1, *edited)) == {
        "user": "",
        "domain": "",
        "password": "kennwort",
        "passphrase": "key-passphrase",
        "key": "ssh-key",
    }
    two = chosen(secret_body(1, item("old", "p", isPassword=True), item("new", "q", isPassword=True)))
    assert "password" not in two, "of two passwords, none is the obvious one"


def test_a_text_that_no_encoding_takes_is_no_password() -> None:
    result = answers.read_secret(ok(windows_secret(1, password="half\ud800")))
    assert isinstance(result, Failure)
    assert result.signal.name == "VAULT_BAD_RESPONSE"


def test_requests_go_out_as_the_vault_reads_them() -> None:
    login = VaultLogin(VaultAccess(title="V", url="https://v/S", user="a b"), Hidden("p&=ö"), "corp")
    grant = rest.password_grant(login)
    assert (grant.method, grant.target) == ("POST", "/oauth2/token")
    assert grant.body == b"grant_type=password&username=a+b&password=p%26%3D%C3%B6&domain=corp"
    assert b"domain" not in rest.password_grant(VaultLogin(login.access, Hidden("p"))).body
    assert rest.state("\\Scan\\a b").target == "/api/v1/secrets/0/state?secretPath=%5CScan%5Ca%20b"
    assert rest.state(7).target == "/api/v1/secrets/7/state"
    assert rest.secret(7, UNTOLD).target == "/api/v1/secrets/7?noAutoCheckout=true"
    assert rest.text_field(7, "a/../b", UNTOLD).path == "/api/v1/secrets/7/fields/a%2F..%2Fb"
    view = rest.secret(7, Why("run 1"))
    assert (view.method, view.target) == ("POST", "/api/v1/secrets/7/restricted")
    assert json.loads(view.body) == {"comment": "run 1", "noAutoCheckout": True}
    told = Why("run 1", Ticket(number="CHG-1", system=3))
    ticket = {"comment": "run 1", "ticketNumber": "CHG-1", "ticketSystemId": 3}
    assert json.loads(rest.secret(7, told).body) == ticket | {"noAutoCheckout": True}
    for make in (rest.check_in, rest.check_out, rest.view_comment):
        assert json.loads(make(7, told).body) == ticket
    assert json.loads(rest.check_in(7, Why("", Ticket(number="CHG-1"))).body) == {"ticketNumber": "CHG-1"}


@given(name=st.text())
def test_any_name_makes_a_request_line(name: str) -> None:
    target = rest.search(name, 0).target
    assert target.isascii()
    assert not set(target) & set(' \r\n\\#"<>')


@pytest.mark.parametrize(
    ("said", "seconds"), [("5", 5.0), (" 30 ", 30.0), ("Wed, 21 Oct 2026", 0.0), ("-1", 0.0), ("²", 0.0)]
)
def test_retry_after_is_read_in_seconds_only(said: str, seconds: float) -> None:
    assert delta_seconds(said) == seconds


# -- what is asked -----------------------------------------------------------------------------------------------------

names = st.text(min_size=1)
"""Of secrets, as a campaign may have them: any text that TOML can hold."""


@given(name=names, skip=st.integers(0, 10**6))
def test_a_search_says_its_name_and_nothing_else(name: str, skip: int) -> None:
    request = rest.search(name, skip)
    asked(request)
    sent = dict(parse_qsl(urlsplit(request.target).query, keep_blank_values=True, strict_parsing=True))
    assert (sent["filter.searchText"], sent["skip"]) == (name, str(skip))
    assert len(sent) == len(request.query)


@given(where=st.integers(1, 10**18) | names, secret_id=st.integers(1, 10**18), comment=st.text())
def test_no_secret_is_asked_for_by_a_path_that_says_something_else(
    where: int | str, secret_id: int, comment: str
) -> None:
    state = rest.state(where)
    asked(state)
    sent = dict(parse_qsl(urlsplit(state.target).query, keep_blank_values=True))
    assert sent == ({} if isinstance(where, int) else {"secretPath": where})
    view = rest.secret(secret_id, Why(comment))
    asked(view)
    assert str(secret_id) in urlsplit(view.target).path.split("/")
    assert not comment or json.loads(view.body) == {"comment": comment, "noAutoCheckout": True}


@given(slug=names, secret_id=st.integers(1, 10**18), comment=st.text())
def test_a_field_stays_one_segment_of_the_path(slug: str, secret_id: int, comment: str) -> None:
    for make in (rest.text_field, rest.file_field):
        request = make(secret_id, slug, Why(comment))
        asked(request)
        segments = urlsplit(request.target).path.split("/")
        assert (unquote(segments[-1]), segments[-2]) == (slug, "fields")


@given(user=names, password=st.text(), domain=st.text())
def test_a_login_is_a_form_of_its_parts(user: str, password: str, domain: str) -> None:
    access = VaultAccess(title="V", url="https://vault.example", user=user)
    form = dict(
        parse_qsl(
            rest.password_grant(VaultLogin(access, Hidden(password), domain)).body.decode("ascii"),
            keep_blank_values=True,
        )
    )
    assert (form["username"], form["password"], form.get("domain", "")) == (user, password, domain)
