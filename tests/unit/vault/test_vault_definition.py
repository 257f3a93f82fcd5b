"""Vault definitions: what a URL may be, what crosses the pipe, and that nothing shows the password."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from appliance.contract import ContractError
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from tests.unit.vault.scripted import PASSWORD


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
