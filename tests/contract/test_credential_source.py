"""What every CredentialSource does, whatever it stands on.

An implementation joins by a row in `STANDS`: a context that gives a `Stand`, i.e. a source over the secrets below and a
way to look behind it. Secrets: `win` and `key` can be read, `ask` only with a comment, `hidden` may not be viewed,
`gone` is deleted, `twice` exists twice, `absent` does not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from appliance.contract import CredentialRef, Failure, Phase, SecretLookup, SignalKind, VaultQuery, VaultQueryKind
from appliance.reasons import REASONS, Owner
from appliance.vault import CredentialSource, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin, VaultTls
from appliance.vault.grantor import Grantor, open_grantor
from appliance.vault.secret_server import open_source
from targets.estate import build
from targets.faults import SecretState
from targets.lab import running
from targets.secret_server.changes import Where
from targets.spec import EstateSpec, SecretSpec
from targets.vault_spec import VaultSpec
from targets.world import World

SECRETS = (
    SecretSpec(name="win", template="windows", user="vm_scan_account", machine="WIN1"),
    SecretSpec(name="key", template="unix", user="root", folder="\\Linux\\corp", login="key"),
    SecretSpec(name="ask", template="unix", user="scan", state=SecretState.COMMENT),
    SecretSpec(name="hidden", state=SecretState.FORBIDDEN),
    SecretSpec(name="gone", state=SecretState.INACTIVE),
    SecretSpec(name="twice", state=SecretState.AMBIGUOUS),
    SecretSpec(name="absent", state=SecretState.MISSING),
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

    def break_down(self, how: str) -> None:
        """`down`, `error`, `forbidden`, `throttled`, `html`, `dead_tokens`, `ip_blocked`; `` mends."""
        ...


class SecretServerStand:
    def __init__(self, source: CredentialSource, world: World) -> None:
        self._source = source
        self._world = world

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

    def break_down(self, how: str) -> None:
        self._world.order_vault_faults(frozenset({how} if how else ()))


@asynccontextmanager
async def estate(state: Path, vault: VaultSpec) -> AsyncIterator[tuple[VaultLogin, World]]:
    what = build(EstateSpec(seed=7, vault=vault, secrets=SECRETS))
    async with running(what, state) as (ready, world):
        ca = "" if ready.vault_ca is None else await anyio.Path(ready.vault_ca).read_text()
        access = VaultAccess(title="Vault", url=ready.vault_url, user=ready.vault_user, tls=VaultTls(ca=ca))
        yield VaultLogin(access, Hidden(what.vault_password), vault.domain), world


def secret_server(vault: VaultSpec) -> Callable[[Path], AbstractAsyncContextManager[Stand]]:
    @asynccontextmanager
    async def stand(state: Path) -> AsyncIterator[Stand]:
        async with (
            estate(state, vault) as (login, world),
            open_grantor(login) as grantor,
            open_source(login.access, grantor.token) as source,
        ):
            yield SecretServerStand(source, world)

    return stand


STANDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Stand]]] = {
    "secret server": secret_server(VaultSpec()),
    "secret server, https, 403, refresh tokens": secret_server(
        VaultSpec(tls=True, access_denied_status=403, refresh_tokens=True, domain="corp")
    ),
}


@pytest.fixture(params=STANDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Stand]:
    name: str = request.param
    return STANDS[name](tmp_path)


def ref(key: str | int, by: SecretLookup = SecretLookup.NAME) -> CredentialRef:
    return CredentialRef(vault="Vault", by=by, key=str(key))


async def settled(stand: Stand, name: str) -> SecretHandle:
    handle = await stand.source.settle(ref(name))
    assert isinstance(handle, SecretHandle), handle
    return handle


def read(result: Credential | Failure) -> Credential:
    assert isinstance(result, Credential), result
    return result


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
            for wanted in (ref(name), ref(secret_id, SecretLookup.ID), ref(path, SecretLookup.PATH)):
                assert await stand.source.settle(wanted) == SecretHandle(wanted, secret_id)
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
        assert reason(await stand.source.settle(ref(key, by))) == expected


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


async def test_a_private_key_with_its_passphrase(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        got = read(await stand.source.fetch(await settled(stand, "key"), private_key=True, purpose="run 1"))
        assert got.same_secret_as(stand.credential("key"))
        assert (got.user, got.password) == ("root", "")
        assert stand.views("key") == 2, "the secret, and its attachment"


async def test_what_a_secret_does_not_hold(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        for name, private_key in (("win", True), ("ask", True), ("key", False)):
            handle = await settled(stand, name)
            got = await stand.source.fetch(handle, private_key=private_key, purpose="run 1")
            assert reason(got) == "SECRET_FIELD_MISSING"


async def test_a_comment_is_the_purpose(opened: AbstractAsyncContextManager[Stand]) -> None:
    async with opened as stand:
        handle = await settled(stand, "ask")
        for purpose in ("run 1", "run 2"):
            got = read(await stand.source.fetch(handle, private_key=False, purpose=purpose))
            assert got.same_secret_as(stand.credential("ask"))
        assert stand.purposes("ask") == ["run 1", "run 2"]
        assert stand.views("ask") == 2


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
async def granting(state: Path, password: str = "") -> AsyncIterator[tuple[Grantor, World]]:
    async with estate(state, VaultSpec()) as (login, world):
        tried = VaultLogin(login.access, Hidden(password)) if password else login
        async with open_grantor(tried) as grantor:
            yield grantor, world


async def test_a_refused_login_never_locks_the_vaults_user(tmp_path: Path) -> None:
    async with granting(tmp_path, "wrong") as (grantor, world):
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(grantor.token)
        answer = await grantor.answer(VaultQuery(run="r", kind=VaultQueryKind.CHECK, vault="Vault"))
        assert (answer.ok, answer.reason) == (False, "VAULT_LOGIN_REFUSED")
        assert answer.text.startswith("Login failed.")
        assert world.metrics.vault.failed_grants == 1
        assert not world.logins.locked


async def test_a_query_resolves_a_secret_without_a_view(tmp_path: Path) -> None:
    expected = {
        "win": "",
        "ask": "",
        "hidden": "SECRET_ACCESS_DENIED",
        "gone": "SECRET_INACTIVE",
        "twice": "SECRET_AMBIGUOUS_NAME",
        "absent": "SECRET_NOT_FOUND",
    }
    async with granting(tmp_path) as (grantor, world):
        told = {name: (await grantor.look(ref(name))).reason for name in expected}
        assert told == expected
        assert world.metrics.vault.views == 0
        assert world.metrics.vault.grants == 1
