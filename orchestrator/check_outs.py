"""Check-outs: a vault's exclusive secrets, taken for a run when the first target asks, given back exactly once.

Rules:
1. A check-out belongs to the run, not to the process that wanted it: the vault counts per user, and one process's
   check-in would take the secret from all others (and perhaps change its password). So scan processes ask here, one
   question at a time goes to the vault for each secret, and who asks later is told that it is there.
2. A row is durable before the vault is asked, and goes when the secret is back: a killed orchestrator, whose answer
   never came, leaves a row, and what the row says is looked at in the vault before anything is done twice.
3. It is held on while the run works with it (where the vault can: by SOAP it runs out, and is taken anew), and given
   back when the last job that may ask for it has its outcome, or the run ends. Another run that holds it too keeps it.
   What a dead run has left is given back by the next run on the same vault.
4. What the vault's user had before us is used and not given back. Nor is what turns out to want no check-out: SOAP
   does not say so before.
5. A vault that is away keeps nobody: what cannot be given back in GIVE_BACK_S stays in the store for the next run, and
   the vault checks it in by itself when its interval is over.
6. What an admin has stopped is not checked out, and given back at once, whoever still needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import BusError
from appliance.contract import CredentialRef, SecretLookup
from appliance.logs import get_logger
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.pacing import STOPPED
from orchestrator.purposes import RunComment
from orchestrator.stops import Stops
from orchestrator.store.records import CheckOutRow
from orchestrator.vault_use import Ask, HoldingRun, Rows, SecretKey, VaultUse, is_genuine

ASK_WAIT_S = 15.0
"""For one question to a vault; who asked us may have hung up by then, and comes again."""
TEND_S = 5.0
GIVE_BACK_S = 30.0
AGAIN_S = 0.5
ANSWER_KEPT_S = 2.0
"""For so long the same question gets the same answer: a thousand targets may wait for one secret."""
EXTENSION_MIN = 30

log = get_logger()


@dataclass(slots=True)
class _Held:
    """One secret of one vault and user."""

    rows: dict[str, CheckOutRow] = field(default_factory=dict)
    """By run: those that hold it, or were about to."""
    named: dict[str, dict[CredentialRef, None]] = field(default_factory=dict)
    """By run: as its records name it."""
    until: float = 0.0
    minutes: int = 0
    answer: AccessAnswer | None = None
    answered_at: float = 0.0
    needless: bool = False
    """The vault has said that nothing is to be checked out."""
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def third(self) -> float:
        """Seconds before its end in which it is held on."""
        return self.minutes * 60.0 / 3

    def holds_for(self, answer: VaultAnswer, now: float) -> None:
        said = answer.facts.get("minutes", "")
        self.minutes = max(1, int(said)) if said.isascii() and said.isdigit() else EXTENSION_MIN
        self.until = now + self.minutes * 60.0


class CheckOutOffice:
    """Serves all open runs of one orchestrator."""

    def __init__(
        self,
        rows: Rows[CheckOutRow],
        ask: Ask,
        clock: Callable[[], float],
        stops: Stops,
        is_elsewhere: Callable[[str], bool] = lambda _run: False,
    ) -> None:
        """`is_elsewhere`: is a run in the hands of another orchestrator?"""
        self._rows = rows
        self._is_elsewhere = is_elsewhere
        self._stops = stops
        self._stirred = anyio.Event()
        self._ask = ask
        self._clock = clock
        self._runs: dict[str, HoldingRun] = {}
        self._held: dict[SecretKey, _Held] = {}

    @property
    def held(self) -> int:
        """Secrets that open runs have checked out."""
        return sum(not one.needless for one in self._held.values())

    # -- a run's life --------------------------------------------------------------------------------------------------

    async def enter(self, run: HoldingRun) -> None:
        """A run begins: what dead ones have left in its vaults is given back first."""
        identities = {(vault.url, vault.user): vault.title for vault in run.vaults}
        for row in await self._rows.all():
            title = identities.get((row.url, row.user))
            if title is None or row.run in self._runs or self._is_elsewhere(row.run):
                continue
            has_it = await self._rows.hand_over(row, await self._dead(row))
            if has_it.run != row.run or await self._return(has_it, run, title):
                self._forget((row.url, row.user, row.secret_id), row.run)
        self._runs[run.run] = run

    async def tend(self, run: HoldingRun) -> None:
        """Until cancelled: hold on what the run still needs, give back what it does not."""
        while True:
            stirred = self._stirred
            for key, held in list(self._held.items()):
                if run.run in held.rows:
                    await self._tend_one(run, key, held)
            with anyio.move_on_after(TEND_S):
                await stirred.wait()

    def stops_changed(self) -> None:
        """Look at what is held now, not only when its turn comes."""
        self._stirred.set()
        self._stirred = anyio.Event()

    async def leave(self, run: HoldingRun) -> None:
        """A run ends: give everything back, within GIVE_BACK_S."""
        with anyio.move_on_after(GIVE_BACK_S):
            while held_by := [(key, held) for key, held in self._held.items() if run.run in held.rows]:
                for key, held in held_by:
                    await self._give_back(run, key, held)
                await anyio.sleep(AGAIN_S)
        self.abandon(run)

    def abandon(self, run: HoldingRun) -> None:
        """A run is gone, whatever it holds: the rows stay for the next run on these vaults."""
        self._runs.pop(run.run, None)
        left = [row.secret for held in self._held.values() if (row := held.rows.get(run.run))]
        if left:
            log.warning("secrets were not given back; the next run on their vault does it", run=run.run, secrets=left)

    async def _tend_one(self, run: HoldingRun, key: SecretKey, held: _Held) -> None:
        if not await self._needed(run, held):
            await self._give_back(run, key, held)
        elif held.until - self._clock() < held.third:
            await self._hold_on(run, key, held)

    async def _needed(self, run: HoldingRun, held: _Held) -> bool:
        named = list(held.named.get(run.run, ()))
        if any(self._stops.on_secret(secret) for secret in named):
            return False
        for secret in named:
            if await run.needs(secret):
                return True
        return False

    # -- taking --------------------------------------------------------------------------------------------------------

    async def request(self, request: AccessRequest, sender: str) -> AccessAnswer:
        """Answer a scan process: the secret is checked out for its run, or why not."""
        run = self._runs.get(request.run)
        if run is None or not is_genuine(request, run):
            log.warning("check-out refused: not an open attempt", sender=sender, job=request.job, of=request.attempt)
            return AccessAnswer(ok=False, reason="APPLIANCE_LOST", text="this is not an open attempt")
        vault = next((vault for vault in run.vaults if vault.title == request.secret.vault), None)
        if vault is None:
            return AccessAnswer(ok=False, reason="REFUSED_BY_POLICY", text=f"no vault {request.secret.vault!r}")
        if not vault.check_out:
            return AccessAnswer(ok=False, reason="SECRET_NEEDS_CHECKOUT", text="the campaign says check_out = false")
        key = (vault.url, vault.user, request.secret_id)
        held = self._held.setdefault(key, _Held())
        async with held.lock:
            if stop := self._stops.on_secret(request.secret):
                return AccessAnswer(ok=False, reason=STOPPED, text=stop.text)
            return await self._take(run, vault, request, key, held)

    async def _take(
        self, run: HoldingRun, vault: VaultUse, request: AccessRequest, key: SecretKey, held: _Held
    ) -> AccessAnswer:
        known = held.rows.get(run.run)
        recent = self._clock() - held.answered_at < ANSWER_KEPT_S
        if held.answer is not None and recent and (known is not None or held.needless or not held.answer.ok):
            return held.answer
        # A row means that we have asked before: what the vault shows as its user's already is then what the row says.
        earlier = [row.ours for row in held.rows.values()]
        attempt = run.current(request.job)
        zone = attempt.zone if attempt is not None else ""
        row = known or CheckOutRow(*key, run.run, vault.title, zone, request.secret.label, ours=True)
        if known is None:
            earlier += [other.ours for other in await self._rows.of_secret(row) if self._is_elsewhere(other.run)]
            await self._rows.put(row)
            held.rows[run.run] = row
        held.named.setdefault(run.run, {})[request.secret] = None
        why = run.purposes.of_run(vault.title, request.secret.label, request.record)
        answer = await self._asked(run, row, vault.title, VaultQueryKind.CHECK_OUT, why)
        held.answer = AccessAnswer(ok=answer.ok, reason=answer.reason, text=answer.text)
        held.answered_at = self._clock()
        held.needless = answer.ok and "needless" in answer.facts
        if held.needless:
            await self._rows.drop(row)
            self._forget(key, run.run)
        elif answer.ok:
            held.holds_for(answer, self._clock())
            if "already" in answer.facts and not any(earlier):
                held.rows[run.run] = replace(row, ours=False)
                await self._rows.put(held.rows[run.run])
                log.info("the vault's user had a secret checked out before us", secret=request.secret.label)
        elif not earlier and answer.reason.startswith("SECRET_"):
            # A definite refusal leaves no row; one in doubt does, and is cleared up at the end.
            await self._rows.drop(row)
            self._forget(key, run.run)
        return held.answer

    def _forget(self, key: SecretKey, run: str) -> None:
        held = self._held.get(key)
        if held is not None:
            held.rows.pop(run, None)
            held.named.pop(run, None)

    # -- holding on, and giving back -----------------------------------------------------------------------------------

    async def _hold_on(self, run: HoldingRun, key: SecretKey, held: _Held) -> None:
        async with held.lock:
            row = held.rows.get(run.run)
            if row is None:
                return
            kind, minutes = VaultQueryKind.EXTEND, max(held.minutes, EXTENSION_MIN)
            why = run.purposes.of_run(row.vault, row.secret)
            answer = await self._asked(run, row, row.vault, kind, why, minutes)
            if answer.ok:
                held.holds_for(answer, self._clock())
                return
            log.warning("a check-out could not be extended", secret=row.secret, reason=answer.reason)
            if answer.reason.startswith("SECRET_"):
                # It has run out, and whoever wants it next takes it anew: there is nothing of it to give back.
                await self._rows.drop(row)
                self._forget(key, run.run)
                held.answer = None

    async def _give_back(self, run: HoldingRun, key: SecretKey, held: _Held) -> None:
        async with held.lock:
            row = held.rows.get(run.run)
            if row is None:
                return
            has_it = await self._rows.hand_over(row, await self._dead(row))
            if has_it.run == run.run and not await self._return(has_it, run, row.vault):
                return
            self._forget(key, run.run)
            if has_it.run in held.rows:
                held.rows[has_it.run] = has_it
            held.answer = None

    async def _dead(self, row: CheckOutRow) -> list[str]:
        """Runs that have a row of the secret, and nobody at work on them: who comes after them gives it back."""
        runs = [other.run for other in await self._rows.of_secret(row)]
        return [run for run in runs if run not in self._runs and not self._is_elsewhere(run)]

    async def _return(self, row: CheckOutRow, run: HoldingRun, title: str) -> bool:
        """Have a run give one secret back, its own or a dead one's, and forget it; False where the vault could not be
        asked.
        """
        if row.ours:
            why = run.purposes.of_run(title, row.secret)
            if row.run != run.run:
                why = replace(why, comment=f"left by keymuster run {row.run}, given back by run {run.run}")
            answer = await self._asked(run, row, title, VaultQueryKind.CHECK_IN, why)
            if not answer.ok and not answer.reason.startswith("SECRET_"):
                log.warning("a secret could not be given back", secret=row.secret, reason=answer.reason)
                return False
        await self._rows.drop(row)
        return True

    async def _asked(
        self, run: HoldingRun, row: CheckOutRow, title: str, kind: VaultQueryKind, why: RunComment, minutes: int = 0
    ) -> VaultAnswer:
        query = VaultQuery(
            run=run.run,
            kind=kind,
            vault=title,
            secret=CredentialRef(vault=title, by=SecretLookup.ID, key=str(row.secret_id)),
            comment=why.comment,
            told=why.told,
            ticket=why.ticket,
            minutes=minutes,
        )
        try:
            return await self._ask(run.asked_in(row.zone), query, ASK_WAIT_S)
        except BusError as error:
            return VaultAnswer(ok=False, reason="VAULT_TIMEOUT", text=str(error))
