"""Approvals: access to secrets that somebody has to agree to, asked for once per run and secret, and waited for.

Rules:
1. The request belongs to the run: scan processes ask here, and whoever asks later is told that it waits. Its jobs are
   parked meanwhile (`approval_watch`), so nobody asks again and again.
2. A row is durable before a request is filed. What a killed orchestrator has filed is found by it: by its id or, where
   the answer never came, as the first one of the vault's user with a higher id than all before.
3. A request of the vault's user that is open already, whoever filed it, is used and none is filed beside it.
4. Whether access is approved now, the secret's state says. Waiting ends with that, with the request's own end (denied,
   canceled, expired), or when `wait` is over. What it ended with is the run's answer from then on; only an approval
   that has run out is looked at again, and then is its own answer.
5. At the end of the run, what it has filed and nobody has answered is taken back, unless another run waits for it too,
   here or with another orchestrator: that one inherits it.
   A run that is only interrupted leaves it: the approver may answer meanwhile, and the resumed run finds it.
6. A vault that is away decides nothing, and keeps nobody at the end: a request that cannot be taken back is left and
   said. What an admin has stopped is waited for no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import BusError
from appliance.contract import CredentialRef, SecretLookup, peer_text
from appliance.logs import get_logger
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.pacing import STOPPED
from orchestrator.stops import Stops
from orchestrator.store.records import ApprovalRow
from orchestrator.vault_use import ApprovalTerms, Ask, HoldingRun, Rows, SecretKey, VaultUse, is_genuine

ASK_WAIT_S = 15.0
POLL_S = 2.0
LOOKS_AT_ONCE = 8
CROWD = 50
"""With each so many secrets that are waited for, the vault is left alone for POLL_S longer between two looks."""
TAKE_BACK_S = 30.0
ANSWER_KEPT_S = 2.0
"""For so long the same question gets the same answer: a thousand targets may ask for one secret."""
NEEDS_APPROVAL = "SECRET_NEEDS_APPROVAL"
_OPEN = ("pending", "approved")

log = get_logger()


@dataclass(slots=True)
class _Waiting:
    """A run's waiting for one secret."""

    since: float
    until: float
    text: str


