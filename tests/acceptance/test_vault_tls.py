"""Pins, client certificates and plain http from the command line: what runs, is refused, and is called out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from appliance.leaks.forms import client_key_forms
from targets.secret_server import tls
from tests.acceptance.chaos.processes import descendants, nats_server, scan_processes, supervisor, until
from tests.acceptance.lab import Lab
from tests.acceptance.product import Ended, Product
from tests.acceptance.test_markers import holds, running
from tests.schemas import conforms
from tests.unit.vault.proxy import Proxy, proxied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Serve = Callable[[str], Lab]
Write = Callable[..., Path]

ADDRESSES = ["127.67.0.1", "127.67.0.2"]
HOSTS = '[[hosts]]\ncount = 2\nnetwork = "127.67.0.0/16"\n'
TLS, MUTUAL = f"[vault]\ntls = true\n{HOSTS}", f"[vault]\ntls = true\nclient_certificates = true\n{HOSTS}"
TARGETS = f"[targets]\ninclude = {ADDRESSES}\n[pace]\nretries = 0\n"
OTHER = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
FORMATS = ("table", "json", "ndjson", "csv", "html")


def record(lab: Lab) -> str:
    return f"""
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {ADDRESSES}
"""


@pytest.fixture
def written(campaign: Write) -> Callable[..., Path]:
    """A campaign on a lab's vault with these lines in its table."""

    def write(lab: Lab, *lines: str, url: str = "", deadline: str = "10s") -> Path:
        table = lab.vault_table(more="\n".join(lines))
        table = table.replace(lab.ready["vault_url"], url or lab.ready["vault_url"])
        return campaign(table, record(lab), f'{TARGETS}deadline = "{deadline}"\n')

    return write


def trusting(lab: Lab, *keys: str) -> str:
    ca = f'ca = "{lab.ready["vault_ca"]}"'
    return f"tls = {{ {', '.join((ca, *keys))} }}"


def own(lab: Lab) -> tuple[str, str]:
    certificate, key = lab.ready["vault_client_cert"], lab.ready["vault_client_key"]
    return f'client_cert = "{certificate}"', f'client_key = {{ file = "{key}" }}'


