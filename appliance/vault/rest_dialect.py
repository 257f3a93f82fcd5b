"""Secret Server by REST: each lookup, view and check-out as a dialogue. Pure; the requests and answers are in `rest`
and `answers`.

No view checks out: `noAutoCheckout` is sent with each. Where the vault hides why it refuses, the secret's state is
asked, which is no view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from appliance.contract import Failure, named
from appliance.vault import answers, rest
from appliance.vault.answers import Grant, Item, Page, Secret, State, Summary
from appliance.vault.choice import Machine
from appliance.vault.definition import VaultLogin
from appliance.vault.dialect import Found, held_by_another, not_there
from appliance.vault.dialogue import Dialogue, Question, ask
from appliance.vault.failures import fail, is_about_the_secret, reason_of, refusal, wants_new_token
from appliance.vault.messages import UNTOLD, Answer, Request, Why, load_json

T = TypeVar("T")

MOST_PAGES = 100


class RestDialect:
    api: Final = "rest"
    bears: Final = True
    views_check_out: Final = False
    tells_unasked: Final = True

    # -- without a token -----------------------------------------------------------------------------------------------

    def health(self) -> Request:
        return rest.health()

    def ill(self, answer: Answer) -> Failure | None:
        """The health page's wording differs by version: any answer but 5xx and 429 is a sign of life."""
        return refusal(answer) if answer.status >= 500 or answer.status == 429 else None

    def is_spoken(self, answer: Answer) -> bool:
        """An object, whatever it says; or the word that older versions send bare."""
        bare = answer.status == 200 and answer.body.strip(b'" \r\n').lower() == b"healthy"
        return bare or isinstance(load_json(answer.body), dict)

    def grant(self, login: VaultLogin) -> Request:
        return rest.password_grant(login)

    def read_grant(self, answer: Answer) -> Grant | Failure:
        return answers.read_grant(answer)

    # -- with one ------------------------------------------------------------------------------------------------------

    def is_dead(self, answer: Answer, _read: object) -> bool:
        return wants_new_token(answer)

    def by_name(self, name: str) -> Dialogue[list[Summary] | Failure]:
        """The search also hits other fields and other spellings, so names are compared here, letter by letter."""
        return _searched(partial(rest.search, name), lambda found: found.name == name)

    def names(self, skip: int) -> Dialogue[Page | Failure]:
        return ask(question(rest.listing(skip), partial(answers.read_page, take=rest.LISTED)))

    def by_machine(self, wanted: Machine) -> Dialogue[list[Summary] | Failure]:
        return _searched(partial(rest.search_machine, wanted.value), wanted.is_of)

    def machines(self, skip: int) -> Dialogue[Page | Failure]:
        return ask(question(rest.listing(skip, machines=True), partial(answers.read_page, take=rest.LISTED)))

    def has_machine(self, template_id: int) -> Dialogue[bool | Failure]:
        slugs = yield from ask(question(rest.template(template_id), answers.read_slugs))
        return slugs if isinstance(slugs, Failure) else "machine" in slugs

    def free(self, found: Summary) -> Dialogue[Found | Failure]:
        if found.checked_out:
            state = yield from self.state(found.id)
            held = held_by_another(state) if isinstance(state, State) else None
            if held is not None:
                return held
        return Found(found.id, ungated=found.approval is False)

    def by_id(self, secret_id: int) -> Dialogue[Found | Failure]:
        return self._by_place(secret_id)

    def by_path(self, path: str) -> Dialogue[Found | Failure]:
        return self._by_place(path)

    def _by_place(self, where: int | str) -> Dialogue[Found | Failure]:
        """An id or a path, by the secret's state. What may change during a run (an approval) is left to the fetch."""
        found = yield from ask(question(rest.state(where), answers.read_state))
        if isinstance(found, Failure):
            return not_there(found)
        if found.reason == "SECRET_INACTIVE":
            return fail("SECRET_INACTIVE", **found.facts)
        return held_by_another(found) or Found(found.id)

    def state(self, secret_id: int) -> Dialogue[State | Failure]:
        return ask(question(rest.state(secret_id), answers.read_state))

    def view(self, secret_id: int, why: Why, _code: str) -> Dialogue[Secret | Failure]:
        secret = yield from ask(question(rest.secret(secret_id, why), answers.read_secret))
        return (yield from self._explained(secret, secret_id)) if isinstance(secret, Failure) else secret

    def _explained(self, failure: Failure, secret_id: int) -> Dialogue[Failure]:
        """The refusal with the reason that the secret's state gives, where the refusal itself hides it."""
        if not is_about_the_secret(failure):
            return failure
        state = yield from self.state(secret_id)
        if isinstance(state, Failure):
            return replace(failure, facts={**failure.facts, "state": reason_of(state)})
        facts = {**failure.facts, **state.facts}
        if not state.reason:
            return replace(failure, facts=facts)
        if state.reason == "SECRET_CHECKED_OUT_BY" and state.holder:
            return fail(state.reason, f"checked out by {state.holder}", **facts)
        return Failure(failure.phase, named(state.reason), failure.text, facts)

    def text(self, secret_id: int, item: Item, why: Why) -> Dialogue[str | Failure]:
        return ask(question(rest.text_field(secret_id, item.slug, why), answers.read_text_field))

    def file(self, secret_id: int, item: Item, why: Why) -> Dialogue[bytes | Failure]:
        return ask(question(rest.file_field(secret_id, item.slug, why), answers.read_file_field))

    def check_out(self, secret_id: int, why: Why, before: State, *, told: bool) -> Dialogue[Failure | None]:
        if told or "Comment" in before.facts.get("secret_state", ""):
            refused = yield from _order(rest.view_comment(secret_id, why))
            if refused is not None:
                about_it = is_about_the_secret(refused)
                return replace(refused, signal=named("SECRET_NEEDS_COMMENT")) if about_it else refused
        return (yield from _order(rest.check_out(secret_id, why if told else UNTOLD)))

    def extend(self, secret_id: int, minutes: int, comment: str) -> Dialogue[Failure | None]:
        return _order(rest.extend_check_out(secret_id, minutes, comment))

    def check_in(self, secret_id: int, why: Why) -> Dialogue[Failure | None]:
        return _order(rest.check_in(secret_id, why))


def _searched(request: Callable[[int], Request], fits: Callable[[Summary], bool]) -> Dialogue[list[Summary] | Failure]:
    """All pages of a search for one thing; each secret once."""
    hits: dict[int, Summary] = {}
    skip = 0
    for _ in range(MOST_PAGES):
        page = yield from ask(question(request(skip), answers.read_page))
        if isinstance(page, Failure):
            return page
        hits.update((s.id, s) for s in page.records if fits(s))
        skip += len(page.records)
        if not page.more:
            return list(hits.values())
    return fail("VAULT_BAD_RESPONSE", f"a search for one secret has more than {MOST_PAGES} pages")


def _order(request: Request) -> Dialogue[Failure | None]:
    return ask(question(request, answers.read_done))


def question(request: Request, read: Callable[[Answer], T | Failure]) -> Question[T]:
    """The token is no part of the request."""
    return Question(lambda _token: request, read)
