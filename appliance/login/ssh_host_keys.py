"""Is this the host that we mean? A host key, or the certificate it came in, beside what is known of the host. Pure.

Rules, stated here and nowhere else; the first that applies decides:
1. A revoked key is never taken, whatever the policy, nor a certificate whose CA is revoked.
2. A certificate stands for its key where a CA that is known for the host has signed it, for one of the names for which
   that CA is known, and where it is valid now. One that names nobody is for nobody: it would let any of the CA's hosts
   pass for any other. SHA-1 signatures count in the profile `legacy` only.
3. A certificate that does not stand is as good as none: its key is judged by itself, and the text says what was wrong.
4. A known key is taken. The policy `any` takes every key.
5. Where keys are known and this is none of them, it has changed.
6. An unknown key is trusted on first use where the policy says so and no CA answers for the host: who holds its place
   could show a key instead of the certificate that he cannot have.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncssh
from asyncssh.packet import SSHPacket, String
from asyncssh.public_key import CERT_TYPE_HOST, SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key

from appliance.contract import CryptoProfile, HostAuthority, HostKeyPolicy, Job, peer_text
from appliance.login.decoders import DAMAGE

_FOREVER = 2**64 - 1
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def key_line(key: asyncssh.SSHKey) -> str:
    """A public key as OpenSSH writes it: `type base64`, without a comment."""
    return f"{key.get_algorithm()} {base64.b64encode(key.public_data).decode()}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a host's key before it shows one."""

    policy: HostKeyPolicy
    known: frozenset[str] = frozenset()
    """As `key_line` has them."""
    authorities: tuple[HostAuthority, ...] = ()
    revoked: frozenset[str] = frozenset()
    """Fingerprints."""
    crypto: CryptoProfile = CryptoProfile.COMPAT

    @classmethod
    def of(cls, job: Job, policy: HostKeyPolicy, crypto: CryptoProfile) -> Expected:
        known = frozenset(" ".join(line.split()[:2]) for line in job.known_host_keys)
        return cls(policy, known, job.host_authorities, frozenset(job.revoked_host_keys), crypto)


@dataclass(frozen=True, slots=True)
class Shown:
    """A host key as the server shows it."""

    key: asyncssh.SSHKey
    certificate: SSHOpenSSHCertificate | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    refusal: tuple[str, str] | None = None
    """A reason code and its text; None where the key is taken."""
    certified: bool = False
    """It is taken for the sake of its certificate."""
    fault: str = ""
    """What is wrong with its certificate."""


def read(data: bytes) -> Shown:
    """The key of a key exchange. Raises ValueError for what is none, or a certificate that nobody has signed."""
    try:
        certificate = decode_ssh_certificate(data)
    except DAMAGE as error:
        try:
            return Shown(decode_ssh_public_key(data))
        except DAMAGE:
            raise ValueError(f"the host key cannot be read: {error}") from None
    if not isinstance(certificate, SSHOpenSSHCertificate):
        raise ValueError("the host shows an X.509 certificate, which was not asked for")  # noqa: TRY004 - no bug of ours
    return Shown(certificate.key, certificate)


def judge_key(shown: Shown, expected: Expected, now: float) -> Judgement:
    """`now`: Unix seconds, by which certificates are valid or not."""
    fingerprint, certificate = shown.key.get_fingerprint(), shown.certificate
    if fingerprint in expected.revoked:
        return Judgement(("HOST_KEY_REVOKED", f"{fingerprint} is revoked"))
    if certificate is not None and certificate.signing_key.get_fingerprint() in expected.revoked:
        ca = certificate.signing_key.get_fingerprint()
        return Judgement(("HOST_KEY_REVOKED", f"{ca}, the CA of its certificate, is revoked"))
    fault = "" if certificate is None else _fault(certificate, expected, now)
    if certificate is not None and not fault:
        return Judgement(certified=True)
    if expected.policy is HostKeyPolicy.ANY or key_line(shown.key) in expected.known:
        return Judgement(fault=fault)
    told = f"; {fault}" if fault else ""
    if expected.known:
        return Judgement(("HOST_KEY_CHANGED", f"now {fingerprint}{told}"), fault=fault)
    if expected.authorities and not fault:
        names = ", ".join(dict.fromkeys(name for ca in expected.authorities for name in ca.names))
        told = f"; it shows no certificate, and a CA is known for {names}"
    if expected.policy is HostKeyPolicy.PINNED or expected.authorities:
        return Judgement(("HOST_KEY_UNKNOWN", peer_text(fingerprint + told)), fault=fault)
    return Judgement(fault=fault)


def describe(certificate: SSHOpenSSHCertificate) -> str:
    """A certificate in a line, for the evidence."""
    ca, until = certificate.signing_key.get_fingerprint(), _date(_ends(certificate))
    identity = certificate._key_id  # noqa: SLF001 - asyncssh has no other way to it
    return peer_text(f"{identity!r} for {_principals(certificate)}, signed by {ca}, valid until {until}")


def _fault(certificate: SSHOpenSSHCertificate, expected: Expected, now: float) -> str:
    """Why a certificate does not stand for its key; empty if it does."""
    ca = certificate.signing_key.get_fingerprint()
    names = [n for known in expected.authorities if known.key == key_line(certificate.signing_key) for n in known.names]
    begins = certificate._valid_after  # noqa: SLF001 - asyncssh has no other way to it
    if certificate._cert_type != CERT_TYPE_HOST:  # noqa: SLF001 - as above
        return "its certificate is a user's, not a host's"
    if not names:
        return f"its certificate is signed by an unknown CA, {ca}"
    if _signature_algorithm(certificate) == "ssh-rsa" and expected.crypto is not CryptoProfile.LEGACY:
        return "its certificate is signed with SHA-1, which takes the profile legacy"
    if now < begins:
        return f"its certificate is not valid before {_date(begins)}"
    if now >= _ends(certificate):
        return f"its certificate has expired on {_date(_ends(certificate))}"
    if not any(_takes(principal, name) for principal in certificate.principals for name in names):
        return f"its certificate is for {_principals(certificate)}, not for {', '.join(names)}"
    return ""


def _principals(certificate: SSHOpenSSHCertificate) -> str:
    return ", ".join(certificate.principals) or "nobody"


def _takes(principal: str, name: str) -> bool:
    """Host principals may have wildcards, as OpenSSH has it; names of hosts have no case."""
    pattern = re.escape(principal.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, name.lower()) is not None


def _ends(certificate: SSHOpenSSHCertificate) -> int:
    return certificate._valid_before  # noqa: SLF001 - asyncssh has no other way to it


def _date(seconds: int) -> str:
    if seconds == _FOREVER or seconds > _LAST:
        return "the end of time"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _signature_algorithm(certificate: SSHOpenSSHCertificate) -> str:
    """How the CA has signed: the signature is what stands behind the CA's key, at the very end."""
    data, ca = certificate.public_data, String(certificate.signing_key.public_data)
    signature = SSHPacket(data[data.rindex(ca) + len(ca) :]).get_string()
    return SSHPacket(signature).get_string().decode("ascii", "replace")
