"""A stand-alone appliance's file: damaged, told with the field, never with a value that could be a secret; and which
interface its vault has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.login.dial import Sources
from appliance.settings import Settings, SettingsError, write_template
from targets.secret_server import tls

HEAD = 'name = "a"\nnetworks = ["127.0.0.0/8"]\n[bus]\nurl = "nats://127.0.0.1:1"\nseed = "SUSECRET"\n'
VAULT = '[[vaults]]\ntitle = "V"\nuser = "u"\n'
URL = f'{VAULT}url = "u"\n'
TWICE = "[vaults.password.SUSECRET]\n"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("hunter2\n")
    (tmp_path / "binary").write_bytes(b"\xffhunter2")
    return tmp_path / "appliance.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zone = 1\nname =", ":2: file: is not valid TOML: Invalid value at the end of the file; correct it"),
        ('name = "a"\nname = "b"', ":2: file: is not valid TOML: Cannot overwrite a value at "),
        ("capacity = " + "1" * 5000, ":1: file: is not valid TOML: a number or date in it is out of range"),
        ("capacity = " + "[" * 5000, ":1: file: is nested too deeply"),
        (HEAD.replace('"SUSECRET"', "3"), ":5: bus.seed: must be text in quotes"),
        (HEAD + "sead = 1\n", ":6: bus.sead: is no known key; did you mean seed? Known here: ca, seed, token, url"),
        ("capcity = 3\n" + HEAD, ":1: capcity: is no known key; did you mean capacity?"),
        ('capacity = "many"\n' + HEAD, ":1: capacity: "),
        ("capacity = 0\n" + HEAD, ":1: capacity: must be at least 1"),
        (HEAD.replace('name = "a"\n', ""), ":1: name: is missing; add it"),
        ('name = "a"\nnetworks = []', ":2: networks: must not be empty"),
        (HEAD.replace('seed = "SUSECRET"', ""), ":3: bus.seed: is missing; add it"),
        (HEAD.replace("/8", "/99"), ":2: networks[0]: value is not a valid IPv4 or IPv6 network; correct it"),
        (f"{HEAD}{VAULT}ulr = 1\n", ":9: vaults[0].ulr: is no known key; did you mean url?"),
        (
            f'{HEAD}{URL}password = "SUSECRET"\n',
            ":10: vaults[0].password: the password itself must not",
        ),
        (
            f"{HEAD}{URL}password = {{ SUSECRET = 1 }}\n",
            ":10: vaults[0].password: the password itself must",
        ),
        (
            f"{HEAD}{URL}tls = {{ verfy = false }}\n",
            ":10: vaults[0].tls.verfy: is no known key; did you mean",
        ),
        (
            f"{HEAD}{URL}tls = {{ pin = {{ x = 1 }} }}\n",
            ":10: vaults[0].tls.pin: ",
        ),
        (HEAD + "SUSECRET = 1\n", ": bus: holds a key that is not known; remove it. Known here: ca, seed, token, url"),
        (
            f"{HEAD}{URL}password = {{ SUSECRET = 1, SUSECRET = 2 }}\n",
            ":10: file: is not valid TOML: a key or table is there twice at column 40; a key may be given once",
        ),
        (f"{HEAD}{URL}{TWICE}{TWICE}", ":11: file: is not valid TOML: a key or table is there twice"),
    ],
)
def test_a_file_that_cannot_be_used(written: Path, text: str, said: str) -> None:
    written.write_text(text)
    with pytest.raises(SettingsError) as caught:
        Settings.load(str(written))
    assert said in str(caught.value)
    assert str(written) in str(caught.value)
    assert "SUSECRET" not in str(caught.value)


def test_a_file_that_is_no_text(written: Path) -> None:
    with pytest.raises(SettingsError, match="binary:1: file: is not UTF-8 text"):
        Settings.load(str(written.with_name("binary")))


def test_every_fault_is_told_at_once(written: Path) -> None:
    written.write_text("capcity = 3\n" + HEAD + "sead = 1\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load(str(written))
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [f"{written}:1", f"{written}:7"]


def test_a_password_in_the_environment_that_is_no_text(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", os.fsdecode(b"hunter2\xe9"))
    written.write_text(f'{HEAD}{VAULT}url = "https://v"\npassword = {{ env = "VAULT_PASSWORD" }}\n')
    with pytest.raises(SettingsError, match="cannot read VAULT_PASSWORD in the environment: it is not UTF-8") as caught:
        Settings.load(str(written)).own_logins()
    assert "hunter2" not in str(caught.value)
    assert "VAULT_PASSWORD" not in os.environ


def test_a_byte_order_mark_is_no_fault(written: Path) -> None:
    written.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert Settings.load(str(written)).name == "a"


def test_a_file_that_finds_no_room_is_not_left_behind(tmp_path: Path) -> None:
    limit = f'ulimit -f 0; trap "" XFSZ; exec {sys.executable} -m appliance init "{tmp_path}/a.toml" --name a'
    done = subprocess.run(["sh", "-c", limit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot write {tmp_path}/a.toml: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "a.toml").exists()


@pytest.mark.parametrize(
    ("url", "password", "more", "said"),
    [
        ("https://v", "none", "", "cannot read the password file .*none: No such file"),
        ("https://v", "binary", "", "cannot read the password file .*binary.*: it is not UTF-8"),
        ("https://v", "a\\u0000b", "", "cannot read the password file .*: it is not UTF-8"),
        ("https://v", "password", 'tls = {{ ca = "/none" }}', "cannot read the CA file /none: No such file"),
        (
            "https://v",
            "password",
            'tls = {{ ca = "{0}/binary" }}',
            "read the CA file .*binary.*: it is not UTF-8",
        ),
        ("http://vault.example", "password", "", "vault 'V': url: the vault's URL must begin with https"),
        ("https://[v", "password", "", "vault 'V': url: the vault's URL must be https"),
        ("https://svc:Hunt/er@vault/x", "password", "", "vault 'V': url: the vault's URL must be https://HOST[^']*$"),
        ("https://svc:HUNTER\u2100@v", "password", "", "vault 'V': url: the vault's URL must be https://HOST[^']*$"),
        ("https://v", "password", 'proxy = "http://p:Hunter"', "vault 'V': proxy: the proxy's URL must be [^']*$"),
        ("https://v", "password", 'proxy = "ftp://p"', "vault 'V': proxy: the proxy's URL must be"),
    ],
)
def test_a_vault_that_cannot_be_used(written: Path, url: str, password: str, more: str, said: str) -> None:
    directory = written.parent
    file = f'password = {{ file = "{directory}/{password}" }}'
    written.write_text(f'{HEAD}{VAULT}url = "{url}"\n{file}\n{more.format(directory)}\n')
    settings = Settings.load(str(written))
    with pytest.raises(SettingsError, match=said) as caught:
        settings.own_logins()
    assert "hunter2" not in str(caught.value)


def made(state: Path, monkeypatch: pytest.MonkeyPatch, vault: str) -> Path:
    """A file as `appliance init` writes it, with a line in its vault."""
    monkeypatch.setenv("KEYMUSTER_VAULT_PASSWORD", "KMS-made-up")
    file = state / "appliance.toml"
    write_template(str(file), "dmz-1", "default")
    file.write_text(f"{file.read_text(encoding='utf-8')}{vault}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "api"), [("", "rest"), ('api = "rest"', "rest"), ('api = "soap"', "soap"), ('api = "auto"', "auto")]
)
def test_a_vault_is_spoken_to_as_its_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, api: str
) -> None:
    [login] = Settings.load(str(made(tmp_path, monkeypatch, line))).own_logins()
    assert login.access.api == api


def test_a_vault_is_spoken_to_in_no_other_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path, monkeypatch, 'api = "graphql"')
    with pytest.raises(SettingsError, match=r"vaults\[0\]\.api: must be one of 'rest', 'soap' or 'auto'"):
        Settings.load(str(file))


PIN = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_tls_is_said_as_in_a_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tls.make_client(tmp_path)
    keys = f'client_cert = "{own.certificate}", client_key = {{ file = "{own.key}" }}'
    line = f'tls = {{ ca = "{own.ca}", verify = false, pin = "{PIN}", {keys} }}'
    [login] = Settings.load(str(made(tmp_path, monkeypatch, line))).own_logins()
    read = login.access.tls
    assert (read.ca, read.verify, read.pins) == (own.ca.read_text(encoding="ascii"), False, (PIN,))
    assert read.client_cert == own.certificate.read_text(encoding="ascii")
    assert read.client_key.get_secret_value() == own.key.read_text(encoding="ascii")
    read.context()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('tls = { pin = "sha256//x" }', "vault 'Secret Server Vault': tls.pin: is no pin; write sha256//"),
        ('tls = { client_cert = "c" }', r"vaults\[0\]\.tls: client_cert and client_key go together"),
        (
            'tls = { client_cert = "{0}/none", client_key = { file = "{0}/client-key.pem" } }',
            "cannot read the client certificate .*/none",
        ),
        (
            'tls = { client_cert = "{0}/client.pem", client_key = { file = "{0}/none" } }',
            "cannot read the client key file .*/none",
        ),
        (
            'tls = { client_cert = "{0}/client-ca.pem", client_key = { file = "{0}/client-key.pem" } }',
            "vault 'Secret Server Vault': tls.client_cert: does not belong to the client key",
        ),
        (
            'tls = { client_cert = "{0}/client.pem", client_key = { file = "{0}/client.pem" } }',
            "vault 'Secret Server Vault': tls.client_key: is no private key in PEM form",
        ),
    ],
)
def test_tls_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str) -> None:
    tls.make_client(tmp_path)
    file = made(tmp_path, monkeypatch, line.replace("{0}", str(tmp_path)))
    with pytest.raises(SettingsError, match=said):
        Settings.load(str(file)).own_logins()


@pytest.mark.parametrize(
    ("source", "sources"),
    [
        ('"10.0.0.5"', Sources(v4="10.0.0.5")),
        ('"2001:DB8::5"', Sources(v6="2001:db8::5")),
        ('["2001:db8::5", "10.0.0.5"]', Sources("10.0.0.5", "2001:db8::5")),
        ("[]", Sources()),
    ],
)
def test_what_targets_are_dialled_from(written: Path, source: str, sources: Sources) -> None:
    written.write_text(f"source = {source}\n{HEAD}")
    assert Settings.load(str(written)).identity().sources == sources


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('"eth0"', "source: value is not a valid IPv4 or IPv6 address"),
        ("7", "source: must be a list, in square brackets"),
        ('["10.0.0.5", "10.0.0.6"]', "source: names two addresses of one family; name one of IPv4"),
        ('"0.0.0.0"', "source: 0.0.0.0 is no address to dial from; name one that an interface has"),
        ('"fe80::1%eth0"', "source: fe80::1%eth0 is no address to dial from"),
    ],
)
def test_what_nobody_can_dial_from(written: Path, source: str, said: str) -> None:
    written.write_text(f"source = {source}\n{HEAD}")
    with pytest.raises(SettingsError) as caught:
        Settings.load(str(written))
    assert said in str(caught.value)


def test_plain_http_by_leave_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path, monkeypatch, "tls = { plain_http = true }")
    file.write_text(file.read_text(encoding="utf-8").replace("https://", "http://"), encoding="utf-8")
    [login] = Settings.load(str(file)).own_logins()
    assert login.access.url == "http://vault.example/SecretServer"
