"""The orchestrator writes plain JSON to its appliance's standard input; the appliance reads exactly that, and no more.

The two ends do not import each other, so this is where they are held to one form.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.contract import ContractError
from appliance.embedded import _MESSAGE, AdmitMessage, DismissMessage, DrainMessage, IdentityMessage
from appliance.vault.definition import VaultAccess
from orchestrator.cli.appliance_child import Admission, ApplianceChild, Login
from orchestrator.cli.sealing import SealingKey, seal

PASSWORD = "KMS-vault-marker"
ACCESS = {
    "title": "Secret Server Vault",
    "url": "https://vault.example/SecretServer",
    "user": "svc",
    "api": "rest",
    "tls": {"ca": "", "verify": True},
    "requests": 8,
}


def over_the_pipe(message: dict[str, object]) -> object:
    return _MESSAGE.validate_json(json.dumps(message).encode())


def test_who_the_appliance_is() -> None:
    child = ApplianceChild(
        name="embedded",
        zone="default",
        bus_url="nats://127.0.0.1:4222",
        bus_seed="SUSEED",
        capacity=7,
        log_file=Path("x"),
        fast_path=False,
    )
    read = over_the_pipe(child._identity)
    assert isinstance(read, IdentityMessage)
    assert read.identity().fast_path is False
    identity = read.identity()
    assert (identity.appliance, identity.zone, identity.capacity) == ("embedded", "default", 7)
    assert identity.bus.seed.get_secret_value() == "SUSEED"
    assert "SUSEED" not in repr(read)


def test_what_a_run_may_use() -> None:
    login = Login(ACCESS, "corp.example", PASSWORD)
    read = over_the_pipe(Admission("run-1", ("127.0.0.0/8",), "tofu", (login,)).message())
    assert isinstance(read, AdmitMessage)
    admission = read.admission()
    [vault] = admission.logins
    assert vault.password.reveal() == PASSWORD
    assert vault.domain == "corp.example"
    assert admission.policy.allows_address("127.1.2.3")
    assert not admission.policy.allows_address("10.0.0.1")
    assert admission.policy.allows_vault(str(ACCESS["title"]), str(ACCESS["url"]))
    assert PASSWORD not in repr((read, admission, login))


def test_a_client_key_goes_the_way_of_the_password_and_shows_as_little() -> None:
    tls = {"ca": "", "verify": True, "pins": [], "client_cert": "certificate", "plain_http": False}
    login = Login({**ACCESS, "tls": tls}, "", PASSWORD, "KMS-client-key")
    assert Login.of(json.loads(json.dumps(login.message()))) == login
    read = over_the_pipe(Admission("run-1", (), "tofu", (login,)).message())
    assert isinstance(read, AdmitMessage)
    [vault] = read.admission().logins
    assert vault.access.tls.client_key.get_secret_value() == "KMS-client-key"
    assert "KMS-client-key" not in repr((read, read.admission(), login, vault.access))
    # As supervisors hand it to their scan processes.
    assert VaultAccess.decode(vault.access.encode()) == vault.access


def test_a_sealed_login_is_the_same_when_it_is_opened() -> None:
    login, key = Login(ACCESS, "corp.example", PASSWORD, "KMS-client-key"), SealingKey()
    sealed = seal((login,), "campaign", key.public)
    assert b"KMS-client-key" not in sealed
    assert key.open(sealed, "campaign") == (login,)


@pytest.mark.parametrize(
    ("message", "kind"), [({"kind": "dismiss", "run": "r"}, DismissMessage), ({"kind": "drain"}, DrainMessage)]
)
def test_the_other_orders(message: dict[str, object], kind: type) -> None:
    assert isinstance(over_the_pipe(message), kind)


def test_a_login_that_cannot_be_read_is_refused_without_its_values() -> None:
    broken = Login({**ACCESS, "requests": "many"}, "", PASSWORD)
    read = over_the_pipe(Admission("run-1", (), "tofu", (broken,)).message())
    assert isinstance(read, AdmitMessage)
    with pytest.raises(ContractError) as caught:
        read.admission()
    assert "requests" in str(caught.value)
    assert PASSWORD not in str(caught.value)
