"""What a secret's private key is, and which of key and passphrase is told to be at fault where it cannot be had."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from functools import cache
from itertools import islice

import asyncssh
import pytest

from appliance.contract import Failure, Phase, named
from appliance.login.ssh_key import import_key
from appliance.vault.credential import Credential

KEY = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
PASSPHRASE = "Key-Pass-1"
FEW_ROUNDS = 50
"""Of its key derivation: the fewest that bcrypt does not warn of."""
FORMS = ("openssh", "pkcs1-pem", "pkcs8-pem")


@cache
def written(form: str, passphrase: str | None = PASSPHRASE, key: asyncssh.SSHKey = KEY) -> bytes:
    if passphrase is None:
        return key.export_private_key(form)
    return key.export_private_key(form, passphrase=passphrase, rounds=FEW_ROUNDS)


async def imported(data: bytes, passphrase: str = "") -> Failure | None:
    found = await import_key(Credential(private_key=data, passphrase=passphrase))
    if isinstance(found, Failure):
        assert found.phase is Phase.VAULT
        return found
    assert found.public_data in (KEY.public_data, RSA.public_data)
    return None


async def refused(data: bytes, passphrase: str = "") -> Failure:
    failure = await imported(data, passphrase)
    assert failure is not None
    return failure


# -- the passphrase ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [KEY, RSA], ids=["ec", "rsa"])
async def test_a_key_with_its_passphrase(form: str, key: asyncssh.SSHKey) -> None:
    assert await imported(written(form, key=key), PASSPHRASE) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("given", "text"), [("wrong", "the passphrase is wrong"), ("", "the passphrase is missing")])
async def test_a_key_without_its_passphrase(form: str, given: str, text: str) -> None:
    failure = await refused(written(form), given)
    assert (failure.signal, failure.text) == (named("SECRET_PASSPHRASE_WRONG"), text)


def unlucky(data: bytes) -> Iterator[str]:
    """Wrong passphrases whose padding looks right, one in 240: what they decrypt is noise."""
    for i in range(20_000):
        with pytest.raises(asyncssh.KeyImportError) as raised:
            asyncssh.import_private_key(data, f"wrong {i}")
        if "decrypt" not in str(raised.value):
            yield f"wrong {i}"


async def test_no_wrong_passphrase_of_a_pem_key_is_taken_for_a_damaged_key() -> None:
    data = written("pkcs1-pem")
    tried = list(islice(unlucky(data), 5))
    assert tried
    for passphrase in tried:
        assert (await refused(data, passphrase)).signal == named("SECRET_PASSPHRASE_WRONG")


@pytest.mark.parametrize("form", FORMS)
async def test_a_key_without_a_passphrase_needs_none(form: str) -> None:
    assert await imported(written(form, None)) is None
    assert await imported(written(form, None), PASSPHRASE) is None


async def test_a_cipher_that_is_unknown_is_not_the_passphrases_fault() -> None:
    """asyncssh raises its error of encryption for it."""
    raw = written("openssh")
    body = base64.b64decode(b"".join(raw.splitlines()[1:-1])).replace(b"aes256-cbc", b"aes257-cbc")
    other = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(body) + b"-----END OPENSSH PRIVATE KEY-----\n"
    assert (await refused(other, PASSPHRASE)).signal == named("SECRET_KEY_UNREADABLE")


@pytest.mark.parametrize("line", [b"DEK-Info: AES-128-CBC", b"DEK-Info: AES-128-CBC,0A0B"], ids=["no-iv", "short-iv"])
async def test_a_damaged_header_is_not_the_passphrases_fault(line: bytes) -> None:
    whole = written("pkcs1-pem").splitlines()
    at = next(i for i, had in enumerate(whole) if had.startswith(b"DEK-Info"))
    damaged = b"\n".join([*whole[:at], line, *whole[at + 1 :]])
    assert (await refused(damaged, PASSPHRASE)).signal == named("SECRET_KEY_UNREADABLE")


async def test_a_damaged_key_without_a_passphrase_is_not_the_passphrases_fault() -> None:
    """asyncssh's text is that of noise under a cipher."""
    first, *_, last = written("pkcs1-pem", None).splitlines()
    failure = await refused(b"\n".join([first, b"AAAA", last]), PASSPHRASE)
    assert failure.signal == named("SECRET_KEY_UNREADABLE")


