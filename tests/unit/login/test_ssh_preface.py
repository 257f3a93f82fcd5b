from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import PEER_TEXT_LIMIT
from appliance.login.ssh_preface import LIMIT, Identification, Preface, Refusal


def test_identification_hands_on_all_bytes() -> None:
    verdict = Preface().feed(b"SSH-2.0-OpenSSH_9.2p1\r\n\x00\x00\x05\xdcrest")
    assert verdict == Identification("SSH-2.0-OpenSSH_9.2p1", b"SSH-2.0-OpenSSH_9.2p1\r\n\x00\x00\x05\xdcrest")


def test_identification_byte_by_byte_after_other_lines() -> None:
    preface, data = Preface(), b"Welcome\r\nto this host\r\nSSH-2.0-x\r\n"
    verdicts = [preface.feed(data[i : i + 1]) for i in range(len(data))]
    assert verdicts[:-1] == [None] * (len(data) - 1)
    assert verdicts[-1] == Identification("SSH-2.0-x", data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"Not allowed at this time\r\n", "SSH_PENALTY"),
        (b"Exceeded MaxStartups\r\n", "SSH_THROTTLED"),
        (b"HTTP/1.1 400 Bad Request\r\n", "NOT_SSH"),
        (b"220 mail.example ESMTP\r\n", "NOT_SSH"),
        (b"220-Welcome\r\n", "NOT_SSH"),
        (b"+OK POP3 ready\r\n", "NOT_SSH"),
        (b"* OK IMAP4rev1\r\n", "NOT_SSH"),
        (b"<?xml version='1.0'?>\n", "NOT_SSH"),
        (b"<html>\n", "NOT_SSH"),
        (b"<!DOCTYPE html>\n", "NOT_SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "NOT_SSH"),
        (b"RFB 003.008\n", "NOT_SSH"),
        (b"x" * (LIMIT + 1), "NOT_SSH"),
        (b"line\n" * LIMIT, "NOT_SSH"),
        (b"SSH-" + b"x" * LIMIT, "NOT_SSH"),
    ],
)
def test_refusals_come_at_once(data: bytes, reason: str) -> None:
    verdict = Preface().feed(data)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == reason
    assert len(verdict.text.encode()) <= PEER_TEXT_LIMIT
    assert verdict.text.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"x" * LIMIT,
        b"SSH-" + b"x" * (LIMIT - 4),
        b"line\n" * (LIMIT // 5) + b"SSH-2.0-",  # words enough, and then its identification begins
    ],
)
def test_what_may_still_become_ssh_is_waited_for(data: bytes) -> None:
    assert Preface().feed(data) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", None), (b"SSH-2.0-half", None), (b"go away", "NOT_SSH"), (b"Exceeded MaxStartups", "SSH_THROTTLED")],
)
def test_what_a_hang_up_means(data: bytes, reason: str | None) -> None:
    preface = Preface()
    assert preface.feed(data) is None
    ended = preface.end()
    assert (ended.reason if ended else None) == reason


@given(
    st.lists(
        st.sampled_from(
            [b"SSH", b"-2.0-x", b"\r", b"\n", b"hello", b"HTTP/", b"Exceeded MaxStartups", b"\x00", b"\xff"]
        )
    )
)
def test_bytes_that_drip_are_judged_like_those_that_come_together(pieces: list[bytes]) -> None:
    """Up to the piece with which the verdict comes."""
    dripping, so_far = Preface(), b""
    for piece in pieces:
        so_far += piece
        for byte in range(len(piece)):
            verdict = dripping.feed(piece[byte : byte + 1])
            if verdict is not None:
                together = Preface().feed(so_far[: len(so_far) - len(piece) + byte + 1])
                assert together == verdict
                return
    assert Preface().feed(so_far) is None
