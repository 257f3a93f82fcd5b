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
        ("srv01.log srv01-old _srv01_ x-SRV01. srv01x", "host-1.log host-1-old _host-1_ x-host-1. srv01x"),
        (
            "10.1.2.3-10.9.9.9 and 10.1.2.3.443, /tmp/10.1.2.3.log",
            "address-1-address-2 and address-1.443, /tmp/address-1.log",
        ),
        ("dial 2001:db8::5: refused by 2001:DB8::5.", "dial address-2: refused by address-2."),
        (
            "from=[2001:db8::5]:22, 2001:db8::/64: and fe80::1%eth0",
            "from=[address-2]:22, address-3/64: and address-4%eth0",
        ),
        ("at 22:08:03: std::bad, a:b, :", "at 22:08:03: std::bad, a:b, :"),
        (r"Welcome to\nsrv01\r\n10.1.2.3\x1bsvc_scan", r"Welcome to\nhost-1\r\naddress-1\x1buser-1"),
        (r"Welcome\tWindows servers (Berlin)\n2001:db8::5\u202eSRV01.", r"Welcome\trecord-1\naddress-2\u202ehost-1."),
        ('{"user": "CORP\\\\j.doe"}', '{"user": "user-2"}'),
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


@pytest.mark.parametrize("text", ["Straße 1", "STRASSE 1", "straße 1", "Stra\\u00dfe 1", "(Straße 1)"])
def test_a_title_is_found_however_its_letters_are_written(text: str) -> None:
    names = Pseudonyms()
    names.of(Kind.RECORD, "Straße 1")
    assert names.text(text).strip("()") == "record-1"


def test_letters_that_are_composed_or_not_are_the_same() -> None:
    names = Pseudonyms()
    names.of(Kind.HOST, "M\u00fcller")
    names.of(Kind.RECORD, "Mu\u0308ller 2")
    assert names.text("Mu\u0308ller, M\u00fcller 2") == "host-1, record-1"


@pytest.mark.parametrize(
    "text", ["w\u0131ndows servers", "W\u0130NDOWS servers", "\u212aelvin x", "\u0130 windows servers"]
)
def test_letters_whose_case_is_odd_break_nothing(text: str) -> None:
    names = Pseudonyms()
    names.of(Kind.RECORD, "windows servers")
    names.of(Kind.RECORD, "kelvin x")
    assert isinstance(names.text(text), str)


def test_a_pseudonym_is_not_renamed() -> None:
    names = Pseudonyms()
    names.of(Kind.PATH, "/srv/x")
    names.of(Kind.HOST, "path")
    names.of(Kind.HOST, "1")
    assert names.text("/srv/x.log") == "path-1.log"


def test_many_names_and_long_lines_take_no_time_to_speak_of() -> None:
    """A secret per host; and what was once tried at each of a line's places, or in each of its halves."""
    names = Pseudonyms()
    for number in range(20_000):
        names.of(Kind.SECRET, f"\\Linux\\corp\\host{number}")
    line = "2026-11-25 12:33:22 read \\Linux\\Corp\\host7 for 10.9.9.9 and others\n"
    shown = names.text(line * 5_000)
    assert "host7" not in shown
    assert "secret-8" in shown
    assert names.text(":" * 50_000 + "g") == ":" * 50_000 + "g"


@given(st.text(), st.text(min_size=1))
def test_any_text_can_be_read(text: str, name: str) -> None:
    names = Pseudonyms()
    names.of(Kind.HOST, name)
    names.text(text + name)
