"""Access requests: a user asks, an approver answers, and the answer holds in a window of time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from targets.secret_server.audit import Action, AuditLog
from targets.secret_server.clock import VaultClock
from targets.secret_server.gate import Ask, is_approver, refused_words
from targets.secret_server.mode import Mode
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.users import Caller

WINDOW = timedelta(hours=1)
"""What a request asks for that names no end."""


class Status(StrEnum):
    PENDING = "Pending"
    APPROVED = "Approved"
    DENIED = "Denied"
    CANCELED = "Canceled"
    EXPIRED = "Expired"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    id: int
    secret: StoredSecret
    user: str
    user_id: int
    comment: str
    ticket: str
    requested: datetime
    start: datetime
    end: datetime
    status: Status = Status.PENDING
    responder: str = ""
    response: str = ""
    responded: datetime | None = None


class AccessRequests:
    def __init__(self, clock: VaultClock, audit: AuditLog, mode: Mode) -> None:
        self._clock = clock
        self._mode = mode
        self._audit = audit
        self._requests: dict[int, AccessRequest] = {}
        self._by_secret: defaultdict[int, list[int]] = defaultdict(list)

    def approved(self, secret: StoredSecret, caller: Caller) -> datetime | None:
        """Until when the caller's approval holds; None: there is none now."""
        now = self._clock.now()
        ends = [
            r.end
            for r in map(self._requests.__getitem__, self._by_secret.get(secret.id, ()))
            if r.user_id == caller.user.id and r.status is Status.APPROVED and r.start <= now < r.end
        ]
        return max(ends, default=None)

    def file(
        self,
        secret: StoredSecret,
        caller: Caller,
        ask: Ask,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AccessRequest | Refused:
        """Ask for a secret that needs approval; the window begins now and lasts an hour where nothing else is said.

        A secret that wants a ticket wants it here, too.
        """
        if secret.security.ticket and (refused := refused_words(secret, ask)):
            return refused
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        if not secret.security.approvers:
            return Refused(Why.NOT_POSSIBLE, "the secret needs no approval")
        now = self._clock.now()
        start = start or now
        try:
            end = end or start + WINDOW
        except OverflowError:
            return Refused(Why.INVALID, "startDate")
        if end <= max(start, now):
            return Refused(Why.INVALID, "expirationDate")
        number = len(self._requests) + 1
        made = AccessRequest(number, secret, caller.user.name, caller.user.id, ask.comment, ask.ticket, now, start, end)
        self._requests[number] = made
        self._by_secret[secret.id].append(number)
        self._audit.record(secret, caller, Action.REQUEST, ask.comment, ask.ticket)
        return made

    def answer(
        self,
        number: int,
        caller: Caller,
        status: Status,
        comment: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> AccessRequest | Refused:
        """Approve or deny another's pending request, or cancel one's own; an approver may change the window."""
        request = self.get(number, caller)
        if isinstance(request, Refused):
            return request
        own = request.user_id == caller.user.id
        answers = is_approver(request.secret, caller) or caller.user.access(request.secret) >= Access.OWNER
        if status is Status.CANCELED:
            if not own:
                return Refused(Why.ACCESS_DENIED)
        elif status not in {Status.APPROVED, Status.DENIED}:
            return Refused(Why.INVALID, "status")
        elif not answers or own:
            return Refused(Why.ACCESS_DENIED)
        if self._mode.read_only:
            return Refused(Why.READ_ONLY)
        if request.status is not Status.PENDING:
            return Refused(Why.NOT_POSSIBLE, f"the request is {request.status}")
        window_start, window_end = start or request.start, end or request.end
        if window_end <= window_start:
            return Refused(Why.INVALID, "expirationDate")
        answered = replace(
            request,
            status=status,
            start=window_start,
            end=window_end,
            responder=caller.user.name,
            response=comment,
            responded=self._clock.now(),
        )
        self._requests[number] = answered
        if status is not Status.CANCELED:
            action = Action.APPROVED if status is Status.APPROVED else Action.DENIED
            self._audit.record(request.secret, caller, action, comment)
        return self._as_of_now(answered)

    def get(self, number: int, caller: Caller) -> AccessRequest | Refused:
        request = self._requests.get(number)
        if request is None or not self._sees(request, caller):
            return Refused(Why.ACCESS_DENIED)
        return self._as_of_now(request)

    def all(self, caller: Caller) -> list[AccessRequest]:
        """The caller's own, and those that the caller may answer; newest first."""
        return [self._as_of_now(r) for r in reversed(self._requests.values()) if self._sees(r, caller)]

    def _as_of_now(self, request: AccessRequest) -> AccessRequest:
        over = request.status in {Status.PENDING, Status.APPROVED} and request.end <= self._clock.now()
        return replace(request, status=Status.EXPIRED) if over else request

    def _sees(self, request: AccessRequest, caller: Caller) -> bool:
        if request.user_id == caller.user.id or is_approver(request.secret, caller):
            return True
        return caller.user.access(request.secret) >= Access.OWNER
