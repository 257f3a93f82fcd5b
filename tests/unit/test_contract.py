"""The wire: what is encoded is decoded to the same, the unknown is refused by name, and no message holds a secret."""

from __future__ import annotations

import inspect
import json
import re
from contextlib import suppress
from types import UnionType
from typing import Any, Literal, cast, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import contract
from appliance.contract import (
    PEER_TEXT_LIMIT,
    Account,
    Candidate,
    ContractError,
    CredentialRef,
    Deferred,
    Evidence,
    Heartbeat,
    Job,
    Outcome,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    Phase,
    PhaseTime,
    RunNotice,
    SecretLookup,
    Selection,
    Signal,
    SignalKind,
    Target,
    Technology,
    Wire,
    account_key,
    canonical,
    decode_report,
    encode_report,
    is_host,
    ntstatus,
    peer_text,
    raised,
)
from appliance.questions import VaultAnswer, VaultQuery

MESSAGES = (
    Job, Outcome, Deferred, PermitRequest, PermitAnswer, PermitRelease, VaultQuery, VaultAnswer, Heartbeat, RunNotice,
)  # fmt: skip
"""What goes over the bus by itself, and so carries a version."""

CANDIDATE = Candidate(
    record="fleet",
    user="scan",
    account=Account(authority="dir:corp", user="scan"),
    secret=CredentialRef(vault="Vault", by=SecretLookup.NAME, key="scan-secret"),
    selection=Selection.IP,
    port=22,
)
JOB = Job(
    run="r1",
    job="j1",
    attempt=2,
    lease="00ff",
    zone="default",
    technology=Technology.UNIX,
    target=Target(address="10.0.0.1", host="web1"),
    candidates=(CANDIDATE,),
    deadline=30.0,
    give_up_at=1e9,
    purpose="quarterly, run r1, 10.0.0.1",
)
OUTCOME = Outcome(
    run="r1",
    job="j1",
    attempt=2,
    lease="00ff",
    appliance="a1",
    evidence=Evidence(
        phase=Phase.AUTH,
        signal=Signal(kind=SignalKind.NAMED, name="BAD_CREDENTIALS"),
        text="Permission denied",
        facts={"banner": "SSH-2.0-x"},
        submitted=True,
        phases=(PhaseTime(phase=Phase.TCP, ms=1.5), PhaseTime(phase=Phase.AUTH, ms=20.25)),
    ),
)
DEFERRED = Deferred(
    run="r1", job="j1", attempt=1, lease="00ff", appliance="a1", reason="SECRET_CHECKED_OUT_BY", not_before=12.5
)


@pytest.mark.parametrize("message", [JOB, OUTCOME, DEFERRED])
def test_what_is_encoded_is_decoded_to_the_same(message: Wire) -> None:
    assert type(message).decode(message.encode()) == message


@pytest.mark.parametrize("report", [OUTCOME, DEFERRED])
def test_a_report_finds_its_kind(report: Outcome | Deferred) -> None:
    assert decode_report(encode_report(report)) == report


def drawn(model: type[Wire]) -> st.SearchStrategy[Wire]:
    """Any message of a kind, each field drawn; numbers finite, since JSON knows no others."""
    fields = {
        name: info.annotation
        for name, info in model.model_fields.items()
        if name != "v" and get_origin(info.annotation) is not Literal
    }
    return st.builds(model, **{name: _field(annotation) for name, annotation in fields.items()})


def _field(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if inspect.isclass(annotation) and issubclass(annotation, Wire):
        return drawn(annotation)
    if get_origin(annotation) is tuple and get_args(annotation)[-1] is not Ellipsis:
        return st.tuples(*map(_field, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return st.lists(_field(get_args(annotation)[0]), max_size=2).map(tuple)
    if get_origin(annotation) is UnionType:
        return st.one_of(*map(_field, get_args(annotation)))
    return st.from_type(annotation)


@given(st.one_of(*(drawn(model) for model in MESSAGES)))
def test_any_message_survives_the_wire(message: Wire) -> None:
    assert type(message).decode(message.encode()) == message


def changed(message: Wire, **fields: object) -> bytes:
    return json.dumps({**json.loads(message.encode()), **fields}).encode()


@pytest.mark.parametrize("model", MESSAGES)
def test_a_message_carries_its_version(model: type[Wire]) -> None:
    """That in which its kind took the form that it has; the newest of them is what this release reads."""
    assert model.model_fields["v"].default == (2 if model is Heartbeat else contract.OLDEST)
    assert {1, 2} >= set(get_args(model.model_fields["v"].annotation))
    assert (contract.OLDEST, contract.VERSION) == (1, 2)


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match=r"unreadable Job: v: "):
        Job.decode(changed(JOB, v=2))
    with pytest.raises(ContractError, match=r"unreadable Report: outcome\.v: "):
        decode_report(changed(OUTCOME, v=2))


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match="colour"):
        Job.decode(changed(JOB, colour="red"))


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}", b"9" * 5000])
def test_damage_is_a_contract_error(data: bytes) -> None:
    with pytest.raises(ContractError, match="unreadable Job"):
        Job.decode(data)
    with pytest.raises(ContractError, match="unreadable Report"):
        decode_report(data)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_message_or_a_contract_error(data: bytes) -> None:
    with suppress(ContractError):
        assert isinstance(decode_report(data), Outcome | Deferred)


