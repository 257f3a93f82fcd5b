"""A host key, or a certificate of one, beside what is known of the host."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncssh
import pytest
from asyncssh.packet import MPInt, String

from appliance.contract import CryptoProfile, HostAuthority, HostKeyPolicy
from appliance.login.ssh_host_keys import Expected, Shown, describe, judge_key, key_line, read
from appliance.login.ssh_witness import Witness

HOST, OTHER, CA, STRANGE_CA = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(4))
RSA_CA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
BEGIN, END = 1_700_000_000, 1_800_000_000
NOW = (BEGIN + END) / 2
NAME = "web.example"
PINNED, TOFU, ANY = HostKeyPolicy.PINNED, HostKeyPolicy.TOFU, HostKeyPolicy.ANY


def vouched(ca: asyncssh.SSHKey, *names: str) -> HostAuthority:
    return HostAuthority(key=key_line(ca), names=names or (NAME,))


def certified(
    ca: asyncssh.SSHKey = CA, *, names: tuple[str, ...] = (NAME,), user: bool = False, sig: str = ""
) -> Shown:
    make = ca.generate_user_certificate if user else ca.generate_host_certificate
    made = make(HOST, "web", principals=names, valid_after=BEGIN, valid_before=END, sig_alg=sig or ())
    return read(made.public_data)


def refusal(shown: Shown, expected: Expected, now: float = NOW) -> str | None:
    refused = judge_key(shown, expected, now).refusal
    return refused and refused[0]


@pytest.mark.parametrize(
    ("policy", "known", "reason"),
    [
        (TOFU, (), None),
        (TOFU, (HOST,), None),
        (TOFU, (OTHER,), "HOST_KEY_CHANGED"),
        (TOFU, (OTHER, HOST), None),
        (PINNED, (), "HOST_KEY_UNKNOWN"),
        (PINNED, (HOST,), None),
        (PINNED, (OTHER,), "HOST_KEY_CHANGED"),
        (ANY, (), None),
        (ANY, (OTHER,), None),
    ],
)
def test_a_key(policy: HostKeyPolicy, known: tuple[asyncssh.SSHKey, ...], reason: str | None) -> None:
    expected = Expected(policy, frozenset(map(key_line, known)))
    assert refusal(read(HOST.public_data), expected) == reason


@pytest.mark.parametrize("policy", HostKeyPolicy)
def test_a_certificate_stands_for_its_key_even_where_another_was_known(policy: HostKeyPolicy) -> None:
    expected = Expected(policy, frozenset({key_line(OTHER)}), (vouched(CA),))
    assert judge_key(certified(), expected, NOW).certified


@pytest.mark.parametrize("policy", HostKeyPolicy)
@pytest.mark.parametrize("revoked", [HOST, CA])
def test_what_is_revoked_is_never_taken(policy: HostKeyPolicy, revoked: asyncssh.SSHKey) -> None:
    expected = Expected(policy, frozenset({key_line(HOST)}), (vouched(CA),), frozenset({revoked.get_fingerprint()}))
    assert refusal(certified(), expected) == "HOST_KEY_REVOKED"
    if revoked is HOST:
        assert refusal(read(HOST.public_data), expected) == "HOST_KEY_REVOKED"


BAD = {
    "expired": (certified(), END, "its certificate has expired on 2027-01-15 08:00 UTC"),
    "not yet valid": (certified(), BEGIN - 1, "its certificate is not valid before 2023-11-14 22:13 UTC"),
    "wrong name": (certified(names=("db.example",)), NOW, "its certificate is for db.example, not for web.example"),
    "nobody's": (certified(names=()), NOW, "its certificate is for nobody, not for web.example"),
    "unknown CA": (
        certified(STRANGE_CA),
        NOW,
        f"its certificate is signed by an unknown CA, {STRANGE_CA.get_fingerprint()}",
    ),
    "a user's": (certified(user=True), NOW, "its certificate is a user's, not a host's"),
    "SHA-1": (
        certified(RSA_CA, sig="ssh-rsa"),
        NOW,
        "its certificate is signed with SHA-1, which takes the profile legacy",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_certificate_that_does_not_stand_is_as_good_as_none(bad: str) -> None:
    shown, now, why = BAD[bad]
    authorities = (vouched(CA), vouched(RSA_CA))
    for policy in (PINNED, TOFU):
        judged = judge_key(shown, Expected(policy, authorities=authorities), now)
        assert judged.refusal == ("HOST_KEY_UNKNOWN", f"{HOST.get_fingerprint()}; {why}")
        judged = judge_key(shown, Expected(policy, frozenset({key_line(OTHER)}), authorities), now)
        assert judged.refusal == ("HOST_KEY_CHANGED", f"now {HOST.get_fingerprint()}; {why}")
        judged = judge_key(shown, Expected(policy, frozenset({key_line(HOST)}), authorities), now)
        assert (judged.refusal, judged.certified, judged.fault) == (None, False, why)
    judged = judge_key(shown, Expected(ANY, authorities=authorities), now)
    assert (judged.refusal, judged.certified, judged.fault) == (None, False, why)


def test_a_ca_answers_only_for_the_names_for_which_it_is_known() -> None:
    expected = Expected(TOFU, authorities=(vouched(CA, "db.example"), vouched(STRANGE_CA, NAME)))
    assert refusal(certified(), expected) == "HOST_KEY_UNKNOWN"


def test_sha1_counts_in_the_legacy_profile() -> None:
    expected = Expected(PINNED, authorities=(vouched(RSA_CA),), crypto=CryptoProfile.LEGACY)
    assert judge_key(certified(RSA_CA, sig="ssh-rsa"), expected, NOW).certified
    strict = Expected(PINNED, authorities=(vouched(RSA_CA),), crypto=CryptoProfile.MODERN)
    assert judge_key(certified(RSA_CA, sig="rsa-sha2-512"), strict, NOW).certified


@pytest.mark.parametrize("principal", ["*.example", "WEB.example", "we?.example"])
def test_principals_are_patterns_without_case(principal: str) -> None:
    assert judge_key(certified(names=(principal,)), Expected(PINNED, authorities=(vouched(CA),)), NOW).certified


def test_no_first_use_where_a_ca_answers_for_the_host() -> None:
    expected = Expected(TOFU, authorities=(vouched(CA, "a", "b"), vouched(OTHER, "b")))
    judged = judge_key(read(HOST.public_data), expected, NOW)
    told = f"{HOST.get_fingerprint()}; it shows no certificate, and a CA is known for a, b"
    assert judged.refusal == ("HOST_KEY_UNKNOWN", told)
    assert refusal(read(HOST.public_data), Expected(ANY, authorities=(vouched(CA),))) is None


def test_a_certificate_that_nobody_has_signed() -> None:
    data = bytearray(CA.generate_host_certificate(HOST, "web", principals=[NAME]).public_data)
    data[-1] ^= 1
    with pytest.raises(ValueError, match="the host key cannot be read: Invalid OpenSSH certificate"):
        read(bytes(data))
    with pytest.raises(ValueError, match="the host key cannot be read"):
        read(b"nonsense")


NEGATIVE = String("ssh-rsa") + MPInt(65537) + MPInt(-(1 << 2047) - 1)


@pytest.mark.parametrize("data", [NEGATIVE, String("ssh-dss") + MPInt(-3) * 4], ids=["RSA", "DSA"])
def test_a_key_of_numbers_below_zero(data: bytes) -> None:
    """cryptography has OverflowError for them, and asyncssh nothing."""
    with pytest.raises(ValueError, match="the host key cannot be read"):
        read(data)
    witness = Witness(Expected(ANY), [])
    with pytest.raises(ValueError, match="the host key cannot be read"):
        witness.host_key_shown(data)
    assert witness.refusal is not None
    assert witness.refusal[0] == "SSH_PROTOCOL"


def test_a_certificate_in_a_line() -> None:
    shown = certified(names=("a", "b"))
    assert shown.certificate is not None
    until = f"{datetime.fromtimestamp(END, UTC):%Y-%m-%d %H:%M} UTC"
    assert describe(shown.certificate) == f"'web' for a, b, signed by {CA.get_fingerprint()}, valid until {until}"
    forever = read(CA.generate_host_certificate(HOST, "web\x1b[2J", principals=["a"]).public_data)
    assert forever.certificate is not None
    assert describe(forever.certificate).endswith("valid until the end of time")
    assert describe(forever.certificate).isprintable()
