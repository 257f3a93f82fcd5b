"""Vault definitions: what a URL may be, what crosses the pipe, and that nothing shows the password."""

from __future__ import annotations

import copy
import json
import os
import pickle
from typing import Any

import pytest
from pydantic import SecretStr

from appliance.contract import ContractError
from appliance.vault.client_certificate import TlsUnusableError
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from tests.unit.vault.scripted import PASSWORD

PIN = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def login() -> VaultLogin:
    access = VaultAccess(title="V", url="https://vault.example/SecretServer/", user="svc", tls=VaultTls(verify=False))
    return VaultLogin(access, Hidden(PASSWORD), domain="corp", version="3")


def test_a_login_crosses_the_pipe_whole() -> None:
    assert VaultLogin.from_pipe(login().to_pipe()) == login()
    assert login().access.url == "https://vault.example/SecretServer"


@pytest.mark.parametrize(
    "damage", [{"password": 7}, {"password": [PASSWORD]}, {"extra": PASSWORD}, {"access": PASSWORD}]
)
def test_an_unreadable_login_is_told_without_its_value(damage: dict[str, object]) -> None:
    data = json.dumps(json.loads(login().to_pipe()) | damage).encode()
    with pytest.raises(ContractError) as caught:
        VaultLogin.from_pipe(data)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_a_scan_process_gets_holds_no_password() -> None:
    sent = login().access.encode()
    assert PASSWORD.encode() not in sent
    assert VaultAccess.decode(sent) == login().access


@pytest.mark.parametrize(
    "url",
    [
        "vault.example",
        "ftp://vault.example",
        "https://",
        "http://vault.example/SecretServer",
        "https://user:pw@vault.example",
        "https://vault.example/?a=b",
        "https://vault.example/#a",
        "https://vault.example:99999",
        "https://vault.example:x",
        "https://vault\n.example",
        "https://v\u00e4ult.example",
        "http://10.0.0.1",
        "https://vault..corp/SecretServer",
        "https://.corp",
        "https://10.20.30.400",
        "https://vault\\corp",
        "https://vault.example\\SecretServer",
        f"https://{'v' * 64}.corp",
    ],
)
def test_a_url_that_is_none_or_gives_the_password_away(url: str) -> None:
    with pytest.raises(ContractError, match="url"):
        VaultAccess.decode(json.dumps({"title": "V", "url": url}).encode())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/SecretServer", "http://localhost", "http://[::1]:1", "https://v"]
)
def test_plain_http_stays_on_the_machine(url: str) -> None:
    assert VaultAccess(title="V", url=url).url == url


@pytest.mark.parametrize(
    "proxy", ["http://proxy..corp:1", "http://proxy\\:1", "http://10.20.30.400:1", "http://.corp:1"]
)
def test_a_proxy_that_is_none(proxy: str) -> None:
    with pytest.raises(ContractError, match="proxy"):
        VaultAccess.decode(json.dumps({"title": "V", "url": "https://v", "proxy": proxy}).encode())


def test_plain_http_leaves_it_by_leave_alone() -> None:
    allowed = VaultAccess(title="V", url="http://vault.example", tls=VaultTls(plain_http=True))
    assert allowed.url == "http://vault.example"
    for tls in ({"pins": [PIN]}, {"client_cert": "c", "client_key": "k"}):
        with pytest.raises(ContractError, match="asked over https"):
            VaultAccess.decode(json.dumps({"title": "V", "url": "http://127.0.0.1", "tls": tls}).encode())


@pytest.mark.parametrize(
    "pin", ["", "sha256//", PIN.removeprefix("sha256//"), PIN[:-1], PIN.replace("U=", "V="), f"{PIN}\n"]
)
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(ValueError, match="pins"):
        VaultTls(pins=(pin,))


def test_a_client_key_shows_in_no_text() -> None:
    tls = VaultTls(client_cert="c", client_key=SecretStr(PASSWORD))
    for text in (repr(tls), str(tls), f"{tls.model_dump()}", repr(VaultAccess(title="V", url="https://v", tls=tls))):
        assert PASSWORD not in text
    for broken in ({"client_key": [PASSWORD]}, {"client_key": PASSWORD, "verify": PASSWORD}):
        with pytest.raises(ContractError) as caught:
            VaultTls.decode(json.dumps(broken).encode())
        assert PASSWORD not in str(caught.value)


BROKEN = "-----BEGIN CERTIFICATE-----\nő\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "given",
    [
        {"ca": "no certificate"},
        {"ca": BROKEN},
        {"ca": BROKEN.replace("ő", "MIIB")},
        {"verify": False, "client_cert": "c", "client_key": "k"},
    ],
)
def test_what_no_connection_can_be_made_with(given: dict[str, Any]) -> None:
    with pytest.raises(TlsUnusableError, match=r"tls\.(ca|client_cert)"):
        VaultTls(**given).context()


def test_no_client_certificate_where_its_key_would_need_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(TlsUnusableError, match="needs Linux"):
        VaultTls(verify=False, client_cert="c", client_key=SecretStr("k")).context()


def test_a_hidden_value_stays_hidden() -> None:
    hidden = Hidden(PASSWORD)
    for text in (repr(hidden), str(hidden), f"{hidden}", repr(login()), str(login()), f"{[hidden]}"):
        assert PASSWORD not in text
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(hidden)
    with pytest.raises(TypeError):
        hash(hidden)
    assert hidden == Hidden(PASSWORD)
    assert hidden != Hidden("other")
    assert hidden != PASSWORD
