"""One view of a secret for all that ask within `max_age`: the rules at the head of `shared`."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from appliance.contract import AccessTerms, CredentialRef, Failure, SecretLookup, View
from appliance.vault import DEFAULT_TERMS, SecretHandle
from appliance.vault.credential import Credential
from appliance.vault.failures import fail
from appliance.vault.shared import SharedSource, open_shared
from appliance.vault.standing import Standing
from tests.unit.vault.scripted import credential

MAX_AGE = 60.0
HANDLE = SecretHandle(CredentialRef(vault="Vault", by=SecretLookup.ID, key="7"), 7)
OTHER = SecretHandle(CredentialRef(vault="Vault", by=SecretLookup.ID, key="8"), 8)


class Watched(Credential):
    """Says when it has been forgotten."""

    def __init__(self, password: str, private_key: bytes) -> None:
        super().__init__(user="u", password=password, private_key=private_key, standing=Standing(1.0))
        self.gone = anyio.Event()

    def forget(self) -> None:
        super().forget()
        self.gone.set()


class Vault:
    """Gives its password of the moment, when the gate is open; keeps what it has given."""

    def __init__(self) -> None:
        self.password = "one"
        self.ill: Failure | None = None
        self.given: list[Watched] = []
        self.purposes: list[str] = []
        self.turns: list[str] = []
        self.gate = anyio.Event()
        self.gate.set()

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        self.turns.append(ref.key)
        return lambda: None

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        return SecretHandle(ref, int(ref.key))

    async def approval(self, handle: SecretHandle) -> Failure | None:
        return None

    async def fetch(
        self,
        handle: SecretHandle,
        *,
        private_key: bool,
        purpose: str,
        terms: AccessTerms = DEFAULT_TERMS,
        checked_out: bool = False,
        anew: bool = False,
        views: list[View] | None = None,
    ) -> Credential | Failure:
        self.purposes.append(purpose)
        password = f"{self.password} of {handle.secret_id}"
        await self.gate.wait()
        if self.ill is not None:
            return self.ill
        key = b"key" if private_key else b""
        self.given.append(Watched(password, key))
        return self.given[-1]


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.vault = Vault()
        self.source = SharedSource(self.vault, MAX_AGE, lambda: self.now)

    async def ask(
        self,
        handle: SecretHandle = HANDLE,
        *,
        private_key: bool = False,
        purpose: str = "p",
        anew: bool = False,
    ) -> Credential:
        got = await self.source.fetch(handle, private_key=private_key, purpose=purpose, anew=anew)
        return credential(got)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_one_view_serves_all_until_it_is_too_old(bench: Bench) -> None:
    first = await bench.ask(purpose="first")
    first.forget()
    bench.now = MAX_AGE - 0.1
    second = await bench.ask(purpose="second")
    assert (second.user, second.password, second.standing.changed_at) == ("u", "one of 7", 1.0)
    assert bench.vault.purposes == ["first"]
    bench.vault.password = "two"
    bench.now = MAX_AGE
    assert (await bench.ask()).password == "two of 7"
    assert bench.vault.given[0].forgotten


async def test_secrets_and_their_keys_are_kept_apart(bench: Bench) -> None:
    assert (await bench.ask()).password == "one of 7"
    assert (await bench.ask(OTHER)).password == "one of 8"
    assert (await bench.ask(private_key=True)).private_key == b"key"
    assert not (await bench.ask()).private_key
    assert len(bench.vault.given) == 3


async def test_who_comes_while_it_is_read_shares_the_read(bench: Bench) -> None:
    bench.vault.gate = anyio.Event()
    got: list[Credential] = []

    async def ask() -> None:
        got.append(await bench.ask())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
        await checkpoint()
        bench.vault.gate.set()
    assert len(bench.vault.given) == 1
    got[0].forget()
    assert [one.password for one in got[1:]] == ["one of 7"] * 19


async def test_who_reads_anew_replaces_what_was_kept(bench: Bench) -> None:
    await bench.ask()
    bench.vault.password = "two"
    assert (await bench.ask()).password == "one of 7"
    assert (await bench.ask(anew=True)).password == "two of 7"
    assert (await bench.ask()).password == "two of 7"
    assert len(bench.vault.given) == 2
    assert bench.vault.given[0].forgotten


async def test_who_reads_anew_does_not_share_a_read_that_began_before(bench: Bench) -> None:
    bench.vault.gate = anyio.Event()
    got: dict[bool, str] = {}

    async def ask(anew: bool) -> None:
        got[anew] = (await bench.ask(anew=anew)).password

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, False)
        await checkpoint()
        bench.vault.password = "two"
        bench.now = 1.0
        tasks.start_soon(ask, True)
        await checkpoint()
        bench.vault.gate.set()
    assert got[True] == "two of 7"
    assert (await bench.ask()).password == "two of 7", "the later read is what is kept"


async def test_a_failure_is_not_kept(bench: Bench) -> None:
    bench.vault.ill = fail("VAULT_TIMEOUT")
    assert await bench.source.fetch(HANDLE, private_key=False, purpose="p") == bench.vault.ill
    bench.vault.ill = None
    assert (await bench.ask()).password == "one of 7"


async def test_nobody_gets_an_empty_one_that_was_replaced_on_its_way(bench: Bench) -> None:
    """What a new read makes forgotten may have been promised to others, whose turn comes later."""
    bench.vault.gate = anyio.Event()
    got: list[str] = []

    async def ask(anew: bool) -> None:
        got.append((await bench.ask(anew=anew)).password)

    async with anyio.create_task_group() as tasks:
        for anew in (False, False, False, True, False, True):
            tasks.start_soon(ask, anew)
        await checkpoint()
        bench.vault.gate.set()
    assert got == ["one of 7"] * 6


async def test_it_is_forgotten_in_time_though_nobody_asks_and_at_the_end() -> None:
    vault = Vault()
    async with open_shared(vault, 0.05) as source:
        credential(await source.fetch(HANDLE, private_key=False, purpose="p"))
        await vault.given[0].gone.wait()
    async with open_shared(vault, MAX_AGE) as source:
        credential(await source.fetch(OTHER, private_key=False, purpose="p"))
        assert not vault.given[1].forgotten
    assert vault.given[1].forgotten


async def test_what_is_kept_waits_for_no_turn(bench: Bench) -> None:
    seven = CredentialRef(vault="V", by=SecretLookup.ID, key="7")
    handle = await bench.source.settle(seven)
    assert isinstance(handle, SecretHandle)
    assert callable(await bench.source.turn(seven))
    await bench.ask(handle)
    assert callable(await bench.source.turn(seven))
    assert bench.vault.turns == ["7"]
    bench.now = MAX_AGE
    assert callable(await bench.source.turn(seven))
    assert bench.vault.turns == ["7", "7"]