@dataclass(slots=True)
class _Asked:
    """One secret of one vault and user; each by run."""

    rows: dict[str, ApprovalRow] = field(default_factory=dict)
    """Of runs that are open, and of dead ones."""
    named: dict[str, dict[CredentialRef, None]] = field(default_factory=dict)
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    ended: dict[str, AccessAnswer] = field(default_factory=dict)
    """Where there will be no other answer."""
    recent: dict[str, tuple[float, AccessAnswer]] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    """Of the attempt that it was asked for last."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class ApprovalOffice:
    """Serves all open runs of one orchestrator."""

    def __init__(
        self,
        rows: Rows[ApprovalRow],
        ask: Ask,
        clock: Callable[[], float],
        stops: Stops,
        is_elsewhere: Callable[[str], bool] = lambda _run: False,
    ) -> None:
        """`is_elsewhere`: is a run in the hands of another orchestrator?"""
        self._rows = rows
        self._is_elsewhere = is_elsewhere
        self._ask = ask
        self._clock = clock
        self._stops = stops
        self._stirred = anyio.Event()
        self._looks = anyio.CapacityLimiter(LOOKS_AT_ONCE)
        self._runs: dict[str, HoldingRun] = {}
        self._asked: dict[SecretKey, _Asked] = {}

    # -- a run's life --------------------------------------------------------------------------------------------------

    async def enter(self, run: HoldingRun) -> None:
        """A run begins, or goes on: what it has asked for before is known."""
        if any(vault.approval is not None for vault in run.vaults):
            for row in await self._rows.all():
                self._asked.setdefault((row.url, row.user, row.secret_id), _Asked()).rows.setdefault(row.run, row)
        self._runs[run.run] = run

    async def tend(self, run: HoldingRun) -> None:
        """Until cancelled: look whether there are answers."""
        while True:
            stirred = self._stirred
            waiting = [(key, asked) for key, asked in self._asked.items() if run.run in asked.waiting]
            async with anyio.create_task_group() as looks:
                for key, asked in waiting:
                    looks.start_soon(self._look_again, run, key, asked, name=f"approval {run.run} {key[2]}")
            with anyio.move_on_after(POLL_S * (1 + len(waiting) // CROWD)):
                await stirred.wait()

    def stops_changed(self) -> None:
        self._stirred.set()
        self._stirred = anyio.Event()

    async def leave(self, run: HoldingRun, *, finished: bool) -> None:
        """A run ends, or is interrupted."""
        left: list[str] = []
        with anyio.move_on_after(TAKE_BACK_S):
            for key, asked in list(self._asked.items()):
                if (row := asked.rows.get(run.run)) is None:
                    continue
                async with asked.lock:
                    if not finished:
                        left += [row.secret] if run.run in asked.waiting else []
                        continue
                    left += [] if await self._taken_back(run, key, asked, row) else [row.secret]
                    await self._rows.drop(row)
                    del asked.rows[run.run]
        if left:
            why = "it could not be taken back" if finished else "the run may go on"
            log.warning("access requests are left open in the vault", run=run.run, secrets=left, why=why)

    def abandon(self, run: HoldingRun) -> None:
        """A run is gone: what is known of it by heart is not, the rows are."""
        self._runs.pop(run.run, None)
        for asked in self._asked.values():
            for by_run in (asked.named, asked.waiting, asked.ended, asked.recent, asked.zones):
                by_run.pop(run.run, None)

    async def _taken_back(self, run: HoldingRun, key: SecretKey, asked: _Asked, row: ApprovalRow) -> bool:
        """False: it is still open, and could not be."""
        names = [other.run for other in await self._rows.of_secret(row)]
        dead = [name for name in names if name not in self._runs and not self._is_elsewhere(name)]
        has_it = await self._rows.hand_over(row, dead)
        if has_it.run != run.run:
            if has_it.run in self._runs:
                asked.rows[has_it.run] = has_it
            return True
        row = has_it
        if not (row.ours and row.request):
            return True
        answer = await self._put(run, key, row.vault, VaultQueryKind.APPROVAL, row, request=row.request)
        if answer.reason != STOPPED and (not answer.ok or answer.facts.get("status") != "pending"):
            return answer.ok
        return (await self._put(run, key, row.vault, VaultQueryKind.CANCEL, row, request=row.request)).ok

    # -- asking --------------------------------------------------------------------------------------------------------

    async def request(self, request: AccessRequest, sender: str) -> AccessAnswer:
        """Answer a scan process: the secret is the run's to view now, or is waited for, or why not."""
        run = self._runs.get(request.run)
        if run is None or not is_genuine(request, run):
            log.warning("approval refused: not an open attempt", sender=sender, job=request.job, of=request.attempt)
            return AccessAnswer(ok=False, reason="APPLIANCE_LOST", text="this is not an open attempt")
        vault = next((vault for vault in run.vaults if vault.title == request.secret.vault), None)
        if vault is None:
            return AccessAnswer(ok=False, reason="REFUSED_BY_POLICY", text=f"no vault {request.secret.vault!r}")
        if vault.approval is None:
            return AccessAnswer(ok=False, reason=NEEDS_APPROVAL, text='the campaign says approval = "fail"')
        key = (vault.url, vault.user, request.secret_id)
        asked = self._asked.setdefault(key, _Asked())
        async with asked.lock:
            if stop := self._stops.on_secret(request.secret):
                return AccessAnswer(ok=False, reason=STOPPED, text=stop.text)
            asked.named.setdefault(run.run, {})[request.secret] = None
            if (attempt := run.current(request.job)) is not None:
                asked.zones[run.run] = attempt.zone
            if (ended := asked.ended.get(run.run)) is not None:
                return ended
            if (waiting := asked.waiting.get(run.run)) is not None:
                run.approval_waits(request.secret, waiting.since)
                return _not_yet(waiting)
            at, kept = asked.recent.get(run.run, (-math.inf, None))
            if kept is None or self._clock() - at >= ANSWER_KEPT_S:
                kept = await self._begin(run, vault, vault.approval, request, key, asked)
                asked.recent[run.run] = (self._clock(), kept)
            return kept

    async def _begin(
        self,
        run: HoldingRun,
        vault: VaultUse,
        terms: ApprovalTerms,
        request: AccessRequest,
        key: SecretKey,
        asked: _Asked,
    ) -> AccessAnswer:
        row = asked.rows.get(run.run)
        query = (run, key, vault.title)
        look = await self._put(*query, VaultQueryKind.APPROVAL, row, request=row.request if row else 0)
        if look.ok and look.facts.get("needed") == "yes" and row is not None and not row.request:
            newest = _number(look.facts, "newest")
            if newest > row.after:  # filed before we were killed, or its answer was lost
                row = await self._remember(asked, replace(row, request=newest))
                look = await self._put(*query, VaultQueryKind.APPROVAL, row, request=newest)
        if not look.ok:
            return AccessAnswer(ok=False, reason=look.reason, text=look.text)
        if look.facts.get("needed") != "yes":
            return AccessAnswer(ok=True)
        if row is None and look.facts.get("status") in _OPEN:
            number = _number(look.facts, "request")
            ours = any(other.ours and other.request == number for other in asked.rows.values())
            row = ApprovalRow(
                *key, run.run, vault.title, request.secret.label, self._clock(), request=number, ours=ours
            )
            await self._remember(asked, row)
            log.info(
                "an access request that is open already is waited for", secret=request.secret.label, request=number
            )
        elif row is None or not row.request:
            after = _number(look.facts, "newest")
            row = ApprovalRow(*key, run.run, vault.title, request.secret.label, self._clock(), after=after)
            await self._remember(asked, row)
            look = await self._file(run, terms, request, key, row)
            if not look.ok and look.reason.startswith("SECRET_"):  # a definite refusal; else it is in doubt
                await self._rows.drop(row)
                del asked.rows[run.run]
                return self._end(run, asked, f"the vault takes no access request: {look.text}")
            if not look.ok:
                return AccessAnswer(ok=False, reason=look.reason, text=look.text)
            row = await self._remember(asked, replace(row, request=_number(look.facts, "request")))
            log.info("access requested", run=run.run, secret=request.secret.label, request=row.request)
        return self._judged(run, asked, row, terms, look.facts)

    async def _file(
        self, run: HoldingRun, terms: ApprovalTerms, request: AccessRequest, key: SecretKey, row: ApprovalRow
    ) -> VaultAnswer:
        minutes = math.ceil(terms.window / 60)
        kind = VaultQueryKind.REQUEST
        return await self._put(run, key, row.vault, kind, row, minutes=minutes, record=request.record)

    async def _remember(self, asked: _Asked, row: ApprovalRow) -> ApprovalRow:
        await self._rows.put(row)
        asked.rows[row.run] = row
        return row

    def _judged(
        self, run: HoldingRun, asked: _Asked, row: ApprovalRow, terms: ApprovalTerms, facts: Mapping[str, str]
    ) -> AccessAnswer:
        """By what the vault says of the request, while access is not approved."""
        if facts.get("status") not in _OPEN:
            return self._end(run, asked, told(facts))
        now = self._clock()
        waiting = asked.waiting.setdefault(run.run, _Waiting(now, now + terms.wait, _pending(row, facts)))
        if now >= waiting.until:
            return self._give_up(run, asked, terms)
        for secret in asked.named.get(run.run, ()):
            run.approval_waits(secret, waiting.since)
        return _not_yet(waiting)

    def _end(self, run: HoldingRun, asked: _Asked, text: str) -> AccessAnswer:
        """There will be no approval in this run."""
        answer = asked.ended[run.run] = AccessAnswer(ok=False, reason=NEEDS_APPROVAL, text=peer_text(text))
        log.warning("access is not approved", run=run.run, text=answer.text)
        self._go_on(run, asked)
        return answer

    def _give_up(self, run: HoldingRun, asked: _Asked, terms: ApprovalTerms) -> AccessAnswer:
        waiting = asked.waiting[run.run]
        return self._end(run, asked, f"{waiting.text}; nobody has answered within {terms.wait:g} s (approval_wait)")

    def _go_on(self, run: HoldingRun, asked: _Asked) -> None:
        asked.waiting.pop(run.run, None)
        asked.recent.pop(run.run, None)
        for secret in asked.named.get(run.run, ()):
            run.approval_over(secret)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _look_again(self, run: HoldingRun, key: SecretKey, asked: _Asked) -> None:
        async with self._looks, asked.lock:
            await self._look(run, key, asked)

    async def _look(self, run: HoldingRun, key: SecretKey, asked: _Asked) -> None:
        waiting, row = asked.waiting.get(run.run), asked.rows.get(run.run)
        terms = next((v.approval for v in run.vaults if (v.url, v.user) == key[:2] and v.approval is not None), None)
        if waiting is None or row is None or terms is None:
            return
        if all(self._stops.on_secret(secret) for secret in asked.named.get(run.run, ())):
            self._go_on(run, asked)
            return
        answer = await self._put(run, key, row.vault, VaultQueryKind.APPROVAL, row, request=row.request)
        if answer.ok and answer.facts.get("needed") != "yes":
            log.info("access approved", run=run.run, secret=row.secret)
            self._go_on(run, asked)
        elif answer.ok:
            self._judged(run, asked, row, terms, answer.facts)
        elif self._clock() >= waiting.until:
            self._give_up(run, asked, terms)

    async def _put(
        self,
        run: HoldingRun,
        key: SecretKey,
        title: str,
        kind: VaultQueryKind,
        row: ApprovalRow | None,
        *,
        request: int = 0,
        minutes: int = 0,
        record: str = "",
    ) -> VaultAnswer:
        why = run.purposes.of_run(title, row.secret if row else "", record)
        query = VaultQuery(
            run=run.run,
            kind=kind,
            vault=title,
            secret=CredentialRef(vault=title, by=SecretLookup.ID, key=str(key[2])),
            comment=why.comment,
            told=why.told,
            ticket=why.ticket,
            minutes=minutes,
            request=request,
        )
        try:
            zone = self._asked[key].zones.get(run.run, "")
            return await self._ask(run.asked_in(zone), query, ASK_WAIT_S)
        except BusError as error:
            return VaultAnswer(ok=False, reason="VAULT_TIMEOUT", text=str(error))


def told(facts: Mapping[str, str]) -> str:
    """What became of a request, in a sentence."""
    by = f" by {facts['by']}" if facts.get("by") else ""
    said = f": {facts['said']}" if facts.get("said") else ""
    return f"access request {facts.get('request', '?')} is {facts.get('status') or 'gone'}{by}{said}"


def _pending(row: ApprovalRow, facts: Mapping[str, str]) -> str:
    since = f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if not row.ours:
        since = f"{facts.get('requested') or since} (the vault's time)"
    return f"access request {row.request} is {facts.get('status')} since {since}"


def _not_yet(waiting: _Waiting) -> AccessAnswer:
    return AccessAnswer(ok=False, waiting=True, reason=NEEDS_APPROVAL, text=waiting.text)


def _number(facts: Mapping[str, str], name: str) -> int:
    said = facts.get(name, "")
    return int(said) if said.isascii() and said.isdigit() else 0
