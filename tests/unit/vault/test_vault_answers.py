"""The codec: what goes out and what comes in, and that no bytes whatever break it. Reasons: test_vault_reasons.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import PEER_TEXT_LIMIT, Failure, Phase, SignalKind
from appliance.reasons import REASONS
from appliance.vault import answers, rest
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin
from appliance.vault.failures import login_refusal, refusal, wants_new_token
from appliance.vault.fields import choose
from appliance.vault.messages import Answer, delta_seconds
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


def check_total(answer: Answer) -> None:
    for parse in PARSERS:
        result = parse(answer)
        if isinstance(result, Failure):
            assert result.phase is Phase.VAULT
            assert result.signal.kind is SignalKind.NAMED
            assert result.signal.name in REASONS
            assert len(result.text.encode()) <= PEER_TEXT_LIMIT
            json.dumps(result.facts).encode()
        if isinstance(result, answers.Secret):
            choose(result)
            "".join(i.value for i in result.items).encode()
    wants_new_token(answer)


@given(status=st.integers(100, 599), kind=st.text(), retry=st.text(), body=st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_failure(status: int, kind: str, retry: str, body: bytes) -> None:
    check_total(Answer(status, kind, retry, body))


@given(status=st.sampled_from([200, 400, 401, 403, 404, 429, 500]), body=vaultish | json_values)
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
    assert rest.secret(7, "").target == "/api/v1/secrets/7?noAutoCheckout=true"
    assert rest.text_field(7, "a/../b", "").path == "/api/v1/secrets/7/fields/a%2F..%2Fb"
    view = rest.secret(7, "run 1")
    assert (view.method, view.target) == ("POST", "/api/v1/secrets/7/restricted")
    assert json.loads(view.body) == {"comment": "run 1", "noAutoCheckout": True}


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