def encrypted(key: str, passphrase: bytes) -> bytes:
    private = load_pem_private_key(key.encode(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    return tls.pem(private, passphrase)


def passed(ended: Ended) -> None:
    assert ended.code == 0, ended.stderr
    assert ended.reasons == dict.fromkeys(ADDRESSES, "PASSED")


def refused(ended: Ended, lab: Lab, *words: str) -> None:
    """Nothing is planned, and the vault has seen no request."""
    assert (ended.code, ended.stdout) == (3, ""), ended.stderr
    assert [word for word in ("VAULT_TLS", *words) if word not in ended.stderr] == [], ended.stderr
    seen = lab.vault_seen()
    assert (seen["requests"], seen["grants"], seen["failed_grants"]) == (0, 0, 0)


# -- pins -------------------------------------------------------------------------------------------------------------


def test_a_pin_beside_the_authority_and_alone(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(TLS)
    pins = f'pin = ["{OTHER}", "{vault.ready["vault_pin"]}"]'
    passed(keymuster.run(written(vault, trusting(vault, pins))))
    alone = keymuster.run(written(vault, f"tls = {{ verify = false, {pins} }}"))
    passed(alone)
    assert alone.document["warnings"] == [], "the pin is what stands for the certificate"
    assert "warning" not in alone.stderr


@pytest.mark.parametrize("trust", ["ca", "verify = false"])
def test_a_wrong_pin(lab: Serve, keymuster: Product, written: Write, trust: str) -> None:
    vault = lab(TLS)
    pin = f'pin = "{OTHER}"'
    line = trusting(vault, pin) if trust == "ca" else f"tls = {{ verify = false, {pin} }}"
    shown = vault.ready["vault_pin"]
    refused(keymuster.run(written(vault, line)), vault, f"the vault shows {shown}", "nothing was sent", "tls.pin")
    assert keymuster.planned_runs() == []


def test_vault_test_shows_what_to_pin(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(TLS)
    ask = ("vault", "test", "Vault", "--campaign")
    unknown = keymuster(*ask, written(vault), "--json")
    conforms(unknown.document, "vault-test")
    assert (unknown.code, unknown.document["reason"]) == (3, "VAULT_TLS")
    assert unknown.document["facts"]["pin"] == vault.ready["vault_pin"]
    assert vault.vault_seen()["requests"] == 0
    known = keymuster(*ask, written(vault, trusting(vault)))
    assert (known.code, f"pin: {vault.ready['vault_pin']}" in known.stdout) == (0, True)


@contextmanager
def proxy_of_its_own() -> Iterator[tuple[Proxy, str]]:
    """A proxy in a thread, while the command line is waited for."""
    proxy, urls, up = Proxy(), list[str](), threading.Event()
    end: list[Callable[[], None]] = []

    async def serve() -> None:
        stop = anyio.Event()
        async with proxied(proxy) as url:
            token = anyio.lowlevel.current_token()
            end.append(lambda: anyio.from_thread.run_sync(stop.set, token=token))
            urls.append(url)
            up.set()
            await stop.wait()

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    try:
        assert up.wait(10)
        yield proxy, urls[0]
    finally:
        end[0]()
        thread.join(10)


def test_a_pin_and_a_client_certificate_through_a_proxy(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(MUTUAL)
    with proxy_of_its_own() as (proxy, url):
        by = f'proxy = "{url}"'
        wrong = written(vault, by, trusting(vault, f'pin = "{OTHER}"', *own(vault)))
        refused(keymuster.run(wrong), vault, f"the vault shows {vault.ready['vault_pin']}")
        right = written(vault, by, trusting(vault, f'pin = "{vault.ready["vault_pin"]}"', *own(vault)))
        passed(keymuster.run(right))
        assert proxy.heads


# -- client certificates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["file", "env", "encrypted"])
def test_a_client_certificate(lab: Serve, keymuster: Product, written: Write, tmp_path: Path, how: str) -> None:
    vault = lab(MUTUAL)
    certificate, key = own(vault)
    pem, env, keys = Path(vault.ready["vault_client_key"]).read_text(encoding="ascii"), {}, [certificate, key]
    if how == "env":
        env, keys[1] = {"KEYMUSTER_TEST_KEY": pem}, 'client_key = { env = "KEYMUSTER_TEST_KEY" }'
    if how == "encrypted":
        file = tmp_path / "encrypted.pem"
        file.write_bytes(encrypted(pem, b"a passphrase"))
        env = {"KEYMUSTER_TEST_PHRASE": "a passphrase"}
        keys[1] = f'client_key = {{ file = "{file}" }}, client_key_passphrase = {{ env = "KEYMUSTER_TEST_PHRASE" }}'
    file = written(vault, trusting(vault, *keys))
    checked = keymuster.stateless("config", "check", file)
    assert checked.code == 0, checked.stderr
    passed(keymuster.run(file, env=env))


def test_a_client_certificate_that_is_lacking(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(MUTUAL)
    refused(keymuster.run(written(vault, trusting(vault))), vault, "demands a client certificate", "tls.client_cert")


def test_a_client_certificate_of_an_unknown_authority(
    lab: Serve, keymuster: Product, written: Write, tmp_path: Path
) -> None:
    vault = lab(MUTUAL)
    other = tls.make_client(tmp_path)
    keys = f'client_cert = "{other.certificate}"', f'client_key = {{ file = "{other.key}" }}'
    refused(keymuster.run(written(vault, trusting(vault, *keys))), vault, "does not know the authority of our client")


def test_a_key_of_another_certificate_is_told_by_config_check_and_by_run(
    lab: Serve, keymuster: Product, written: Write, tmp_path: Path
) -> None:
    vault = lab(MUTUAL)
    other = tls.make_client(tmp_path)
    file = written(vault, trusting(vault, own(vault)[0], f'client_key = {{ file = "{other.key}" }}'))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "client_cert" in text)
    checked = keymuster.stateless("config", "check", file)
    assert checked.code == 2
    assert f"{file}:{line}: vaults[0].tls.client_cert: does not belong to the client key" in checked.stderr
    ran = keymuster.run(file)
    assert (ran.code, "does not belong to the client key" in ran.stderr) == (2, True)
    assert vault.vault_seen()["requests"] == 0


# -- where the key is -------------------------------------------------------------------------------------------------


def test_the_client_key_is_in_no_file_and_in_no_report(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(MUTUAL)
    forms = client_key_forms(Path(vault.ready["vault_client_key"]).read_bytes())
    ended = keymuster.run(written(vault, trusting(vault, *own(vault))))
    passed(ended)
    files = [path for path in keymuster.state.rglob("*") if path.is_file()]
    assert {"keymuster.db", "appliance.log"} <= {path.name for path in files}
    assert [(path, form) for path in files for form in forms if form in path.read_bytes()] == []
    said = [ended.stderr, *(keymuster("report", "--format", form).stdout for form in FORMATS)]
    assert [form for text in said for form in forms if form in text.encode()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of these processes")
def test_the_client_key_is_where_the_vault_is_asked_from(lab: Serve, keymuster: Product, written: Write) -> None:
    """Whoever makes a connection needs it: supervisor and scan processes. The orchestrator has read it for them."""
    vault = lab(MUTUAL.replace("count = 2", 'count = 2\nfault = "silent"'))
    forms = client_key_forms(Path(vault.ready["vault_client_key"]).read_bytes())
    with running(keymuster.command("run", written(vault, trusting(vault, *own(vault)), deadline="60s")), {}) as command:
        until(lambda: vault.vault_seen()["requests"] > 0, "a question to the vault")
        until(lambda: bool(scan_processes(command)), "the scan processes")
        until(lambda: all(holds(pid, forms) for pid in scan_processes(command)), "the key in all of them")
        [appliance], [bus] = supervisor(command), nats_server(command)
        held = {pid: holds(pid, forms) for pid in (command, appliance, bus, *scan_processes(command))}
        assert not held.pop(bus)
        assert all(held.values()), "the search finds it where it is"
        for pid in (command, *descendants(command)):
            for place in ("cmdline", "environ"):
                data = Path(f"/proc/{pid}/{place}").read_bytes()
                assert [form for form in forms if form in data] == [], f"{place} of {pid}"


def test_the_client_key_reaches_the_holder_of_the_state_directory_sealed(
    lab: Serve, keymuster: Product, written: Write
) -> None:
    vault = lab(MUTUAL.replace("count = 2", 'count = 2\nfault = "silent"'))
    forms = client_key_forms(Path(vault.ready["vault_client_key"]).read_bytes())
    file = written(vault, trusting(vault, *own(vault)), deadline="60s")
    with running(keymuster.command("run", file), {}) as holder:
        until(lambda: bool(scan_processes(holder)), "the scan processes")
        asked = keymuster("vault", "test", "Vault", "--campaign", file)
        assert (asked.code, scan_processes(holder) != []) == (0, True), asked.stdout + asked.stderr
        [bus] = nats_server(holder)
        assert os.geteuid() != 0 or not holds(bus, forms)


def test_verify_clean_finds_a_leaked_client_key(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(MUTUAL)
    passed(keymuster.run(written(vault, trusting(vault, *own(vault)))))
    clean = keymuster("verify-clean", "--yes", "--json")
    assert (clean.code, clean.document["found"]) == (0, []), clean.stderr
    planted = keymuster.state / "planted.json"
    planted.write_text(Path(vault.ready["vault_client_key"]).read_text(encoding="ascii").replace("\n", "\\n"))
    found = keymuster("verify-clean", "--yes", "--json")
    conforms(found.document, "verify-clean")
    assert found.code == 1
    assert {row["secret"] for row in found.document["found"]} == {"client key for Vault"}
    assert {row["place"] for row in found.document["found"]} == {str(planted)}


# -- what is called out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estate", "lines", "text"),
    [
        (TLS, "tls = { verify = false }", "vault 'Vault' is reached without checking its certificate"),
        (HOSTS, "tls = { plain_http = true }", "vault 'Vault' is reached without TLS"),
    ],
    ids=["unchecked", "http"],
)
def test_what_is_not_safe_is_called_out_everywhere(
    lab: Serve, keymuster: Product, written: Write, estate: str, lines: str, text: str
) -> None:
    vault = lab(estate)
    # The resolver takes it for 127.0.0.1, and we do not take it for this machine.
    url = vault.ready["vault_url"].replace("//127.0.0.1", "//0x7f.1")
    file = written(vault, lines, url=url)
    assert f"Note: {text}" in keymuster("plan", file).stdout
    ended = keymuster.run(file)
    passed(ended)
    assert f"warning: {text}" in ended.stderr
    [warning] = ended.document["warnings"]
    assert warning.startswith(text)
    conforms(ended.document, "report")
    for form in FORMATS:
        said = keymuster("report", "--format", form).stdout
        assert text.split(" ", 2)[2] in " ".join(said.split()), form


def test_plain_http_off_this_machine_needs_leave(lab: Serve, keymuster: Product, written: Write) -> None:
    vault = lab(HOSTS)
    file = written(vault, url=vault.ready["vault_url"].replace("//127.0.0.1", "//0x7f.1"))
    for command in (("config", "check", file), ("plan", file)):
        ended = keymuster.stateless(*command)
        assert (ended.code, "tls = { plain_http = true }" in ended.stderr) == (2, True)
        assert "vaults[0].url" in ended.stderr
