"""known_hosts files as OpenSSH writes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.contract import Target
from orchestrator.known_hosts import KnownHosts, KnownHostsError
from targets.material import public_line

ONE, TWO = public_line(b"1" * 32), public_line(b"2" * 32)


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


@pytest.mark.parametrize("line", ["10.0.0.1", "@nonsense 10.0.0.1 ssh-ed25519 AAAA"])
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(KnownHostsError, match=re.escape(f"{tmp_path}/known_hosts:2: ")):
        read(tmp_path, f"10.0.0.9 {ONE}\n{line}\n")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(KnownHostsError, match="No such file"):
        KnownHosts.read(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KnownHostsError, match="not UTF-8"):
        KnownHosts.read(tmp_path / "binary")