# -- the key -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"no key at all", "neither a PEM nor an OpenSSH private key"),
        (b"\x30\x03\x02\x01\x01", "neither a PEM nor an OpenSSH private key"),
        (KEY.export_public_key(), "the secret holds a public key, and no private key"),
        (KEY.export_public_key("rfc4716"), "the secret holds a public key, and no private key"),
        (KEY.export_public_key("pkcs8-pem"), "the secret holds a public key, and no private key"),
        (b"\n-----BEGIN CERTIFICATE-----\nMIIB\n", "the secret holds an X.509 certificate, and no private key"),
        (written("openssh", None).replace(b"\n", b" "), "the private key has lost its line breaks: "),
        (
            written("openssh", None)[:200],
            "the private key is damaged or cut short, or of a kind that is not known here",
        ),
        (
            written("pkcs8-pem", None)[:60],
            "the private key is damaged or cut short, or of a kind that is not known here",
        ),
    ],
    ids=["text", "der", "public", "rfc4716", "pem-public", "x509", "one-line", "cut", "cut-pem"],
)
async def test_what_is_no_private_key(data: bytes, text: str) -> None:
    failure = await refused(data)
    assert failure.signal == named("SECRET_KEY_UNREADABLE")
    assert failure.text.startswith(text)


async def test_a_putty_key_is_told_how_it_is_exported() -> None:
    failure = await refused(b"PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n")
    assert failure.signal == named("SECRET_KEY_UNREADABLE")
    assert "puttygen KEY.ppk -O private-openssh -o KEY" in failure.text


async def test_no_key() -> None:
    assert (await refused(b"")).signal == named("SECRET_FIELD_MISSING")


@pytest.mark.parametrize("form", FORMS)
async def test_what_editors_and_forms_do_to_a_key_is_undone(form: str) -> None:
    for passphrase in (None, PASSPHRASE):
        data = written(form, passphrase)
        assert await imported(b"\xef\xbb\xbf" + data, PASSPHRASE) is None
        assert await imported(data.replace(b"\n", b"\r\n"), PASSPHRASE) is None
        assert await imported(data.replace(b"\n", b"\r"), PASSPHRASE) is None
        assert await imported(data.replace(b"\n", b"\n    "), PASSPHRASE) is None


async def test_der_is_read_as_it_is() -> None:
    """Whatever bytes are in it: most keys have some that would be white space in a text."""
    keys = (asyncssh.generate_private_key("ecdsa-sha2-nistp256") for _ in range(200))
    data = next(der for der in (key.export_private_key("pkcs8-der") for key in keys) if b"\r" in der)
    found = await import_key(Credential(private_key=data))
    assert isinstance(found, asyncssh.SSHKey)
    assert found.export_private_key("pkcs8-der") == data


@pytest.mark.parametrize(
    "error",
    [ValueError("p*q must equal modulus."), OverflowError("can't convert negative int to unsigned")],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_decoder_raises_is_a_damaged_key(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Both seen of damaged keys; the second of one in 6,000."""

    def fails(data: bytes, passphrase: str | None) -> asyncssh.SSHKey:
        raise error

    monkeypatch.setattr(asyncssh, "import_private_key", fails)
    failure = await refused(written("pkcs1-pem"), PASSPHRASE)
    assert (failure.signal, failure.text) == (
        named("SECRET_KEY_UNREADABLE"),
        "the private key is damaged or cut short, or of a kind that is not known here",
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [KEY, RSA], ids=["ec", "rsa"])
async def test_every_damaged_key_ends_in_a_reason_that_shows_nothing_of_it(form: str, key: asyncssh.SSHKey) -> None:
    chance = random.Random(105053)  # noqa: S311 - damage, not a secret
    for passphrase in (None, PASSPHRASE):
        whole = written(form, passphrase, key)
        slow = form == "openssh" and passphrase is not None  # its key derivation takes 0.5 s
        for _ in range(3 if slow else 100):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.choice(b"ABCabc019+/=\n")
            found = await import_key(Credential(private_key=bytes(data), passphrase=PASSPHRASE))
            if isinstance(found, Failure):
                assert found.signal in (named("SECRET_KEY_UNREADABLE"), named("SECRET_PASSPHRASE_WRONG"))
                assert not any(line in found.text.encode() for line in whole.splitlines()[1:-1] if len(line) > 40)
