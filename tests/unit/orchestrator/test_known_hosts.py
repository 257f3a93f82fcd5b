"""known_hosts files as OpenSSH writes them."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import MPInt, String

from appliance.contract import Target
from orchestrator.known_hosts import MAX_REVOKED, HostMarks, KnownHosts, KnownHostsError
from targets.material import public_line

ONE, TWO = public_line(b"1" * 32), public_line(b"2" * 32)
_BLOB = String("ssh-rsa") + MPInt(65537) + String(b"\x80" + bytes(254) + b"\x01")
NEGATIVE = f"ssh-rsa {base64.b64encode(_BLOB).decode()}"
"""An RSA key whose modulus has its sign bit set."""


def read(directory: Path, text: str) -> KnownHosts:
    file = directory / "known_hosts"
    file.write_text(text)
    return KnownHosts.read(file)


def test_keys_are_found_by_address_name_and_port(tmp_path: Path) -> None:
    known = read(
        tmp_path, f"# ours\n\n10.0.0.1,web.example {ONE} a comment\n[10.0.0.2]:2222 {TWO}\n*.dmz.example {TWO}\n"
    )
    assert known.of(Target(address="10.0.0.1"), 22) == [ONE]
    assert known.of(Target(address="10.9.9.9", fqdn="web.example"), 22) == [ONE]
    assert known.of(Target(address="10.0.0.2"), 2222) == [TWO]
    assert known.of(Target(address="10.0.0.2"), 22) == []
    assert known.of(Target(address="db.dmz.example"), 22) == [TWO]
    assert known.of(Target(address="10.0.0.3"), 22) == []


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_hashed_names_are_found(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"10.0.0.1 {ONE}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True, timeout=30)
    assert "10.0.0.1" not in file.read_text()
    assert KnownHosts.read(file).of(Target(address="10.0.0.1"), 22) == [ONE]


def test_certificate_authorities_are_no_keys_of_hosts(tmp_path: Path) -> None:
    known = read(tmp_path, f"@cert-authority * {ONE}\n@revoked * {TWO}\n")
    assert known.of(Target(address="10.0.0.1"), 22) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("10.0.0.1", "it lacks a host, a type of key or a key"),
        (f"@cert-authority {ONE}", "it lacks a host, a type of key or a key"),
        (f"@nonsense 10.0.0.1 {ONE}", "the marker @nonsense is none of @cert-authority and @revoked"),
        ("10.0.0.1 ssh-ed25519 AAAA*", "its ssh-ed25519 key is no base64"),
        ("10.0.0.1 ssh-ed25519 AAAA", "its key is not of the type ssh-ed25519, or cut short"),
        (f"10.0.0.1 {ONE[:-12]}", "its ssh-ed25519 key is damaged"),
        (f"10.0.0.1 {NEGATIVE}", "its ssh-rsa key is damaged"),
        (f"@revoked 10.0.0.1 {NEGATIVE}", "its ssh-rsa key is damaged"),
        (f"10.0.0.1 {ONE.replace('ssh-ed25519', 'ssh-rsa')}", "its key is not of the type ssh-rsa, or cut short"),
        ("10.0.0.1 1024 35 1234567890", "it has a key of SSH 1, which is not spoken"),
        ("10.0.0.1 ssh-ed25519-cert-v01@openssh.com AAAA", "it has a certificate; what is wanted is its CA's key"),
        (f"|1|salt {ONE}", "Invalid known hosts hash entry"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(KnownHostsError, match=re.escape(f"{tmp_path}/known_hosts:2: {why}")) as caught:
        read(tmp_path, f"10.0.0.9 {ONE}\n{line}\n")
    assert "correct the line, or take it out" in str(caught.value)
    assert caught.value.line == 2


def test_a_type_of_key_that_we_do_not_know_is_passed_over(tmp_path: Path) -> None:
    kind = b"ssh-quantum"
    key = base64.b64encode(len(kind).to_bytes(4, "big") + kind + b"whatever").decode()
    known = read(tmp_path, f"10.0.0.1 {kind.decode()} {key}\n@revoked * {kind.decode()} {key}\n10.0.0.1 {ONE}\n")
    assert known.of(Target(address="10.0.0.1"), 22) == [ONE]


def test_a_ca_answers_for_the_names_that_its_pattern_takes(tmp_path: Path) -> None:
    lines = (f"@cert-authority *.example,!bad.example {ONE} the CA", f"@cert-authority [10.0.0.1]:2222 {TWO}")
    known = read(tmp_path, "\n".join(lines))
    target = Target(address="10.0.0.1", fqdn="web.example", host="web")

    def authorities(target: Target, port: int) -> list[tuple[str, tuple[str, ...]]]:
        return [(ca.key, ca.names) for ca in HostMarks(known.marks).of(target, port).authorities]

    assert authorities(target, 22) == [(ONE, ("web.example",))]
    assert authorities(target, 2222) == [(ONE, ("web.example",)), (TWO, ("10.0.0.1",))]
    assert authorities(Target(address="10.0.0.1", fqdn="bad.example"), 22) == []


def test_revoked_keys_are_told_by_their_fingerprints(tmp_path: Path) -> None:
    known = read(tmp_path, f"@revoked * {ONE}\n@revoked 10.0.0.1 {TWO}\n@revoked 10.0.0.1 {TWO}\n")
    marks = HostMarks(known.marks)
    fingerprints = [asyncssh.import_public_key(key).get_fingerprint() for key in (ONE, TWO)]
    assert marks.of(Target(address="10.0.0.1"), 22).revoked == fingerprints
    assert marks.of(Target(address="10.0.0.2"), 22).revoked == fingerprints[:1]


def test_more_revoked_keys_than_a_job_can_carry(tmp_path: Path) -> None:
    with pytest.raises(KnownHostsError, match=f"more than {MAX_REVOKED} @revoked lines"):
        read(tmp_path, f"@revoked * {ONE}\n" * (MAX_REVOKED + 1))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(KnownHostsError, match="No such file"):
        KnownHosts.read(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KnownHostsError, match="not UTF-8"):
        KnownHosts.read(tmp_path / "binary")
