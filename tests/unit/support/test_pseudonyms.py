from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.support.pseudonyms import LONG, SAID_OF_ALL, Kind, Pseudonyms


def known() -> Pseudonyms:
    names = Pseudonyms()
    names.of(Kind.HOST, "SRV01")
    names.of(Kind.DOMAIN, "corp.example")
    names.of(Kind.USER, "svc_scan")
    names.of(Kind.RECORD, "Windows servers (Berlin)")
    names.of(Kind.USER, "CORP\\j.doe")
    names.of(Kind.ADDRESS, "10.1.2.3")
    names.of(Kind.PATH, "/home/jane/state")
    return names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login of svc_scan at srv01 refused", "login of user-1 at host-1 refused"),
        ("SRV01.corp.example: no answer", "host-1.domain-1: no answer"),
        ("other.corp.example.", "host-2.domain-1."),
        ("record Windows Servers (berlin) serves it", "record record-1 serves it"),
        ("user corp\\J.Doe is locked", "user user-2 is locked"),
        ("dial 10.1.2.3:445", "dial address-1:445"),
        ("dial 10.9.9.9, then [fe80::1%eth0]", "dial address-2, then [address-3%eth0]"),
        ("reading /home/jane/state/appliance.log", "reading path-1/appliance.log"),
        ("SHA256:" + "A" * 43, "SHA256:" + LONG),
        ("asyncssh.misc.PermissionDenied at 22:08:03.72", "asyncssh.misc.PermissionDenied at 22:08:03.72"),
        ("root at 127.0.0.1", "root at 127.0.0.1"),
        ("svc_scanner is another", "svc_scanner is another"),
    ],
)
def test_names_in_running_text(text: str, shown: str) -> None:
    assert known().text(text) == shown


def test_a_name_has_one_pseudonym_whatever_its_case_or_kind() -> None:
    names = Pseudonyms()
    assert names.of(Kind.HOST, "srv") == names.of(Kind.SECRET, "SRV") == "host-1"
    assert names.of(Kind.HOST, "other") == "host-2"
    assert names.of(Kind.USER, "") == ""


NAMES = st.text(string.ascii_letters + string.digits + "._-\\ @äß/", min_size=5, max_size=20).map(str.strip)


@given(st.lists(NAMES.filter(lambda n: len(n) > 4 and n.casefold() not in SAID_OF_ALL), min_size=1, max_size=6))
def test_no_known_name_is_left_where_it_stands_by_itself(given_names: list[str]) -> None:
    names = Pseudonyms()
    for number, name in enumerate(given_names):
        names.of(list(Kind)[number % len(Kind)], name)
    shown = names.text("; ".join(f"<{name.upper()}>" for name in given_names)).casefold()
    assert all(f"<{name.casefold()}>" not in shown for name in given_names)
