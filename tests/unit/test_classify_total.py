"""`classify` is total: whatever the libraries have a class for, and every status of the table, lands on a row.

The classes are found by walking the installed libraries, so an upgrade that adds one is met here before it is met in a
run. What may land on INTERNAL is listed with its reason, and nothing else may. Which row is right for what:
test_classify_rows.py.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import aiohttp
import asyncssh
import impacket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import classify as table
from appliance.classify import classify
from appliance.contract import OK, OUT_OF_SYNC, Evidence, Phase, Reread, Signal, SignalKind, Technology, named, ntstatus
from appliance.reasons import REASONS, Status

UNIX, WINDOWS = Technology.UNIX, Technology.WINDOWS

NOT_IMPORTED = ("impacket.examples", "asyncssh.gss_", "aiohttp.worker", "aiohttp.pytest_plugin")
"""Scripts, and modules for systems and packages that we don't have."""

NOT_RUNNING = (Phase.PLAN, Phase.DISPATCH, Phase.LEASE, Phase.JUMP, Phase.DNS, Phase.TCP, Phase.LOGOFF)
"""Phases in which no login library runs for the target: we plan, lease and dial ourselves, a jump host has a login of
its own, and a failed logoff is no outcome."""

OUR_MISTAKE = {"asyncssh.config.ConfigParseError": "we give asyncssh no configuration file, so reading one is our bug"}


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if info.name.startswith(NOT_IMPORTED):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # impacket's older modules warn on import; it is not our code
            module = importlib.import_module(info.name)
        yield module
        if info.ispkg:
            yield from modules(module)


@cache
def classes(package: ModuleType) -> tuple[type[Exception], ...]:
    """Every exception class that a library defines."""
    things = [thing for module in modules(package) for thing in vars(module).values()]
    found = {thing for thing in things if inspect.isclass(thing) and issubclass(thing, Exception)}
    own = [c for c in found if c.__module__.startswith(package.__name__ + ".")]
    return tuple(sorted(own, key=lambda c: (c.__module__, c.__qualname__)))


def signal_of(kind: type[BaseException]) -> Signal:
    names = [f"{c.__module__}.{c.__qualname__}" for c in kind.__mro__ if c not in (object, BaseException)]
    return Signal(kind=SignalKind.EXCEPTION, name=names[0], bases=tuple(names[1:]))


def code(technology: Technology, phase: Phase, signal: Signal, *, submitted: bool | None = None) -> str:
    sent = phase in (Phase.AUTH, Phase.PRIVILEGE) if submitted is None else submitted
    return classify(technology, Evidence(phase=phase, signal=signal, submitted=sent)).code


def test_the_walk_finds_the_classes_we_know() -> None:
    found = {c for library in (asyncssh, impacket, aiohttp) for c in classes(library)}
    assert {asyncssh.PermissionDenied, asyncssh.ConnectionLost, aiohttp.ClientOSError} <= found
    assert {"impacket.smb3.SessionError", "impacket.nmb.NetBIOSTimeout"} <= {
        f"{c.__module__}.{c.__name__}" for c in found
    }
    assert len(found) > 150


@pytest.mark.parametrize(("library", "technology"), [(asyncssh, UNIX), (impacket, WINDOWS)])
def test_every_class_of_a_login_library_has_a_row(library: ModuleType, technology: Technology) -> None:
    lost = [
        f"{signal.name} in {phase}"
        for signal in map(signal_of, classes(library))
        for phase in Phase
        if phase not in NOT_RUNNING and signal.name not in OUR_MISTAKE
        if code(technology, phase, signal) == "INTERNAL"
    ]
    assert lost == []


@pytest.mark.parametrize("technology", Technology)
def test_every_class_of_the_vaults_library_is_the_vaults_in_every_phase(technology: Technology) -> None:
    wrong = [
        f"{signal.name} in {phase}: {reason}"
        for signal in map(signal_of, classes(aiohttp))
        for phase in Phase
        if not (reason := code(technology, phase, signal)).startswith("VAULT_")
    ]
    assert wrong == []


@pytest.mark.parametrize(("library", "technology"), [(asyncssh, UNIX), (impacket, WINDOWS)])
def test_a_login_library_never_speaks_for_the_vault(library: ModuleType, technology: Technology) -> None:
    wrong = [
        f"{signal.name} in {phase}: {reason}"
        for signal in map(signal_of, classes(library))
        for phase in Phase
        if (reason := code(technology, phase, signal)).startswith("VAULT_")
    ]
    assert wrong == []


KEY_OR_NAME = ("SECRET_KEY_UNREADABLE", "SECRET_PASSPHRASE_WRONG", "UNKNOWN_USER", "PASSWORD_EXPIRED")
"""What these say holds in any phase: the key or name itself is at fault, not the host's answer to it."""


@pytest.mark.parametrize(("library", "technology"), [(asyncssh, UNIX), (impacket, WINDOWS)])
def test_nothing_is_a_failed_login_before_the_login(library: ModuleType, technology: Technology) -> None:
    wrong = [
        f"{signal.name} in {phase}: {reason}"
        for signal in map(signal_of, classes(library))
        for phase in (Phase.DNS, Phase.TCP, Phase.NEGOTIATE, Phase.KEX, Phase.PERMIT)
        if REASONS[reason := code(technology, phase, signal)].status is Status.FAILED
        if reason not in KEY_OR_NAME and not reason.startswith("KRB_")
    ]
    assert wrong == []


