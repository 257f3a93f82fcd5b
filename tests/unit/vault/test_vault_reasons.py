"""What a vault's answers mean, written from its own interface: status, `errorCode` and `secretState` to reason."""

from __future__ import annotations

import errno
import os
import ssl
from typing import Any

import pytest
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey

from appliance.vault import answers
from appliance.vault.failures import fail, is_about_the_secret, refusal, wants_new_token
from appliance.vault.messages import Answer
from appliance.vault.signs import illness, is_ours, translated
from appliance.vault.trip import Stage
from tests.unit.vault.scripted import DENIED, EXPIRED, error, ok, reason, secret_body, state_body, windows_secret

REFUSALS = [
    (400, DENIED, "SECRET_ACCESS_DENIED"),
    (403, DENIED, "SECRET_ACCESS_DENIED"),
    (400, {"errorCode": "API_ValidateSecretAccessCommentRequired", "message": "x"}, "SECRET_NEEDS_COMMENT"),
    (401, {"message": "Authorization has been denied for this request."}, "VAULT_TOKEN_EXPIRED"),
    (403, EXPIRED, "VAULT_TOKEN_EXPIRED"),
    (403, {"message": "Authentication failed or expired token"}, "VAULT_FORBIDDEN"),
    (403, {"message": "You may not."}, "VAULT_FORBIDDEN"),
    (403, {"errorCode": "API_IpAddressNotAllowed", "message": "no"}, "VAULT_IP_BLOCKED"),
    (403, {"message": "Access is not allowed from this IP address."}, "VAULT_IP_BLOCKED"),
    (404, {"message": "No HTTP resource was found that matches the request URI"}, "VAULT_BAD_RESPONSE"),
    (404, {"message": "Secret not found"}, "SECRET_NOT_FOUND"),
    (400, {"message": "The request is invalid.", "modelState": {}}, "VAULT_ERROR"),
    (408, {}, "VAULT_TIMEOUT"),
    (429, {"message": "slow down"}, "VAULT_RATE_LIMITED"),
    (500, {"message": "An error has occurred."}, "VAULT_ERROR"),
    (503, {"message": "down"}, "VAULT_ERROR"),
    (302, {"message": "elsewhere"}, "VAULT_BAD_RESPONSE"),
    (204, {}, "VAULT_BAD_RESPONSE"),
]


@pytest.mark.parametrize(("status", "body", "expected"), REFUSALS)
def test_each_refusal_has_its_reason(status: int, body: Any, expected: str) -> None:
    assert reason(refusal(error(status, body))) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "VAULT_BAD_RESPONSE"),
        (403, "VAULT_BAD_RESPONSE"),
        (404, "VAULT_BAD_RESPONSE"),
        (401, "VAULT_TOKEN_EXPIRED"),
        (408, "VAULT_TIMEOUT"),
        (429, "VAULT_RATE_LIMITED"),
        (500, "VAULT_ERROR"),
        (502, "VAULT_ERROR"),
        (200, "VAULT_BAD_RESPONSE"),
    ],
)
def test_a_page_comes_from_something_in_between(status: int, expected: str) -> None:
    result = answers.read_secret(page(status))
    assert reason(result) == expected
    assert "s3cret" not in repr(result)


def page(status: int) -> Answer:
    return Answer(status, "text/html", "", b"<html>sign in, s3cret</html>")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "Login failed."}, "VAULT_LOGIN_REFUSED"),
        (401, {}, "VAULT_LOGIN_REFUSED"),
        (403, {"message": "no"}, "VAULT_LOGIN_REFUSED"),
        (404, {"message": "no"}, "VAULT_BAD_RESPONSE"),
        (429, {"message": "slow down"}, "VAULT_RATE_LIMITED"),
        (503, {"message": "down"}, "VAULT_ERROR"),
    ],
)
def test_what_the_token_endpoint_refuses(status: int, body: Any, expected: str) -> None:
    assert reason(answers.read_grant(error(status, body))) == expected


