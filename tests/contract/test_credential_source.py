"""What every CredentialSource does, whatever it stands on.

An implementation joins by a row in `STANDS`: a context that gives a `Stand`, i.e. a source over the secrets below and a
way to look behind it. Secrets: `win` and `key` can be read, `ask` only with a comment, `hidden` may not be viewed,
`gone` is deleted, `twice` exists twice, `absent` does not exist; `lent` wants a check-out, `asked` an approval,
`doubled` a second password and `ticketed` a ticket with the comment. Their machines are `WIN1`,
`Unix1`, `hidden1`...

Where a view could check out (SOAP), the run is asked first, as a scan does: `obtained`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol

import anyio
import pytest

from appliance.contract import AccessTerms, CredentialRef, Failure, Phase, SecretLookup, SignalKind, Ticket
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import REASONS, Owner
from appliance.vault import DEFAULT_TERMS, CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from appliance.vault.failures import fail
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.secret_server import open_source
from targets.estate import build
from targets.faults import SecretState
from targets.lab import running
from targets.secret_server.gate import Ask
from targets.secret_server.refusal import Refused
from targets.secret_server.users import Caller
from targets.spec import EstateSpec, SecretSpec
from targets.vault_spec import SecuritySpec, VaultSpec, VaultUserSpec, Where
from targets.world import World

SECRETS = (
    SecretSpec(name="win", template="windows", user="vm_scan_account", machine="WIN1"),
    SecretSpec(name="key", template="unix", user="root", machine="Unix1", folder="\\Linux\\corp", login="key"),
    SecretSpec(name="ask", template="unix", user="scan", state=SecretState.COMMENT),
    SecretSpec(name="hidden", machine="hidden1", state=SecretState.FORBIDDEN),
    SecretSpec(name="gone", machine="gone1", state=SecretState.INACTIVE),
    SecretSpec(name="twice", machine="twice1", state=SecretState.AMBIGUOUS),
    SecretSpec(name="absent", machine="absent1", state=SecretState.MISSING),
    SecretSpec(name="stale", template="windows", state=SecretState.OUT_OF_SYNC),
    SecretSpec(name="lent", security=SecuritySpec(checkout=True, change_on_checkin=True)),
    SecretSpec(name="asked", security=SecuritySpec(approvers=("boss",))),
    SecretSpec(name="ticketed", security=SecuritySpec(ticket="CHG-[0-9]+", ticket_system=3)),
    SecretSpec(name="doubled", security=SecuritySpec(double_lock="KMS-second")),
)


class Stand(Protocol):
    @property
    def source(self) -> CredentialSource: ...

    def views(self, name: str) -> int:
        """How often values of this secret have left the vault, one for each request that gave some."""
        ...

    def searches(self) -> int: ...

    def credential(self, name: str) -> Credential:
        """What the vault holds now."""
        ...

    def rotate(self, name: str) -> None: ...

    def place(self, name: str) -> tuple[int, str]:
        """The secret's id and path."""
        ...

    def purposes(self, name: str) -> list[str]:
        """The comments in the secret's audit, oldest first."""
        ...

    def tickets(self, name: str) -> list[str]:
        """The tickets in the secret's audit, oldest first."""
        ...

    @property
    def paths(self) -> bool:
        """Are secrets found by their path?"""
        ...

    @property
    def views_take_nothing(self) -> bool:
        """No view can check out: so what a secret asks for is told at once, and without a look of the run's."""
        ...

    async def check_out(self, handle: SecretHandle, comment: str, ticket: Ticket | None = None) -> VaultAnswer:
        """What a run does for the source, where that asks for it."""
        ...

    def held(self) -> int:
        """Check-outs so far."""
        ...

    def break_down(self, how: str) -> None:
        """`down`, `error`, `forbidden`, `throttled`, `html`, `dead_tokens`, `ip_blocked`; `` mends."""
        ...


Opener = Callable[[Path], AbstractAsyncContextManager[Stand]]


