"""docker-compose.yml as a text: what no service may, whatever an engine would do with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from targets import estate, spec

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["NET_ADMIN"] if name == "estate-net" else [])
    assert (service["user"].partition(":")[0] == "0") == (name == "estate-net")
    assert not {"privileged", "ports", "devices", "pid", "ipc", "extra_hosts"} & set(service)
    assert service.get("network_mode", "none") in {"none", "service:estate-net"}
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "founding"])
def test_a_service_that_stays_has_a_health_check_and_time_to_end(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert "stop_grace_period" in service or name == "estate-net"


def test_secrets_come_as_files_alone() -> None:
    assert FILE["secrets"]
    for name, secret in FILE["secrets"].items():
        assert secret == {"file": f"${{KEYMUSTER_SECRETS:-./deploy/compose/secrets}}/{name}"}
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(FILE["secrets"])
        for variable, value in service.get("environment", {}).items():
            secret = any(word in variable for word in ("PASSWORD", "KEY_", "TOKEN", "SEED"))
            assert not secret or value.startswith(("/run/secrets/", "/state/")), variable
            assert not re.search(r"://[^@/]*:[^@/]*@", value), "no password in a URL"


def test_each_profile_has_what_it_needs() -> None:
    lab = {name for name, service in SERVICES.items() if "lab" in service["profiles"]}
    production = {name for name, service in SERVICES.items() if "production" in service["profiles"]}
    assert lab == set(SERVICES)
    assert lab - production == {"estate", "estate-net"}
    for name in production:
        assert set(SERVICES[name].get("depends_on", ())) <= production
        assert not SERVICES[name].get("network_mode", "none").startswith("service:")


def test_zones_have_networks_of_their_own_and_the_orchestrator_is_on_none() -> None:
    on = {name: set(service.get("networks", ())) for name, service in SERVICES.items()}
    assert on["orchestrator"] == on["postgres"] == {"control"}
    assert (on["appliance"], on["appliance-dmz"]) == ({"zone-lan"}, {"zone-dmz"})
    assert on["estate-net"] == {"zone-lan", "zone-dmz"}
    assert all(on[f"nats-{number}"] == {"control", "zone-lan", "zone-dmz"} for number in (1, 2, 3))
    assert FILE["networks"]["control"]["internal"] is True


def test_the_estate_is_where_the_file_has_its_addresses(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "compose" / "estate.toml").read_text(encoding="utf-8")
    password = tmp_path / "vault_password"
    password.write_text("KMS-vault-password\n")
    what = estate.build(spec.parse(text.replace("/run/secrets/vault_password", str(password))))
    assert what.vault_password == "KMS-vault-password"
    networks = {group["network"] for group in tomllib.loads(text)["hosts"]}
    command = SERVICES["estate-net"]["command"][0]
    assert all(f"ip route replace local {network} dev lo" in command for network in networks)
    for service, network in (("appliance", "10.91.20.0/24"), ("appliance-dmz", "10.92.20.0/24")):
        assert network in networks
        (told,) = (word for word in SERVICES[service]["command"] if word.startswith("--network="))
        assert told.endswith(f":-{network}}}")


def test_an_image_gets_what_it_is_made_of_and_no_more() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert let_in == {name for line in copied for name in line.split()}
