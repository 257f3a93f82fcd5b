"""`keymuster lab vault`: up, said where, asked, and stopped; and what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from appliance.certificates import pin_of
from tests.acceptance.product import KEYMUSTER, Ended
from tests.cli.refusals import refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@contextmanager
def lab_vault(*options: str) -> Iterator[dict[str, Any]]:
    """Its line, while it serves; then Ctrl-C."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    command = [str(KEYMUSTER), "lab", "vault", "--port", "0", *options]
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def ask(ready: dict[str, Any], path: str, token: str = "", form: dict[str, str] | None = None) -> Any:
    trusting = ssl.create_default_context(cafile=ready["ca"]) if ready["ca"] else None
    data = None if form is None else urlencode(form).encode()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{ready['url']}{path}", data, headers)  # noqa: S310 - our own URL
    with urllib.request.urlopen(request, context=trusting) as response:  # noqa: S310 - as above
        return json.loads(response.read())


def test_a_sample_over_https_for_every_user_in_the_file(tmp_path: Path) -> None:
    with lab_vault("--tls", "--seed", "3", "--dir", str(tmp_path / "v")) as ready:
        users = json.loads(Path(ready["users_file"]).read_text())
        assert Path(ready["users_file"]).stat().st_mode & 0o777 == 0o600
        assert users[0]["password"] == Path(ready["password_file"]).read_text()
        for user in users:
            if user["one_time_code"] or user["addresses"]:
                continue
            form = {"grant_type": "password", "username": user["user"], "password": user["password"]}
            token = ask(ready, "/oauth2/token", form=form)["access_token"]
            assert ask(ready, "/api/v1/users/current", token)["userName"] == user["user"]
            assert ask(ready, "/api/v1/secrets/1", token)["name"] == "linux-1"
        assert ask(ready, "/api/v1/secrets/search-total?filter.includeInactive=true", token) >= 28


def test_a_vault_that_demands_client_certificates_and_shows_its_pin(tmp_path: Path) -> None:
    with lab_vault("--tls", "--client-certificates", "--dir", str(tmp_path / "v")) as ready:
        assert Path(ready["client_key"]).stat().st_mode & 0o777 == 0o600
        certificate = ssl.PEM_cert_to_DER_cert((tmp_path / "v" / "vault.pem").read_text())
        assert ready["pin"] == pin_of(certificate)
        trusting = ssl.create_default_context(cafile=ready["ca"])
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        url = f"{ready['url']}/api/v1/healthcheck"
        with pytest.raises(urllib.error.URLError, match="ALERT"):
            urllib.request.urlopen(url, context=trusting)  # noqa: S310 - our own URL
        trusting.load_cert_chain(ready["client_cert"], ready["client_key"])
        with urllib.request.urlopen(url, context=trusting) as response:  # noqa: S310 - as above
            assert json.loads(response.read())["healthy"] is True
    refused(ended("--client-certificates", "--port", "0", "--dir", tmp_path / "v"), "is for https: add --tls")


def test_an_estates_vault_by_http(tmp_path: Path) -> None:
    estate = tmp_path / "estate.toml"
    estate.write_text('[vault]\nuser = "u"\nmount = "/ss"\n[[hosts]]\ncount = 3\n')
    with lab_vault("--estate", str(estate), "--dir", str(tmp_path / "v")) as ready:
        assert (ready["user"], ready["secrets"], ready["ca"], ready["pin"]) == ("u", 3, None, None)
        assert ready["url"].endswith("/ss")
        form = {"grant_type": "password", "username": "u", "password": Path(ready["password_file"]).read_text()}
        token = ask(ready, "/oauth2/token", form=form)["access_token"]
        assert ask(ready, "/api/v1/secrets/1", token)["name"] == "unix-127.20.0.1"


def ended(*options: str | Path) -> Ended:
    command = [KEYMUSTER, "lab", "vault", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_taken_port_and_a_bad_estate(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(ended("--port", port, "--dir", tmp_path / "v"), f"cannot listen on port {port}")
    bad = tmp_path / "estate.toml"
    bad.write_text("[vault]\nclient_certificates = true\n")
    refused(ended("--estate", bad, "--port", "0", "--dir", tmp_path / "v"), "client_certificates are for https")
    bad.write_text('[vault]\n[[vault.users]]\nname = "a"\naddresses = ["10.0.0.0/40"]\n')
    refused(
        ended("--estate", bad, "--port", "0", "--dir", tmp_path / "v"),
        "estate.toml:4: vault.users.0.addresses.0",
        "/40",
    )