class SecretServerStand:
    def __init__(self, source: CredentialSource, grantor: Grantor, world: World, *, by_rest: bool) -> None:
        self._source = source
        self._grantor = grantor
        self._world = world
        self.paths = self.views_take_nothing = by_rest

    @property
    def source(self) -> CredentialSource:
        return self._source

    def views(self, name: str) -> int:
        return self._world.metrics.vault.views_by_secret[name]

    def searches(self) -> int:
        return self._world.metrics.vault.searches

    def credential(self, name: str) -> Credential:
        secret = self._world.vault.search(name, exact=True)[0]
        if not secret.holds_key:
            return Credential(user=secret.user, password=secret.material.password)
        key = secret.material.private_key_file()
        return Credential(user=secret.user, private_key=key, passphrase=secret.material.passphrase)

    def rotate(self, name: str) -> None:
        self._world.rotate(name, Where.VAULT)

    def place(self, name: str) -> tuple[int, str]:
        secret = self._world.vault.search(name, exact=True)[0]
        return secret.id, secret.path

    def purposes(self, name: str) -> list[str]:
        return [row.notes for row in self._world.vault.search(name, exact=True)[0].audits]

    def tickets(self, name: str) -> list[str]:
        return [row.ticket for row in self._world.vault.search(name, exact=True)[0].audits]

    async def check_out(self, handle: SecretHandle, comment: str, ticket: Ticket | None = None) -> VaultAnswer:
        by_id = ref(handle.secret_id, SecretLookup.ID)
        order = VaultQuery(run="r", kind=VaultQueryKind.CHECK_OUT, vault="Vault", secret=by_id, comment=comment)
        return await self._grantor.answer(order.model_copy(update={"ticket": ticket}))

    def held(self) -> int:
        return self._world.metrics.vault.checkouts

    def break_down(self, how: str) -> None:
        self._world.order_vault_faults(frozenset({how} if how else ()))


@asynccontextmanager
async def estate(
    state: Path, vault: VaultSpec, api: Literal["rest", "soap", "auto"] = "rest"
) -> AsyncIterator[tuple[VaultLogin, World]]:
    what = build(EstateSpec(seed=7, vault=vault, secrets=SECRETS))
    async with running(what, state) as (ready, world):
        ca = "" if ready.vault_ca is None else await anyio.Path(ready.vault_ca).read_text()
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, api=api, tls=VaultTls(ca=ca))
        yield VaultLogin(access, Hidden(what.vault_password), vault.domain), world


def secret_server(vault: VaultSpec, api: Literal["rest", "soap", "auto"] = "rest") -> Opener:
    @asynccontextmanager
    async def stand(state: Path) -> AsyncIterator[Stand]:
        async with (
            estate(state, vault, api) as (login, world),
            open_grantor(login) as grantor,
            open_source(login.access, grantor.token) as source,
        ):
            yield SecretServerStand(source, grantor, world, by_rest=api != "soap")

    return stand


OTHERWISE = VaultSpec(
    tls=True,
    access_denied_status=403,
    refresh_tokens=True,
    domain="corp",
    error_text="An error.",
    comment_interval=0,
)
STANDS: dict[str, Opener] = {
    "secret server": secret_server(VaultSpec()),
    "secret server, https, 403, refresh tokens, no error texts": secret_server(OTHERWISE),
    "secret server by whichever it is": secret_server(VaultSpec(), "auto"),
    "secret server by SOAP": secret_server(VaultSpec(comment_interval=0), "soap"),
    "secret server by SOAP, https, no error texts": secret_server(OTHERWISE, "soap"),
}


@pytest.fixture(params=STANDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Stand]:
    name: str = request.param
    return STANDS[name](tmp_path)


def ref(key: str | int, by: SecretLookup = SecretLookup.NAME) -> CredentialRef:
    return CredentialRef(vault="Vault", by=by, key=str(key))


def for_machine(machine: str, template: str = "", folder: str = "") -> CredentialRef:
    return CredentialRef(vault="Vault", by=SecretLookup.MACHINE, key=machine, template=template, folder=folder)


async def settled(stand: Stand, name: str) -> SecretHandle:
    handle = await stand.source.settle(ref(name))
    assert isinstance(handle, SecretHandle), handle
    return handle


def read(result: Credential | Failure) -> Credential:
    assert isinstance(result, Credential), result
    return result