@pytest.mark.parametrize(("status", "expected"), [(400, "VAULT_LOGIN_REFUSED"), (403, "VAULT_BAD_RESPONSE")])
def test_a_page_of_the_token_endpoint(status: int, expected: str) -> None:
    """A 403 of something in between has not judged the login; a 400 is never asked for twice, whoever words it."""
    assert reason(answers.read_grant(page(status))) == expected


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (401, {}, True),
        (403, EXPIRED, True),
        (403, {"message": "You may not."}, False),
        (403, DENIED, False),
        (400, EXPIRED, False),
        (500, EXPIRED, False),
    ],
)
def test_which_answers_ask_for_a_new_session(status: int, body: Any, wanted: bool) -> None:
    assert wants_new_token(error(status, body)) is wanted


@pytest.mark.parametrize("status", ["400", "403", "404", "401", "429", "500"])
@pytest.mark.parametrize(
    ("name", "hides"),
    [
        ("SECRET_ACCESS_DENIED", True),
        ("SECRET_NOT_FOUND", True),
        ("VAULT_FORBIDDEN", True),
        ("VAULT_ERROR", True),  # a code that we don't know, such as one for a check-out
        ("SECRET_NEEDS_COMMENT", False),
        ("SECRET_INACTIVE", False),
        ("VAULT_IP_BLOCKED", False),
        ("VAULT_BAD_RESPONSE", False),
    ],
)
def test_which_refusals_hide_the_secrets_state(name: str, status: str, hides: bool) -> None:
    """Missing, forbidden, checked out and unapproved look alike; what is not about the secret has no state to ask."""
    assert is_about_the_secret(fail(name, status=status)) is (hides and status in ("400", "403", "404"))


STATES = {
    "None": "",
    "RequiresApproval": "SECRET_NEEDS_APPROVAL",
    "RequiresCheckout": "SECRET_NEEDS_CHECKOUT",
    "RequiresCheckoutAndComment": "SECRET_NEEDS_CHECKOUT",
    "RequiresCheckoutPendingRPC": "SECRET_RPC_PENDING",
    "RequiresComment": "SECRET_NEEDS_COMMENT",
    "RequiresDoubleLockPassword": "SECRET_DOUBLELOCK",
    "CreateDoubleLockPassword": "SECRET_DOUBLELOCK",
    "DoubleLockNoAccess": "SECRET_DOUBLELOCK",
    "CannotView": "SECRET_ACCESS_DENIED",
    "RequiresUndelete": "SECRET_INACTIVE",
    "OneOfALaterRelease": "SECRET_ACCESS_DENIED",
}


@pytest.mark.parametrize(("name", "expected"), STATES.items())
def test_each_state_has_its_reason(name: str, expected: str) -> None:
    result = answers.read_state(ok(state_body(7, name)))
    assert result == answers.State(7, expected, facts={"secret_state": name})


@pytest.mark.parametrize(
    ("state", "more", "expected"),
    [
        ("None", {"isActive": False}, "SECRET_INACTIVE"),
        ("None", {"isCheckedOut": True}, "SECRET_CHECKED_OUT_BY"),
        ("RequiresCheckout", {"isCheckedOut": True}, "SECRET_CHECKED_OUT_BY"),
        ("RequiresCheckoutAndComment", {"isCheckedOut": True}, "SECRET_CHECKED_OUT_BY"),
        ("RequiresCheckout", {"isCheckedOut": True, "isCheckedOutByCurrentUser": True}, "SECRET_NEEDS_CHECKOUT"),
        ("RequiresApproval", {"isCheckedOut": True}, "SECRET_NEEDS_APPROVAL"),
        ("RequiresCheckout", {"passwordChangePending": True}, "SECRET_RPC_PENDING"),
        ("None", {"passwordChangePending": True}, ""),
        ("RequiresApproval", {"passwordChangePending": True}, "SECRET_NEEDS_APPROVAL"),
    ],
)
def test_what_a_state_says_besides_its_name(state: str, more: dict[str, Any], expected: str) -> None:
    result = answers.read_state(ok(state_body(7, state, **more)))
    assert isinstance(result, answers.State)
    assert result.reason == expected


