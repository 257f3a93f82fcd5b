from __future__ import annotations

import asyncssh
import pytest

from appliance.login.ssh_certificate import CertificateError, UserCertificate, read_certificate
from appliance.login.ssh_host_keys import key_line

NOW = 1_800_000_000
KEY = asyncssh.generate_private_key("ssh-ed25519")
AUTHORITY = asyncssh.generate_private_key("ssh-ed25519")


def certificate(
    *, principals: tuple[str, ...] = ("scan",), after: int = NOW - 60, before: int = NOW + 60
) -> UserCertificate:
    made = AUTHORITY.generate_user_certificate(
        KEY, "job-7", principals=list(principals), valid_after=after, valid_before=before
    )
    return read_certificate(made.export_certificate(), key_line(KEY.convert_to_public()))


def test_what_it_says() -> None:
    found = certificate(principals=("scan", "audit"))
    assert (found.key_id, found.principals) == ("job-7", ("scan", "audit"))
    assert found.authority == AUTHORITY.get_fingerprint()
    assert found.facts() == {"certificate": f"job-7 of {found.authority}, until 2027-01-15 08:01:00 UTC"}


@pytest.mark.parametrize(
    ("made", "reason", "says"),
    [
        (certificate(before=NOW), "CERT_EXPIRED", "has not been valid since 2027-01-15 08:00:00 UTC"),
        (certificate(after=NOW + 1), "CERT_EXPIRED", "is not valid before 2027-01-15 08:00:01 UTC"),
        (certificate(principals=("audit",)), "CERT_PRINCIPAL", "names audit, and not scan"),
        (certificate(principals=()), "CERT_PRINCIPAL", "names nobody, and not scan"),
        (certificate(), "CERT_REFUSED", "certificate 'job-7' of authority SHA256:"),
    ],
    ids=["expired", "early", "other", "nobody", "unknown"],
)
def test_why_it_was_refused(made: UserCertificate, reason: str, says: str) -> None:
    code, text = made.why_refused("scan", NOW)
    assert code == reason
    assert says in text


def test_one_without_an_end() -> None:
    endless = certificate(before=0xFFFFFFFFFFFFFFFF)
    assert endless.facts() == {"certificate": f"job-7 of {endless.authority}"}
    assert endless.why_refused("scan", NOW)[0] == "CERT_REFUSED"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nU0VDUkVU\n", "cannot be read"),
        (KEY.convert_to_public().export_public_key(), "is a public key, and no certificate"),
        (AUTHORITY.generate_host_certificate(KEY, "h").export_certificate(), "host's certificate"),
        (AUTHORITY.generate_user_certificate(AUTHORITY, "u").export_certificate(), "certificate of another key"),
    ],
    ids=["nothing", "private", "public", "host", "another"],
)
def test_what_is_none(data: bytes, says: str) -> None:
    with pytest.raises(CertificateError, match=says) as refused:
        read_certificate(data, key_line(KEY.convert_to_public()))
    assert "U0VDUkVU" not in str(refused.value)
