"""NATS's tokens and credentials files: what is written is read again, and what is none is refused."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from appliance.bus.claims import (
    BadKey,
    BadToken,
    KeyKind,
    account_token,
    claims_of,
    new_key,
    operator_token,
    public_of,
    user_token,
)
from appliance.bus.credentials import BusLogin, CredentialsError, credentials_text, read_credentials
from appliance.bus.users import appliance_permissions, new_user

NOW = 1_800_000_000.5


@pytest.mark.parametrize("kind", list(KeyKind))
def test_keys_of_each_kind(kind: KeyKind) -> None:
    pair = new_key(kind)
    assert (pair.seed[:2], pair.public[0]) == ("S" + kind.value, kind.value)
    assert public_of(pair.seed, kind) == pair.public
    assert pair.seed not in repr(pair)
    for other in set(KeyKind) - {kind}:
        with pytest.raises(BadKey, match=f"begins with S{other.value}"):
            public_of(pair.seed, other)


def test_what_a_user_may_is_in_its_token() -> None:
    account, signer, user = new_key(KeyKind.ACCOUNT), new_key(KeyKind.ACCOUNT), new_user()
    may = appliance_permissions("dmz", "a1")
    token = user_token(signer, account.public, user.public, name="a1", permissions=may, now=NOW, expires_at=NOW + 900)
    told: dict[str, Any] = claims_of(token)
    assert (told["iss"], told["sub"], told["name"]) == (signer.public, user.public, "a1")
    assert (told["iat"], told["exp"]) == (1_800_000_000, 1_800_000_900)
    assert told["nats"]["issuer_account"] == account.public
    assert told["nats"]["pub"] == may["publish"]
    assert told["nats"]["resp"] == {"max": 1, "ttl": 300 * 10**9}


def test_an_account_says_who_no_longer_counts() -> None:
    operator, account = new_key(KeyKind.OPERATOR), new_key(KeyKind.ACCOUNT)
    token = account_token(operator, account.public, name="K", revoked={"UA": NOW}, jetstream=True, now=NOW)
    told = claims_of(token)["nats"]
    assert (told["revocations"], told["limits"]["disk_storage"]) == ({"UA": 1_800_000_000}, -1)
    assert claims_of(operator_token(operator, name="O", system_account="AS", now=NOW))["nats"]["system_account"] == "AS"


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}"))
def test_any_text_is_a_token_or_none(text: str) -> None:
    with pytest.raises(BadToken):
        claims_of(text)


def credentials() -> tuple[str, str]:
    account, user = new_key(KeyKind.ACCOUNT), new_user()
    return user.seed, user_token(account, account.public, user.public, name="n", permissions={}, now=NOW)


def test_a_credentials_file_is_read_as_it_was_written() -> None:
    seed, token = credentials()
    assert read_credentials(credentials_text(seed, token)) == (seed, token)
    assert read_credentials(credentials_text(seed, token).replace("\n", "\r\n")) == (seed, token)
    assert read_credentials(f"{seed}\n") == (seed, "")


def test_files_that_hold_no_login() -> None:
    seed, token = credentials()
    for text in ("", "SUAC", token, credentials_text("SU", token), credentials_text(seed, "a.b.c")):
        with pytest.raises(CredentialsError, match="no login for the bus"):
            read_credentials(text)
    with pytest.raises(CredentialsError, match="the token of one user and the seed of another"):
        read_credentials(credentials_text(new_user().seed, token))


def test_tls_is_for_its_urls_and_for_who_names_an_authority() -> None:
    login = BusLogin(url="nats://127.0.0.1", seed=SecretStr("SU"))
    assert login.tls() is None
    assert isinstance(login.model_copy(update={"url": "tls://nats.example"}).tls(), ssl.SSLContext)
    for none in ("no pem", "ő", "-----BEGIN CERTIFICATE-----\nő\n-----END CERTIFICATE-----\n"):
        with pytest.raises(CredentialsError, match="must be certificates in PEM"):
            login.model_copy(update={"ca": none}).tls()
    told = login.model_copy(update={"ca": f"\ufeff# Főtanúsítvány\n{trustme.CA().cert_pem.bytes().decode()}"}).tls()
    assert isinstance(told, ssl.SSLContext)
    assert len(told.get_ca_certs()) == 1, "those of the system are not trusted"
    assert "SU" not in repr(login)
    assert '"seed":"SU"' in login.model_dump_json()
