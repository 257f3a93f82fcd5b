"""A campaign file with a fault: the file, the line, the field, and what to do; nothing is begun."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from targets.secret_server import tls
from tests.acceptance.product import Product
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, VAULT, Write, line_of
from tests.cli.refusals import here, refused
from tests.schemas import conforms

pytestmark = pytest.mark.slow

FAULTS = {
    "unknown key": (
        (VAULT, RECORD + 'colour = "red"\n', TARGETS),
        "colour",
        "records[0].colour: is no known key; remove it or correct it. Known here: accounts,",
    ),
    "bad CIDR in a record": (
        (VAULT, RECORD.replace("127.9.0.1", "127.9.0.0/33"), TARGETS),
        "/33",
        "records[0].ips[0]: '127.9.0.0/33' is no CIDR block; write for example 10.0.0.0/24",
    ),
    "bad CIDR in the targets": (
        (VAULT, RECORD, TARGETS.replace("127.9.0.1", "127.9.0.1/x")),
        "/x",
        "targets.include[0]: '127.9.0.1/x' is no CIDR block; write for example 10.0.0.0/24",
    ),
    "record without vault": (
        (VAULT, RECORD.replace('vault = "V"\n', ""), TARGETS),
        "[[records]]",
        "records[0].vault: is missing; add it",
    ),
    "record with a vault that is not there": (
        (VAULT, RECORD.replace('vault = "V"', 'vault = "W"'), TARGETS),
        '"W"',
        "records[0].vault: there is no vault 'W'; name one of this file's [[vaults]] by its title ('V')",
    ),
    "two Unix records for one address": (
        (VAULT, RECORD, RECORD.replace('"Unix"', '"Unix 2"').replace("127.9.0.1", "127.9.0.0/30"), TARGETS),
        "/30",
        "records[1].ips: record 'Unix 2' (records[1]) and record 'Unix' (records[0]) both claim 127.9.0.1",
    ),
    "http off this machine": (
        (VAULT.replace("http://127.0.0.1:9", "http://vault.example"), RECORD, TARGETS),
        "vault.example",
        "vaults[0].url: begins with http://: the vault's password and every secret would cross the network in clear",
    ),
    "no pin": (
        (VAULT.replace("http:", "https:") + 'tls = { pin = "sha256:00ff" }\n', RECORD, TARGETS),
        "sha256:00ff",
        'vaults[0].tls.pin: is no pin; write "sha256//" and the base64 of the SHA-256 of the vault\'s public key',
    ),
    "basic": (
        (VAULT, RECORD + 'login_type = "basic"\n', TARGETS),
        "basic",
        "records[0].login_type: basic is refused: it would put the target's password into this file",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_line(keymuster: Product, write: Write, fault: str) -> None:
    parts, where, text = FAULTS[fault]
    file = write(*parts)
    refused(here("run", file, "--state", keymuster.state), f"keymuster: {file}:{line_of(file, where)}: {text}")
    assert not keymuster.state.exists()


def test_every_fault_is_told_at_once(keymuster: Product, write: Write) -> None:
    file = write(
        VAULT, RECORD.replace("127.9.0.1", "127.9.0.0/33") + "colour = 1\n", TARGETS.replace("9.0.1", "9.0.1/x")
    )
    ended = keymuster("run", file, env=PASSWORD)
    refused(ended, f":{line_of(file, '/33')}: ", f":{line_of(file, 'colour')}: ", f":{line_of(file, '/x')}: ")
    assert ended.stderr.count(f"keymuster: {file}:") == len(ended.stderr.splitlines()) == 3
    assert not keymuster.state.exists()


def test_toml_that_cannot_be_read(write: Write) -> None:
    file = write(VAULT, RECORD, "[targets\n")
    refused(here("run", file), f"keymuster: {file}:{line_of(file, '[targets')}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(here("run", tmp_path / "none.toml"), "none.toml", "No such file or directory; check the path")
    refused(here("run", tmp_path), "Is a directory; check the path")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_bytes(b"name = \xff\xfe")
    refused(here("run", file), str(file))


def test_nothing_is_selected(keymuster: Product, write: Write) -> None:
    file = write(VAULT, RECORD, TARGETS + 'exclude = ["127.9.0.0/24"]\n')
    refused(keymuster("run", file, env=PASSWORD), "correct [targets] exclude", code=5)
    assert "there is no run in" in keymuster("runs").stderr
    refused(here("plan", file), "correct [targets] exclude", code=5)


def test_config_check(keymuster: Product, write: Write) -> None:
    good = keymuster.stateless("config", "check", write())
    assert (good.code, good.stdout) == (0, "")
    assert "no fault found" in good.stderr
    refused(here("config", "check", write(VAULT, RECORD + "colour = 1\n", TARGETS)), "records[0].colour")


@pytest.mark.parametrize(
    ("certificate", "key", "field", "text"),
    [
        ("none.pem", "client-key.pem", "client_cert", "cannot be read: No such file or directory; check the path"),
        ("client-key.pem", "client-key.pem", "client_cert", "holds no certificate in PEM form"),
        ("expired.pem", "expired-key.pem", "client_cert", "expired on 20"),
        ("client-ca.pem", "client-key.pem", "client_cert", "does not belong to the client key"),
        ("client.pem", "none.pem", "client_key", "vault 'V': cannot read the client key file"),
        ("client.pem", "client.pem", "client_key", "is no private key in PEM form"),
    ],
)
def test_config_check_reads_the_client_certificate(
    keymuster: Product, write: Write, tmp_path: Path, certificate: str, key: str, field: str, text: str
) -> None:
    tls.make_client(tmp_path)
    expired = tls.new_key()
    (tmp_path / "expired-key.pem").write_bytes(tls.pem(expired))
    made = tls.Authority("CA").client("c", expired, valid=timedelta(hours=-1))
    (tmp_path / "expired.pem").write_bytes(made.public_bytes(Encoding.PEM))

    def with_key(reference: str) -> Path:
        table = f'client_cert = "{certificate}"\nclient_key = {reference}\n'
        return write(VAULT.replace("http:", "https:") + f"[vaults.tls]\n{table}", RECORD, TARGETS)

    file = with_key(f'{{ file = "{key}" }}')
    refused(here("config", "check", file), f"{file}:{line_of(file, field + ' ')}: vaults[0].tls.{field}: {text}")
    refused(
        keymuster("run", file, env=PASSWORD),
        "vault 'V': ",
        "client key" if field == "client_key" else "client certificate",
    )
    # Where its key is not in a file the certificate is looked at alone.
    by_itself = here("config", "check", with_key('{ env = "KEYMUSTER_TEST_KEY" }'))
    assert (by_itself.code == 2) is (certificate in ("none.pem", "client-key.pem", "expired.pem"))


def test_config_check_as_json(write: Write, tmp_path: Path) -> None:
    file = write(VAULT, RECORD.replace("127.9.0.1", "127.9.0.0/33") + "colour = 1\n", TARGETS)
    bad = here("config", "check", file, "--json")
    assert (bad.code, bad.stderr) == (2, "")
    conforms(bad.document, "config-check")
    assert [(p["file"], p["line"], p["field"]) for p in bad.document["problems"]] == [
        (str(file), line_of(file, "/33"), "records[0].ips[0]"),
        (str(file), line_of(file, "colour"), "records[0].colour"),
    ]
    assert bad.document["problems"][0]["text"].startswith("'127.9.0.0/33' is no CIDR block; write for")
    good = here("config", "check", write(), "--json")
    assert (good.code, good.stderr) == (0, "")
    assert good.document == {"schema_version": 1, "file": str(file), "ok": True, "problems": []}
    missing = here("config", "check", tmp_path / "none", "--json")
    assert missing.code == 2
    conforms(missing.document, "config-check")
    assert [p["text"] for p in missing.document["problems"]] == [
        "cannot be read: No such file or directory; check the path"
    ]
