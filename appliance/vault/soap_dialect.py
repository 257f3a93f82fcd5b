"""Secret Server by SOAP: each lookup, view and check-out as a dialogue. Pure; the requests and answers are in `soap`
and `soap_answers`.

Rules:
1. A view checks out what wants to be checked out, and nothing tells beforehand whether a secret does: a search says
   that it is restricted, by whatever. So who views looks at `Found.open` and at the `state` first.
2. A refusal comes with 200 and the vault's own words, which an administrator can replace. Where they are unknown, or
   speak of the token, GetTokenIsValid tells the two apart: what is refused under a token that lives is the secret.
3. There are no paths, no slugs, no fields by themselves or in summaries, no comment with a download, and no longer
   check-outs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from appliance.contract import Failure, named
from appliance.vault import soap, soap_answers
from appliance.vault.answers import Grant, Item, Page, Secret, State, Summary
from appliance.vault.choice import Machine
from appliance.vault.definition import VaultLogin
from appliance.vault.dialect import ALIVE, Found, held_by_another, not_there
from appliance.vault.dialogue import Dialogue, Question, ask, said
from appliance.vault.failures import UNKNOWN_WORDS, fail, reason_of, refusal
from appliance.vault.messages import UNTOLD, Answer, Request, Why


class SoapDialect:
    api: Final = "soap"
    bears: Final = False
    views_check_out: Final = True
    tells_unasked: Final = False

    # -- without a token -----------------------------------------------------------------------------------------------

    def health(self) -> Request:
        return soap.version()

    def ill(self, answer: Answer) -> Failure | None:
        if answer.status < 500 and answer.status != 429:
            return None
        read = soap_answers.read_version(answer)
        return read if isinstance(read, Failure) else refusal(answer)

    def is_spoken(self, answer: Answer) -> bool:
        """A result, though it may be a refusal."""
        read = soap_answers.read_version(answer)
        return answer.status == 200 and not (isinstance(read, Failure) and reason_of(read) == "VAULT_BAD_RESPONSE")

    def grant(self, login: VaultLogin) -> Request | Failure:
        return soap.authenticate(login)

    def read_grant(self, answer: Answer) -> Grant | Failure:
        return soap_answers.read_grant(answer)

    # -- with one ------------------------------------------------------------------------------------------------------

    def is_dead(self, answer: Answer, read: object) -> bool | Question[bool]:
        if answer.status == 401:
            return True
        if not isinstance(read, Failure) or not _may_be_the_token(read):
            return False
        return Question(soap.token_is_valid, soap_answers.read_token_is_valid)

    def by_name(self, name: str) -> Dialogue[list[Summary] | Failure]:
        """A search does not tell the inactive ones from the others, so it is asked once without and once with them."""
        hits: list[Summary] = []
        for inactive in (False, True):
            page = yield from ask(_search(name, inactive=inactive))
            if isinstance(page, Failure):
                return page
            hits = [replace(s, active=not inactive) for s in page.records if s.name == name]
            if hits:
                break
        return hits

    def names(self, _skip: int) -> Dialogue[None]:
        return said(None)

    def by_machine(self, wanted: Machine) -> Dialogue[list[Summary] | Failure]:
        """As by name: the inactive ones are looked for where no active one fits."""
        if wanted.folder:
            text = 'SOAP does not tell where a secret is: narrow it by template, or give the vault api = "rest"'
            return fail("SECRET_NOT_FOUND", text)
        hits: dict[int, Summary] = {}
        for inactive in (False, True):
            page = yield from ask(_search_machine(wanted.value, inactive=inactive))
            if isinstance(page, Failure):
                return page
            for found in page.records:
                hits.setdefault(found.id, replace(found, active=not inactive))
            if any(wanted.fits(found) for found in hits.values()):
                break
        return list(hits.values())

    def machines(self, _skip: int) -> Dialogue[None]:
        return said(None)

    def has_machine(self, _template_id: int) -> Dialogue[bool]:
        return said(True)

    def free(self, found: Summary) -> Dialogue[Found | Failure]:
        if found.restricted:
            state = yield from self.state(found.id)
            held = held_by_another(state) if isinstance(state, State) else None
            if held is not None:
                return held
        return Found(found.id, open=not found.restricted)

    def by_id(self, secret_id: int) -> Dialogue[Found | Failure]:
        """Whether it is restricted, only a search would say: it is taken for it."""
        state = yield from self.state(secret_id)
        if isinstance(state, Failure):
            return not_there(_denied(state))
        return held_by_another(state) or Found(secret_id)

    def by_path(self, _path: str) -> Dialogue[Found | Failure]:
        text = 'SOAP finds no secret by its path: name it by name or id in the record, or give the vault api = "rest"'
        return said(fail("SECRET_NOT_FOUND", text))

    def state(self, secret_id: int) -> Dialogue[State | Failure]:
        """Who has it; whether it could be viewed is not told."""
        status = yield from ask(Question(partial(soap.checkout_status, secret_id), soap_answers.read_checkout))
        if isinstance(status, Failure) or not status.held:
            return status if isinstance(status, Failure) else State(secret_id, "")
        me = yield from ask(Question(soap.who_am_i, soap_answers.read_user))
        if isinstance(me, Failure):
            return me
        ours = status.holder_id == me
        reason = "" if ours else "SECRET_CHECKED_OUT_BY"
        return State(secret_id, reason, status.holder, ours=ours, minutes=status.minutes or 0)

    def view(self, secret_id: int, why: Why, code: str) -> Dialogue[Secret | Failure]:
        secret = yield from ask(Question(_view(secret_id, why, code), soap_answers.read_secret))
        return _denied(secret) if isinstance(secret, Failure) else secret

    def text(self, _secret_id: int, item: Item, _why: Why) -> Dialogue[str | Failure]:
        """What came with the secret is all there is."""
        return said(item.value)

    def file(self, secret_id: int, item: Item, _why: Why) -> Dialogue[bytes | Failure]:
        return ask(Question(partial(soap.file_item, secret_id, item.id), soap_answers.read_file))

    def check_out(self, secret_id: int, why: Why, _before: State, *, told: bool) -> Dialogue[Failure | None]:  # noqa: ARG002 - a comment answers a refusal
        """A view, since nothing else checks out; its values are dropped unread."""
        refused = yield from ask(Question(_view(secret_id, UNTOLD, ""), soap_answers.read_taken))
        if refused is not None and reason_of(refused) == "SECRET_NEEDS_COMMENT":
            code = refused.facts.get("error_code", "")
            refused = yield from ask(Question(_view(secret_id, why, code), soap_answers.read_taken))
        return None if refused is None else _denied(refused)

    def extend(self, _secret_id: int, _minutes: int, _comment: str) -> Dialogue[Failure | None]:
        return said(None)

    def check_in(self, secret_id: int, _why: Why) -> Dialogue[Failure | None]:
        return ask(Question(partial(soap.check_in, secret_id), soap_answers.read_check_in))


def _search(name: str, *, inactive: bool) -> Question[Page]:
    return Question(partial(soap.search, name, inactive=inactive), soap_answers.read_page)


def _search_machine(machine: str, *, inactive: bool) -> Question[Page]:
    read = partial(soap_answers.read_page, operation=soap_answers.BY_FIELD)
    return Question(partial(soap.search_machine, machine, inactive=inactive), read)


def _view(secret_id: int, why: Why, code: str) -> partial[Request]:
    return partial(soap.secret, secret_id, why=why, code=code or soap.COMMENT)


def _may_be_the_token(failure: Failure) -> bool:
    return failure.facts.items() >= UNKNOWN_WORDS.items() or reason_of(failure) == "VAULT_TOKEN_EXPIRED"


def _denied(failure: Failure) -> Failure:
    """Rule 2: the words are unknown, the token lives, and the question was about one secret."""
    about_it = _may_be_the_token(failure) and failure.facts.items() >= ALIVE.items()
    return replace(failure, signal=named("SECRET_ACCESS_DENIED")) if about_it else failure
