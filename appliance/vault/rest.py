"""Secret Server's REST interface as values, the asking half: every request that we make. No I/O; see `answers` too.

Sources: the 11.2 swagger and the behaviour of the vendor's own clients. No view performs a check-out: GET does so by
itself unless `noAutoCheckout` is sent, and a check-out that nobody checks in again keeps others out. Who checks out
and in again is in `checkouts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from appliance.vault.definition import Hidden, VaultLogin
from appliance.vault.messages import FILE_LIMIT, JSON_LIMIT, Request, Why

PAGE = 100
"""Records per page of a search."""
LISTED = 500
"""Records per page of a listing."""
_LISTED_LIMIT = 4 * JSON_LIMIT
_EVERY = {
    "filter.includeRestricted": "true",
    "filter.includeActive": "true",
    "filter.includeInactive": "true",
}

_API = "/api/v1"
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def health() -> Request:
    """The one question that needs no login."""
    return Request("GET", f"{_API}/healthcheck")


def password_grant(login: VaultLogin) -> Request:
    form = {"grant_type": "password", "username": login.access.user, "password": login.password.reveal()}
    if login.domain:
        form["domain"] = login.domain
    return _token_request(form, login.password)


def refresh_grant(refresh: Hidden) -> Request:
    return _token_request({"grant_type": "refresh_token", "refresh_token": refresh.reveal()}, refresh)


def _token_request(form: Mapping[str, str], secret: Hidden) -> Request:
    return Request("POST", "/oauth2/token", body=urlencode(form).encode(), content_type=_FORM, secrets=(secret,))


def search(name: str, skip: int) -> Request:
    """Secrets that the name fits, restricted and inactive ones too: what they lack is a reason of its own."""
    query = {
        "filter.searchText": name,
        "filter.isExactMatch": "true",
        **_EVERY,
        "skip": str(skip),
        "take": str(PAGE),
    }
    return Request("GET", f"{_API}/secrets", tuple(query.items()))


def search_machine(machine: str, skip: int) -> Request:
    """Secrets with this machine; as `search` otherwise. The slug is that of the shipped templates."""
    query = {
        "filter.searchText": machine,
        "filter.searchFieldSlug": "machine",
        "filter.isExactMatch": "true",
        **_EVERY,
        "filter.extendedFields": "Machine",
        "skip": str(skip),
        "take": str(PAGE),
    }
    return Request("GET", f"{_API}/secrets", tuple(query.items()))


def listing(skip: int, *, machines: bool = False) -> Request:
    """All secrets, with what they show of their machine where asked for. They are counted once: that is slow on a large
    vault.
    """
    query = {
        **_EVERY,
        **({"filter.extendedFields": "Machine"} if machines else {}),
        **({"filter.doNotCalculateTotal": "true"} if skip else {}),
        "skip": str(skip),
        "take": str(LISTED),
    }
    return Request("GET", f"{_API}/secrets", tuple(query.items()), limit=_LISTED_LIMIT)


def template(template_id: int) -> Request:
    """Which fields secrets of it have."""
    return Request("GET", f"{_API}/secret-templates/{template_id}")


def state(where: int | str) -> Request:
    """A secret by id (int) or path (str): is it there, and could it be read? No view."""
    return Request("GET", f"{_API}/secrets/{_id(where)}/state", _path(where))


def secret(secret_id: int, why: Why) -> Request:
    """View a secret; with a comment and a ticket where there is something to tell."""
    return _view(secret_id, "", why)


def check_out(secret_id: int, why: Why) -> Request:
    """UNSURE: no release is known to read what comes with it; `view_comment` tells those that do not."""
    return _post(f"{_API}/secrets/{secret_id}/check-out", why)


def extend_check_out(secret_id: int, minutes: int, notes: str) -> Request:
    body = json.dumps({"data": {"minutesToAdd": minutes, "notes": notes}}).encode()
    return Request("POST", f"{_API}/secrets/{secret_id}/extend-check-out", body=body, content_type=_JSON)


def check_in(secret_id: int, why: Why) -> Request:
    return _post(f"{_API}/secrets/{secret_id}/check-in", why)


def view_comment(secret_id: int, why: Why) -> Request:
    """Say why, for a while: a check-out takes no comment of its own."""
    return _post(f"{_API}/secret-access-requests/secrets/{secret_id}/view-comment", why)


def _post(path: str, why: Why) -> Request:
    return Request("POST", path, body=json.dumps(why.arguments()).encode(), content_type=_JSON)


def access_requests(secret_id: int) -> Request:
    """The user's own requests for access to a secret."""
    return Request("GET", f"{_API}/secret-access-requests/secrets/{secret_id}")


def access_request(number: int) -> Request:
    return Request("GET", f"{_API}/secret-access-requests/{number}")


def file_request(secret_id: int, why: Why, start: str, end: str) -> Request:
    """Ask for access from `start` to `end`: dates with an offset, since nobody says what a bare one would mean."""
    told = why.arguments()
    asked = {
        "secretId": secret_id,
        "requestComment": told.pop("comment", ""),
        "startDate": start,
        "expirationDate": end,
    }
    body = json.dumps({**asked, **told}).encode()
    return Request("POST", f"{_API}/secret-access-requests", body=body, content_type=_JSON)


def cancel_request(number: int, comment: str) -> Request:
    body = json.dumps({"secretAccessRequestId": number, "status": "Canceled", "responseComment": comment}).encode()
    return Request("PUT", f"{_API}/secret-access-requests", body=body, content_type=_JSON)


def summary(secret_id: int) -> Request:
    """A secret without its values: its folder, and what its template asks for. No view."""
    return Request("GET", f"{_API}/secrets/{secret_id}/summary")


def audits(secret_id: int, skip: int) -> Request:
    """A page of what the vault has written down about a secret, newest first. No view."""
    query = {
        "sortBy[0].name": "dateRecorded",
        "sortBy[0].direction": "desc",
        "skip": str(skip),
        "take": str(PAGE),
    }
    return Request("GET", f"{_API}/secrets/{secret_id}/audits", tuple(query.items()))


def current_user() -> Request:
    """Who the vault takes us for, and what its roles permit."""
    return Request("GET", f"{_API}/users/current")


def text_field(secret_id: int, slug: str, why: Why) -> Request:
    return _view(secret_id, f"/fields/{quote(slug, safe='')}", why)


def file_field(secret_id: int, slug: str, why: Why) -> Request:
    return _view(secret_id, f"/fields/{quote(slug, safe='')}", why, limit=FILE_LIMIT)


def _view(secret_id: int, part: str, why: Why, *, limit: int = JSON_LIMIT) -> Request:
    path, told = f"{_API}/secrets/{secret_id}", why.arguments()
    if not told:
        return Request("GET", path + part, (("noAutoCheckout", "true"),), limit=limit, viewed=secret_id)
    body = json.dumps({**told, "noAutoCheckout": True}).encode()
    path = f"{path}/restricted{part}"
    return Request("POST", path, body=body, content_type=_JSON, limit=limit, viewed=secret_id)


def _id(where: int | str) -> int:
    return where if isinstance(where, int) else 0


def _path(where: int | str) -> tuple[tuple[str, str], ...]:
    return () if isinstance(where, int) else (("secretPath", where),)