@pytest.mark.parametrize("change", [{"id": 0}, {"id": None}, {"secretState": 7}, {"secretState": None}])
def test_a_state_without_id_or_name_is_none(change: dict[str, Any]) -> None:
    assert reason(answers.read_state(ok(state_body(7) | change))) == "VAULT_BAD_RESPONSE"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"active": False}, "SECRET_INACTIVE"),
        ({"id": 0}, "VAULT_BAD_RESPONSE"),
        ({"items": None}, "VAULT_BAD_RESPONSE"),
        ({"items": [{"slug": None}]}, "VAULT_BAD_RESPONSE"),
        ({"items": [], "responseCodes": ["API_AccessDenied"]}, "SECRET_ACCESS_DENIED"),
    ],
)
def test_a_secret_that_is_none(change: dict[str, Any], expected: str) -> None:
    assert reason(answers.read_secret(ok(windows_secret(1) | change))) == expected


def test_codes_beside_items_and_no_items_without_codes_are_a_secret() -> None:
    for body in (windows_secret(1) | {"responseCodes": ["API_Whatever"]}, secret_body(1)):
        assert isinstance(answers.read_secret(ok(body)), answers.Secret)


# -- no answer at all --------------------------------------------------------------------------------------------------

KEY = ConnectionKey("vault", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
NO_TLS = ssl.SSLError(1, "wrong version number")
NO_TLS.reason = "WRONG_VERSION_NUMBER"
UNVERIFIED = ssl.SSLCertVerificationError(1, "certificate verify failed")


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (ClientConnectorCertificateError(KEY, UNVERIFIED), "VAULT_TLS", ""),
        (ClientConnectorSSLError(KEY, NO_TLS), "VAULT_TLS", "WRONG_VERSION_NUMBER"),
        (NO_TLS, "VAULT_TLS", "WRONG_VERSION_NUMBER"),
        (
            ClientConnectorDNSError(KEY, OSError(-2, "unknown")),
            "VAULT_UNREACHABLE",
            "the vault's name does not resolve",
        ),
        (ClientConnectorError(KEY, REFUSED), "VAULT_UNREACHABLE", "ECONNREFUSED"),
        (ServerDisconnectedError(), "VAULT_UNREACHABLE", ""),
        (ConnectionResetError("in words only"), "VAULT_UNREACHABLE", ""),
        (ClientPayloadError(), "VAULT_BAD_RESPONSE", "the answer is no HTTP, or was cut short"),
    ],
)
def test_what_comes_instead_of_an_answer(error: ClientError | OSError, expected: str, text: str) -> None:
    failure = translated(error, Stage.CONNECTING)
    assert (reason(failure), failure.text) == (expected, text)
    assert failure.facts.get("errno") == ("ECONNREFUSED" if text == "ECONNREFUSED" else None)


def test_a_connection_that_ends_once_the_request_was_sent() -> None:
    failure = translated(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), Stage.SENT)
    assert (reason(failure), failure.facts["errno"]) == ("VAULT_UNREACHABLE", "ECONNRESET")
    assert failure.text == "the vault closed the connection before its answer"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_few_descriptors_are_our_own_trouble_and_not_the_vaults(number: int) -> None:
    bare = OSError(number, os.strerror(number))
    for met in (bare, ClientConnectorError(KEY, bare), ClientConnectorDNSError(KEY, bare)):
        failure = translated(met, Stage.CONNECTING)
        assert (reason(failure), illness(failure), is_ours(failure)) == ("OWN_OVERLOAD", None, True)
        assert failure.facts["errno"] == errno.errorcode[number]