async def obtained(
    stand: Stand,
    handle: SecretHandle,
    *,
    private_key: bool = False,
    purpose: str = "run 1",
    terms: AccessTerms = DEFAULT_TERMS,
) -> Credential | Failure:
    """As a scan does: what must be checked out first is, for the run."""
    got = await stand.source.fetch(handle, private_key=private_key, purpose=purpose, terms=terms)
    if isinstance(got, Credential) or got.signal.name != "SECRET_NEEDS_CHECKOUT":
        return got
    answer = await stand.check_out(handle, terms.comment or purpose, terms.ticket)
    if not answer.ok:
        return fail(answer.reason, answer.text)
    return await stand.source.fetch(handle, private_key=private_key, purpose=purpose, terms=terms, checked_out=True)


def reason(result: object) -> str:
    """A failure names a reason of the vault's, in the vault's phase."""
    assert isinstance(result, Failure), result
    assert result.phase is Phase.VAULT
    assert result.signal.kind is SignalKind.NAMED
    assert REASONS[result.signal.name].owner is Owner.VAULT
    return result.signal.name


async def test_by_name_id_and_path(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        for name in ("win", "key", "ask"):
            secret_id, path = stand.place(name)
            for wanted in (ref(name), ref(secret_id, SecretLookup.ID)):
                assert await stand.source.settle(wanted) == SecretHandle(wanted, secret_id)
            by_path = ref(path, SecretLookup.PATH)
            found = await stand.source.settle(by_path)
            if stand.paths:
                assert found == SecretHandle(by_path, secret_id)
            else:
                assert reason(found) == "SECRET_NOT_FOUND"
                assert isinstance(found, Failure)
                assert found.text.startswith("SOAP finds no secret by its path: ")
            assert stand.views(name) == 0, "settling is no view"


@pytest.mark.parametrize(
    ("key", "by", "expected"),
    [
        ("absent", SecretLookup.NAME, "SECRET_NOT_FOUND"),
        ("WIN", SecretLookup.NAME, "SECRET_NOT_FOUND"),
        ("WIN1", SecretLookup.NAME, "SECRET_NOT_FOUND"),
        ("wi", SecretLookup.NAME, "SECRET_NOT_FOUND"),
        ("", SecretLookup.NAME, "SECRET_NOT_FOUND"),
        ("twice", SecretLookup.NAME, "SECRET_AMBIGUOUS_NAME"),
        ("gone", SecretLookup.NAME, "SECRET_INACTIVE"),
        ("\\Scan\\gone", SecretLookup.PATH, "SECRET_INACTIVE"),
        ("\\Scan\\absent", SecretLookup.PATH, "SECRET_NOT_FOUND"),
        ("\\Nowhere\\win", SecretLookup.PATH, "SECRET_NOT_FOUND"),
        ("4711", SecretLookup.ID, "SECRET_NOT_FOUND"),
        ("win", SecretLookup.ID, "SECRET_NOT_FOUND"),
    ],
)
async def test_what_settles_to_nothing(
    opened: AbstractAsyncContextManager[Stand], key: str, by: SecretLookup, expected: str
) -> None:
    async with opened as stand:
        found = await stand.source.settle(ref(key, by))
        assert reason(found) == (expected if stand.paths or by is not SecretLookup.PATH else "SECRET_NOT_FOUND")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (for_machine("WIN1"), "win"),
        (for_machine("win1"), "win"),
        (for_machine("unix1", "Unix Account (SSH)"), "key"),
        (for_machine("unix1", "unix account (ssh)", "\\Linux"), "key"),
        (for_machine("unix1", folder="\\linux\\Corp"), "key"),
    ],
)
async def test_by_machine(opened: AbstractAsyncContextManager[Stand], wanted: CredentialRef, expected: str) -> None:
    async with opened as stand:
        found = await stand.source.settle(wanted)
        if wanted.folder and not stand.paths:
            assert reason(found) == "SECRET_NOT_FOUND"
            assert isinstance(found, Failure)
            assert found.text.startswith("SOAP does not tell where a secret is: ")
        else:
            assert found == SecretHandle(wanted, stand.place(expected)[0])
        assert stand.views(expected) == 0, "settling is no view"