def test_the_error_names_the_field_and_never_the_value() -> None:
    with pytest.raises(ContractError) as caught:
        Job.decode(changed(JOB, attempt="hunter2-secret"))
    assert "attempt" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    # Nor through what it was raised from.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_messages_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        cast("Any", JOB).attempt = 3


def test_no_message_has_a_place_for_a_secret() -> None:
    forbidden = re.compile(r"passw|passphrase|token|private_key|credential|cookie", re.IGNORECASE)
    # A question whether a key is used, and an answer's deferral, hold no secret: the type shows it.
    found = [
        f"{name}.{field}"
        for name, model in inspect.getmembers(contract, inspect.isclass)
        if issubclass(model, Wire)
        for field, info in model.model_fields.items()
        if forbidden.search(field) and info.annotation is not bool
    ]
    assert found == []


def test_evidence_adds_up() -> None:
    assert OUTCOME.evidence.total_ms == 21.75


@pytest.mark.parametrize("user", ["scan", "CORP\\scan", "scan@corp.example", "CORP\\Scan@x", " SCAN "])
def test_one_account_has_one_key(user: str) -> None:
    assert account_key("dir:Corp", user) == Account(authority="dir:corp", user="scan")


def test_accounts_of_two_authorities_are_two() -> None:
    assert account_key("host:10.0.0.1", "scan") != account_key("host:10.0.0.2", "scan")
    assert account_key("dir:corp", "scan").is_directory
    assert not account_key("host:10.0.0.1", "scan").is_directory
    assert str(account_key("dir:corp", "scan")) == "scan@dir:corp"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Permission denied\r\n", "Permission denied"),
        ("\x1b[2J<b>\x07", r"\x1b[2J<b>\x07"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("a\u202eb", r"a\u202eb"),
        ("line\nline\tx", r"line\nline\tx"),
        ("\ud800", r"\ud800"),
    ],
)
def test_a_peers_words_are_escaped(raw: bytes | str, text: str) -> None:
    assert peer_text(raw) == text


@given(st.binary(max_size=4000) | st.text(max_size=2000))
def test_a_peers_words_are_printable_and_bounded(raw: bytes | str) -> None:
    text = peer_text(raw)
    assert text.isprintable()
    assert len(text.encode()) <= PEER_TEXT_LIMIT


def test_a_long_text_says_that_it_was_cut() -> None:
    assert peer_text("é" * 400).endswith("é...")
    assert peer_text("x" * PEER_TEXT_LIMIT) == "x" * PEER_TEXT_LIMIT
    assert peer_text(" " * 5000 + "x" * PEER_TEXT_LIMIT + "\n" * 5000) == "x" * PEER_TEXT_LIMIT


def test_signals_of_statuses_and_exceptions() -> None:
    assert ntstatus(0xC000006D).name == "0xc000006d"
    assert ntstatus(0xC000006D - (1 << 32)).name == "0xc000006d"
    signal = raised(ConnectionResetError("10.0.0.1 said hunter2"))
    assert signal.name == "builtins.ConnectionResetError"
    assert signal.bases == ("builtins.ConnectionError", "builtins.OSError", "builtins.Exception")
    assert "hunter2" not in signal.model_dump_json()


def test_canonical_is_stable() -> None:
    assert canonical({"b": [1, "é"], "a": {"y": None, "x": True}}) == '{"a":{"x":true,"y":null},"b":[1,"é"]}'.encode()


def test_a_notice_says_cut_only_where_it_is_so() -> None:
    """An appliance of an older release refuses a field that it does not know."""
    notice = RunNotice(run="r", zone="z", vaults=(), targets=1, paused=True)
    assert b"cut" not in notice.encode()
    assert RunNotice.decode(notice.encode()) == notice
    cut = notice.model_copy(update={"cut": True})
    assert RunNotice.decode(cut.encode()) == cut


@pytest.mark.parametrize(
    "host",
    [
        "vault",
        "vault.example",
        "vault.example.",
        "v_1.corp",
        "vault.1",
        "1.vault",
        "10.20.30.40",
        "fe80::1%25eth0",
        "v" * 63,
    ],
)
def test_a_host_of_a_url(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host", ["", ".", "vault..corp", ".corp", "vault.corp..", "10.20.30.400", "10.20.30", "1234", f"a.{'v' * 64}"]
)
def test_what_no_host_can_be_called(host: str) -> None:
    assert not is_host(host)
