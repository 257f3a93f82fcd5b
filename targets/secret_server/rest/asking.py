"""A request's parts as the service wants them, and its answers as HTTP responses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from targets.secret_server.gate import Ask
from targets.secret_server.reading import Place
from targets.secret_server.refusal import Refused
from targets.secret_server.rest.errors import problem
from targets.secret_server.rest.query import BadQueryError, Query
from targets.secret_server.rest.wire import Json, Look
from targets.secret_server.service import Vault
from targets.secret_server.users import Caller

CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    return request[CALLER]


def query_of(request: web.Request) -> Query:
    return Query(request.query.items())


def place_of(request: web.Request) -> Place:
    """The secret of the route's id; id 0 asks for `secretPath`."""
    number = number_in(request, "id")
    path = query_of(request).text("secretPath")
    return path if number == 0 and path else number


def number_in(request: web.Request, name: str) -> int:
    raw = request.match_info[name]
    if not (raw.isascii() and raw.isdigit() and len(raw) < 12):
        raise BadQueryError(name)
    return int(raw)


def ask_of_query(request: web.Request) -> Ask:
    query = query_of(request)
    return Ask(
        comment=query.text("autoComment").strip(),
        force_check_in=query.flag("forceCheckIn"),
        include_inactive=query.flag("includeInactive"),
        no_auto_checkout=query.flag("noAutoCheckout") or not query.flag("autoCheckout", default=True),
        auto_check_in=query.flag("autoCheckIn"),
    )


@dataclass(frozen=True, slots=True)
class Body:
    """A request's JSON object; names in any case, as .NET reads them. Each getter raises BadQueryError."""

    given: Json
    values: Json
    """By folded name."""

    def text(self, name: str) -> str:
        value = self.values.get(name.lower())
        if value is not None and not isinstance(value, str | int | float):
            raise BadQueryError(name)
        return "" if value is None else str(value).strip()

    def flag(self, name: str) -> bool:
        value = self.values.get(name.lower())
        if value not in (None, True, False, "true", "false"):
            raise BadQueryError(name)
        return value in (True, "true")

    def number(self, name: str) -> int:
        value = self.values.get(name.lower())
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadQueryError(name)
        return value

    def date(self, name: str) -> datetime | None:
        """UTC, as everything here; an offset that is given is heeded."""
        text = self.text(name)
        if not text:
            return None
        try:
            when = datetime.fromisoformat(text)
            return when if when.tzinfo is None else when.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise BadQueryError(name) from None

    def inner(self, name: str) -> Body:
        value = self.values.get(name.lower())
        if not isinstance(value, dict):
            raise BadQueryError(name)
        return Body(value, _folded(value))

    def ask(self) -> Ask:
        """The arguments of a restricted request."""
        return Ask(
            comment=self.text("comment"),
            ticket=self.text("ticketNumber"),
            ticket_system=self.number("ticketSystemId") if self.values.get("ticketsystemid") is not None else None,
            double_lock_password=self.text("doubleLockPassword"),
            force_check_in=self.flag("forceCheckIn"),
            include_inactive=self.flag("includeInactive"),
            no_auto_checkout=self.flag("noAutoCheckout"),
        )


async def body_of(request: web.Request) -> Body:
    """An empty body is an empty object. Raises BadQueryError for one that is no object."""
    try:
        body = await request.json() if request.can_read_body else {}
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or a number of thousands of digits
        raise BadQueryError("args") from None
    if not isinstance(body, dict):
        raise BadQueryError("args")
    return Body(body, _folded(body))


def look_of(service: Vault, request: web.Request) -> Look:
    nulls = is_v2(request) and service.spec.v2_null_ids
    return Look(caller_of(request), service.clock.seconds(), None if nulls else -1)


def is_v2(request: web.Request) -> bool:
    return "/api/v2/" in request.path


def refusal(service: Vault, refused: Refused) -> web.Response:
    answer = problem(refused, denied_status=service.spec.access_denied_status)
    if isinstance(answer.body, str):
        return web.Response(status=answer.status, text=answer.body, content_type="text/html")
    hidden = {"message": service.spec.error_text} if service.spec.error_text else {}
    return web.json_response(answer.body | hidden, status=answer.status)


def _folded(values: Json) -> Json:
    return {str(name).lower(): value for name, value in values.items()}