def test_each_row_names_a_class_that_exists() -> None:
    missing = []
    for name in (*table._EXCEPTIONS, *table._UNNAMED):
        module, _, attribute = name.rpartition(".")
        found = getattr(importlib.import_module(module), attribute, None)
        # A class is looked up by the module that defines it, not by one that imports it.
        if found is None or f"{found.__module__}.{found.__qualname__}" != name:
            missing.append(name)
    assert missing == []


def test_each_code_of_the_tables_is_a_reason() -> None:
    codes = [*table._ERRNO.values(), *table._NTSTATUS.values(), *table._NTSTATUS_PRIVILEGE.values()]
    for phases in (table._SLOW, table._CUT, table._PEER_CUT, table._LEFT):
        codes += phases.values()
    for row in (*table._EXCEPTIONS.values(), *table._LIBRARIES.values(), *table._UNNAMED.values()):
        codes += [row] if isinstance(row, str) else row.values()
    assert set(codes) <= set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_what_the_adapter_names_is_the_reason(reason: str) -> None:
    assert code(UNIX, Phase.AUTH, named(reason)) == reason


def test_a_changed_secret_after_a_refused_one_was_rotated() -> None:
    for signal in (named("BAD_CREDENTIALS"), named("STALE_IN_VAULT"), ntstatus(0xC000006D)):
        evidence = Evidence(phase=Phase.AUTH, signal=signal, submitted=True, reread=Reread.CHANGED)
        assert classify(WINDOWS, evidence).code == "ROTATED_MID_SCAN"
    locked = Evidence(phase=Phase.AUTH, signal=named("ACCOUNT_LOCKED"), submitted=True, reread=Reread.CHANGED)
    assert classify(WINDOWS, locked).code == "ACCOUNT_LOCKED"


def test_an_unchanged_secret_that_the_vault_itself_takes_for_wrong_is_stale() -> None:
    known_wrong = {OUT_OF_SYNC: "Heartbeat failed"}

    def refused(signal: Signal, reread: Reread, facts: dict[str, str]) -> str:
        evidence = Evidence(phase=Phase.AUTH, signal=signal, submitted=True, reread=reread, facts=facts)
        return classify(WINDOWS, evidence).code

    for signal in (named("BAD_CREDENTIALS"), ntstatus(0xC000006D)):
        assert refused(signal, Reread.UNCHANGED, known_wrong) == "STALE_IN_VAULT"
        assert refused(signal, Reread.CHANGED, known_wrong) == "ROTATED_MID_SCAN"
        for reread in (Reread.NOT_DONE, Reread.FAILED):
            assert refused(signal, reread, known_wrong) == "BAD_CREDENTIALS"
        assert refused(signal, Reread.UNCHANGED, {}) == "BAD_CREDENTIALS"
    assert refused(named("ACCOUNT_LOCKED"), Reread.UNCHANGED, known_wrong) == "ACCOUNT_LOCKED"


def test_success() -> None:
    assert code(UNIX, Phase.PRIVILEGE, OK) == "PASSED"


def test_a_nameless_bug_is_internal_and_after_the_password_a_refusal() -> None:
    assert code(UNIX, Phase.NEGOTIATE, signal_of(KeyError)) == "INTERNAL"
    assert code(UNIX, Phase.AUTH, signal_of(KeyError)) == "AUTH_REFUSED"
    assert code(UNIX, Phase.PRIVILEGE, signal_of(KeyError)) == "PRIV_CHECK_FAILED"
    assert code(UNIX, Phase.AUTH, named("A_CODE_OF_A_NEWER_APPLIANCE")) == "INTERNAL"


def test_our_own_subclass_lands_where_its_base_does() -> None:
    class HungUp(asyncssh.ConnectionLost):
        pass

    class Unheard(asyncssh.asn1.ASN1Error):
        pass

    assert code(UNIX, Phase.KEX, signal_of(HungUp)) == "CONNECTION_RESET"
    assert code(UNIX, Phase.KEX, signal_of(Unheard)) == "SSH_PROTOCOL"


def _signals() -> Iterator[st.SearchStrategy[Signal]]:
    known = st.sampled_from([*table._EXCEPTIONS, *table._UNNAMED, *table._NTSTATUS, *table._ERRNO, *REASONS])
    names = st.text(max_size=30) | known
    for kind in SignalKind:
        yield st.builds(Signal, kind=st.just(kind), name=names, bases=st.lists(names, max_size=4).map(tuple))


@given(
    technology=st.sampled_from(Technology),
    phase=st.sampled_from(Phase),
    signal=st.one_of(*_signals()),
    submitted=st.booleans(),
    reread=st.sampled_from(Reread),
    facts=st.dictionaries(st.sampled_from(["loop_lag_ms", "banner", OUT_OF_SYNC]), st.text(max_size=5)),
)
def test_never_raises_for_what_the_contract_can_carry(
    technology: Technology,
    phase: Phase,
    signal: Signal,
    submitted: bool,
    reread: Reread,
    facts: dict[str, str],
) -> None:
    evidence = Evidence(phase=phase, signal=signal, submitted=submitted, reread=reread, facts=facts)
    reason = classify(technology, evidence)
    assert REASONS[reason.code] is reason
    if reason.code == "PASSED":
        assert signal.kind is SignalKind.OK or signal.name == "PASSED"