@pytest.mark.parametrize(
    ("wanted", "expected", "words"),
    [
        (for_machine("absent1"), "SECRET_NOT_FOUND", ("no secret has the machine 'absent1'",)),
        (for_machine("WIN"), "SECRET_NOT_FOUND", ("no secret has the machine 'WIN'",)),
        (for_machine("win"), "SECRET_NOT_FOUND", ("'win'",)),
        (
            for_machine("win1", "Unix Account (SSH)"),
            "SECRET_NOT_FOUND",
            ("of template 'Unix Account (SSH)'; left out: id 1 in ", "(Windows Account)"),
        ),
        (for_machine("gone1"), "SECRET_INACTIVE", ("machine 'gone1': id 5 in ",)),
        (for_machine("twice1"), "SECRET_AMBIGUOUS_NAME", ("2 secrets: id 6 in ", ", id 7 in ")),
    ],
)
async def test_a_machine_that_settles_to_nothing(
    opened: AbstractAsyncContextManager[Stand], wanted: CredentialRef, expected: str, words: tuple[str, ...]
) -> None:
    async with opened as stand:
        found = await stand.source.settle(wanted)
        assert reason(found) == expected
        assert isinstance(found, Failure)
        for part in words:
            assert part in found.text


async def test_a_machine_whose_secret_may_not_be_viewed(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await stand.source.settle(for_machine("hidden1"))
        assert isinstance(handle, SecretHandle)
        assert reason(await stand.source.fetch(handle, private_key=False, purpose="p")) == "SECRET_ACCESS_DENIED"


async def test_a_machine_whose_secret_was_found_is_read(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await stand.source.settle(for_machine("win1"))
        assert isinstance(handle, SecretHandle)
        got = read(await stand.source.fetch(handle, private_key=False, purpose="run 1"))
        assert got.same_secret_as(stand.credential("win"))
        assert stand.views("win") == 1


async def test_a_reference_is_settled_once_for_all(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        async with anyio.create_task_group() as tasks:
            for name in ("win", "twice") * 20:
                tasks.start_soon(stand.source.settle, ref(name))
        await stand.source.settle(ref("win"))
        assert stand.searches() == 2


async def test_a_password(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        got = read(await stand.source.fetch(await settled(stand, "win"), private_key=False, purpose="run 1"))
        assert got.same_secret_as(stand.credential("win"))
        assert got.user == "vm_scan_account"
        assert stand.views("win") == 1


async def test_what_the_vault_says_of_a_password_comes_with_it(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        well = read(await stand.source.fetch(await settled(stand, "win"), private_key=False, purpose="run 1"))
        stale = read(await stand.source.fetch(await settled(stand, "stale"), private_key=False, purpose="run 1"))
        assert (well.standing.refuted, stale.standing.refuted) == ("", "Heartbeat failed")


async def test_a_private_key_with_its_passphrase(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        got = read(await stand.source.fetch(await settled(stand, "key"), private_key=True, purpose="run 1"))
        assert got.same_secret_as(stand.credential("key"))
        assert (got.user, got.password) == ("root", "")
        assert stand.views("key") == 2, "the secret, and its attachment"


async def test_what_a_secret_does_not_hold(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        for name, private_key in (("win", True), ("ask", True), ("key", False)):
            got = await obtained(stand, await settled(stand, name), private_key=private_key)
            assert reason(got) == "SECRET_FIELD_MISSING"


TICKET = Ticket(number="CHG-4711", system=3)


async def test_a_comment_and_a_ticket_of_ones_own_are_told_asked_or_not(
    opened: AbstractAsyncContextManager[Stand],
) -> None:
    async with opened as stand:
        terms = AccessTerms(comment="for 10.0.0.1", ticket=TICKET)
        for name in ("win", "ticketed"):
            read(await obtained(stand, await settled(stand, name), terms=terms))
            asked = name == "ticketed"
            assert set(stand.tickets(name)) == ({"CHG-4711"} if asked or stand.views_take_nothing else {""})
            assert set(stand.purposes(name)) == ({"for 10.0.0.1"} if asked or stand.views_take_nothing else {""})


@pytest.mark.parametrize("ticket", [None, Ticket(number="INC-1", system=3), Ticket(number="CHG-1", system=4)], ids=str)
async def test_a_ticket_that_lacks_or_is_not_taken_is_a_reason_with_the_vaults_words(
    opened: AbstractAsyncContextManager[Stand], ticket: Ticket | None
) -> None:
    async with opened as stand:
        got = await obtained(stand, await settled(stand, "ticketed"), terms=AccessTerms(comment="c", ticket=ticket))
        assert reason(got) == "SECRET_NEEDS_COMMENT"
        assert isinstance(got, Failure)
        words = "The requested Secret requires a ticket number" if ticket is None else "The ticket number is not valid."
        assert got.text.startswith((words, "An error."))
        assert stand.views("ticketed") == 0


async def test_a_comment_is_the_purpose(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await settled(stand, "ask")
        for purpose in ("run 1", "run 2"):
            got = read(await obtained(stand, handle, purpose=purpose))
            assert got.same_secret_as(stand.credential("ask"))
        looks = 0 if stand.views_take_nothing else 1
        assert stand.purposes("ask") == ["run 1"] * looks + ["run 1", "run 2"]
        assert stand.views("ask") == looks + 2


async def test_nothing_is_remembered_of_a_secret(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await settled(stand, "win")
        before = read(await stand.source.fetch(handle, private_key=False, purpose="p"))
        again = read(await stand.source.fetch(handle, private_key=False, purpose="p"))
        stand.rotate("win")
        after = read(await stand.source.fetch(handle, private_key=False, purpose="p"))
        assert before.same_secret_as(again)
        assert not before.same_secret_as(after)
        assert after.same_secret_as(stand.credential("win"))
        assert stand.views("win") == 3


async def test_a_secret_that_may_not_be_viewed(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        got = await stand.source.fetch(await settled(stand, "hidden"), private_key=False, purpose="p")
        assert reason(got) == "SECRET_ACCESS_DENIED"
        assert stand.views("hidden") == 0


BARRED = {
    "lent": "SECRET_NEEDS_CHECKOUT",
    "asked": "SECRET_NEEDS_APPROVAL",
    "doubled": "SECRET_DOUBLELOCK",
}


async def test_what_stands_before_a_secret_is_named(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        for name, expected in BARRED.items():
            handle = await settled(stand, name)
            if name == "lent" or stand.views_take_nothing:
                got = await stand.source.fetch(handle, private_key=False, purpose="p")
            else:
                got = await obtained(stand, handle)
            assert reason(got) == expected
            assert stand.views(name) == 0
        assert stand.held() == 0, "no view checks out by the way"


async def test_a_secret_that_the_run_has_checked_out_is_read(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        for by in (ref("lent"), ref(stand.place("lent")[0], SecretLookup.ID)):
            handle = await stand.source.settle(by)
            assert isinstance(handle, SecretHandle)
            got = read(await obtained(stand, handle))
            assert got.same_secret_as(stand.credential("lent"))
        assert stand.held() == 1


async def test_what_wants_nothing_by_id_is_read(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await stand.source.settle(ref(stand.place("win")[0], SecretLookup.ID))
        assert isinstance(handle, SecretHandle)
        for _ in range(3):
            assert read(await obtained(stand, handle)).same_secret_as(stand.credential("win"))
        assert stand.views("win") == (3 if stand.views_take_nothing else 4)
        assert stand.held() == 0


BREAKDOWNS = {
    "down": "VAULT_ERROR",
    "error": "VAULT_ERROR",
    "forbidden": "VAULT_FORBIDDEN",
    "throttled": "VAULT_RATE_LIMITED",
    "html": "VAULT_BAD_RESPONSE",
    "dead_tokens": "VAULT_TOKEN_EXPIRED",
    "ip_blocked": "VAULT_IP_BLOCKED",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", BREAKDOWNS)
async def test_a_vault_in_trouble(opened: AbstractAsyncContextManager[Stand], how: str) -> None:
    async with opened as stand:
        handle = await settled(stand, "win")
        stand.break_down(how)
        assert reason(await stand.source.fetch(handle, private_key=False, purpose="p")) == BREAKDOWNS[how]
        assert reason(await stand.source.settle(ref("key"))) == BREAKDOWNS[how]
        stand.break_down("")
        assert stand.views("win") == 0


@pytest.mark.slow
async def test_a_transient_failure_is_not_remembered(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        await settled(stand, "key")
        stand.break_down("error")
        assert reason(await stand.source.settle(ref("win"))) == "VAULT_ERROR"
        stand.break_down("")
        await settled(stand, "win")


async def test_a_session_that_ended_is_renewed_unseen(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await settled(stand, "win")
        stand.break_down("expire_tokens")
        stand.break_down("")
        read(await stand.source.fetch(handle, private_key=False, purpose="p"))
        assert stand.views("win") == 1


# -- the supervisor's side, on the simulated vault --------------------------------------------------------------------


@asynccontextmanager
async def granting(
    state: Path, password: str = "", api: Literal["rest", "soap", "auto"] = "rest"
) -> AsyncIterator[tuple[Grantor, World]]:
    async with estate(state, VaultSpec(), api) as (login, world):
        tried = VaultLogin(login.access, Hidden(password)) if password else login
        async with open_grantor(tried) as grantor:
            yield grantor, world


@pytest.mark.parametrize("api", ["rest", "soap", "auto"])
async def test_a_refused_login_never_locks_the_vaults_user(
    tmp_path: Path, api: Literal["rest", "soap", "auto"]
) -> None:
    async with granting(tmp_path, "wrong", api) as (grantor, world):
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(grantor.token)
        answer = await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault"))
        assert (answer.ok, answer.reason) == (False, "VAULT_LOGIN_REFUSED")
        assert answer.text.startswith("Login failed.")
        assert world.metrics.vault.failed_grants == 1
        assert not world.logins.locked


LOOKED_AT = {
    "win": "",
    "ask": "",
    "hidden": "SECRET_ACCESS_DENIED",
    "gone": "SECRET_INACTIVE",
    "twice": "SECRET_AMBIGUOUS_NAME",
    "absent": "SECRET_NOT_FOUND",
    **BARRED,
}
UNTOLD = {**dict.fromkeys((*BARRED, "ask"), "SECRET_NEEDS_CHECKOUT"), "hidden": ""}
"""What SOAP tells only at a view: what is restricted may be so by anything, and what is forbidden looks readable."""


@pytest.mark.parametrize(("api", "expected"), [("rest", LOOKED_AT), ("soap", {**LOOKED_AT, **UNTOLD})])
async def test_a_query_resolves_a_secret_without_a_view(
    tmp_path: Path, api: Literal["rest", "soap"], expected: dict[str, str]
) -> None:
    async with granting(tmp_path, api=api) as (grantor, world):
        told = {name: (await grantor.look(ref(name))).reason for name in expected}
        assert told == expected
        assert world.metrics.vault.views == 0
        assert world.metrics.vault.grants == 1


@pytest.mark.parametrize(("api", "spoken"), [("rest", "rest"), ("soap", "soap"), ("auto", "rest")])
async def test_a_check_says_what_is_spoken(tmp_path: Path, api: Literal["rest", "soap", "auto"], spoken: str) -> None:
    async with granting(tmp_path, api=api) as (grantor, _world):
        answer = await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault"))
        assert (answer.ok, answer.facts["api"]) == (True, spoken)


async def test_another_users_check_out_is_told_by_soap(tmp_path: Path) -> None:
    vault = VaultSpec(users=(VaultUserSpec(name="other"),))
    async with estate(tmp_path, vault, "soap") as (login, world), open_grantor(login) as grantor:
        other = world.service.users.named("other")
        assert other is not None
        assert not isinstance(world.service.check_out(Caller(other, "127.0.0.1"), "\\Scan\\lent", Ask()), Refused)
        for wanted in (ref("lent"), ref(world.vault.named("lent").id, SecretLookup.ID)):
            held = await grantor.look(wanted)
            assert (held.reason, held.text) == ("SECRET_CHECKED_OUT_BY", "checked out by other")
        assert world.metrics.vault.views == 0


async def test_another_users_check_out_and_the_change_after_it_are_told_apart(tmp_path: Path) -> None:
    vault = VaultSpec(users=(VaultUserSpec(name="other"),), rotation_time=3600)
    async with estate(tmp_path, vault) as (login, world), open_grantor(login) as grantor:
        other = world.service.users.named("other")
        assert other is not None
        caller = Caller(other, "127.0.0.1")
        assert not isinstance(world.service.check_out(caller, "\\Scan\\lent", Ask()), Refused)
        held = await grantor.look(ref("lent"))
        assert (held.reason, held.text) == ("SECRET_CHECKED_OUT_BY", "checked out by other")
        assert not isinstance(world.service.check_in(caller, "\\Scan\\lent", Ask()), Refused)
        assert (await grantor.look(ref("lent"))).reason == "SECRET_RPC_PENDING"
        assert world.metrics.vault.views == 0
