"""A fleet from nothing: its server, machines that enrol, a campaign through one of them, and the end of one."""

from __future__ import annotations

import gc
import json
import signal
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
import trustme
from anyio import to_thread

from appliance.bus import BusError, BusRefused, Timing, subjects
from appliance.bus.appliance_side import connect_appliance
from appliance.bus.claims import KeyKind, account_token, new_key
from appliance.bus.enrolling import ask_for_enrolment
from appliance.bus.link import Link
from appliance.bus.users import new_user
from appliance.contract import EnrolmentRequest, EnrolmentToken
from appliance.sealed_logins import new_sealing_key
from appliance.settings import Settings
from tests.acceptance.chaos.processes import until
from tests.acceptance.lab import running_lab
from tests.acceptance.product import KEYMUSTER, Product
from tests.acceptance.served import serving as orchestrating
from tests.cli.nats import nats_server
from tests.cli.test_own_bus import HOSTS, campaign, serving
from tests.peers.private import free_port
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass(frozen=True, slots=True)
class Fleet:
    keymuster: Product
    directory: Path
    url: str
    ca: Path

    @property
    def where(self) -> tuple[str | Path, ...]:
        return ("--nats", self.url, "--nats-seed", self.directory / "orchestrator.creds", "--nats-ca", self.ca)

    @contextmanager
    def inviting(self, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
        """`fleet add --wait`: the token, and the command while it waits."""
        line = self.keymuster.command("fleet", "add", "--wait", *more)
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stderr is not None
                token = process.stdout.readline().strip()
                for said in process.stderr:
                    if "waiting for them" in said:
                        break
                yield token, process
            finally:
                process.kill()

    def enrol(self, file: Path, token: str, name: str = "dmz-1", *more: str) -> subprocess.CompletedProcess[str]:
        line = [str(KEYMUSTER), "appliance", "enroll", str(file), "--name", name, "--network", "127.73.0.0/16", *more]
        return subprocess.run(line, input=token, capture_output=True, text=True, check=False)


@pytest.fixture
def fleet(keymuster: Product, tmp_path: Path) -> Iterator[Fleet]:
    authority = trustme.CA()
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    own = authority.issue_cert("127.0.0.1")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    own.private_key_pem.write_to_path(key)
    for part in own.cert_chain_pems:
        part.write_to_path(chain, append=True)
    port, directory = free_port(), tmp_path / "fleet"
    url = f"tls://127.0.0.1:{port}"
    made = keymuster("fleet", "init", "--url", url, "--ca", ca, "--directory", directory)
    assert made.code == 0, made.stderr
    for file in (directory / "fleet.conf", directory / "orchestrator.creds", keymuster.state / "fleet.json"):
        assert file.stat().st_mode & 0o777 == 0o600
    told = f'include "fleet/fleet.conf"\ntls {{ cert_file: "{chain}", key_file: "{key}" }}\n'
    with nats_server(tmp_path, told, port):
        yield Fleet(keymuster, directory, url, ca)


def test_a_machine_enrols_serves_a_campaign_and_is_cut_off(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    with fleet.inviting("--zone", "default", "--count", "1") as (token, waiting):
        enrolled = fleet.enrol(file, token)
        assert enrolled.returncode == 0, enrolled.stderr
        assert waiting.wait(60) == 0
        assert waiting.stderr is not None
        assert "all have enrolled" in waiting.stderr.read()
    assert file.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(file.read_text())["networks"] == ["127.73.0.0/16"]
    with running_lab(tmp_path, '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n') as lab:
        vault = f"""
[[vaults]]
title = "Vault"
url = "{lab.ready["vault_url"]}"
user = "{lab.ready["vault_user"]}"
password = {{ file = "{lab.ready["vault_password_file"]}" }}
"""
        file.write_text(file.read_text() + vault)
        with serving(file):
            ended = fleet.keymuster("run", campaign(tmp_path, lab, HOSTS), *fleet.where, "--format", "json")
            assert ended.code == 0, ended.stderr
            assert ended.reasons == dict.fromkeys(HOSTS, "PASSED")
            assert {row["appliance"] for row in ended.targets} == {"dmz-1"}
            _is_drained_and_resumed(fleet)
    unknown = fleet.keymuster("fleet", "revoke", "dmz-2")
    assert unknown.code == 2
    assert "no appliance 'dmz-2' has enrolled" in unknown.stderr
    revoked = fleet.keymuster("fleet", "revoke", "dmz-1")
    assert revoked.code == 0, revoked.stderr
    after = fleet.keymuster("fleet", "list", "--json").document
    conforms(after, "fleet-list")
    (listed,) = after["appliances"]
    assert (listed["name"], listed["zone"], listed["revoked_at"] is not None) == ("dmz-1", "default", True)
    refused = subprocess.run(
        [str(KEYMUSTER), "appliance", "serve", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 3
    assert "refuses this login" in refused.stderr


def _is_drained_and_resumed(fleet: Fleet) -> None:
    drained = fleet.keymuster("fleet", "drain", "dmz-1", "--why", "new disk")
    assert drained.code == 0, drained.stderr
    assert "empty: dmz-1" in drained.stderr
    listed = fleet.keymuster("fleet", "list", "--json").document
    conforms(listed, "fleet-list")
    (one,), (order,) = listed["appliances"], listed["drains"]
    assert (one["alive"], one["drained"], one["draining"], one["in_flight"]) == (True, True, True, 0)
    assert one["contract"] == [1, 2]
    assert abs(one["clock_offset_s"]) < 2, "it is this machine's own clock"
    assert (order["zone"], order["appliance"], order["why"]) == ("default", "dmz-1", "new disk")
    zone = fleet.keymuster("fleet", "drain", "--zone", "default", "--no-wait")
    assert zone.code == 0, zone.stderr
    lifted = fleet.keymuster("fleet", "resume", "dmz-1")
    assert "zone 'default' as a whole is drained still" in lifted.stderr
    again = fleet.keymuster("fleet", "resume", "dmz-1")
    assert (again.code, "is not drained" in again.stderr) == (2, True)
    assert fleet.keymuster("fleet", "resume", "--zone", "default").code == 0
    (one,) = fleet.keymuster("fleet", "list", "--json").document["appliances"]
    assert (one["drained"], one["draining"]) == (False, False)
    neither = fleet.keymuster("fleet", "drain")
    assert (neither.code, "name an appliance, or a whole zone" in neither.stderr) == (2, True)


def test_a_container_enrols_once_and_serves(fleet: Fleet, tmp_path: Path) -> None:
    """The orchestrator comes later than the machine, and the machine is restarted without its token."""
    file, token_file = tmp_path / "appliance.toml", tmp_path / "token"
    invited = fleet.keymuster("fleet", "add", "--zone", "dmz")
    token_file.write_text(invited.stdout)
    join = [str(KEYMUSTER), "appliance", "join", str(file), "--network", "127.73.0.0/16", "--log-format", "json"]
    names = []
    for more in (["--token-file", str(token_file)], []):
        with subprocess.Popen(
            [*join, *more], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True
        ) as process:
            try:
                assert process.stderr is not None
                if more:
                    line = next(
                        told for said in process.stderr if (told := json.loads(said))["event"] == "enrolment waits"
                    )
                    assert "no orchestrator of this fleet is on the bus" in line["why"]
                    with orchestrating(fleet.keymuster.state, "--zone", "dmz", *fleet.where) as service:
                        service.hears("appliance enrolled")
                        until(lambda: service.page("/readyz")[0] == 200, "the appliance to take jobs")
                        assert service.end() == 0
                else:
                    with orchestrating(fleet.keymuster.state, *fleet.where) as service:
                        until(lambda: service.page("/readyz")[0] == 200, "the same one to take jobs")
                        assert service.end() == 0
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
            finally:
                process.kill()
        names.append(tomllib.loads(file.read_text())["name"])
    assert names[0] == names[1]
    assert names[0].startswith("dmz-")
    (listed,) = fleet.keymuster("fleet", "list", "--json").document["appliances"]
    assert listed["name"] == names[0]


def test_a_vault_login_is_sent_sealed_and_changed_in_one_place(fleet: Fleet, tmp_path: Path) -> None:
    file, password = tmp_path / "appliance.toml", tmp_path / "vault-password"
    with running_lab(tmp_path, '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n') as lab:
        right = Path(lab.ready["vault_password_file"]).read_text()
        password.write_text("KMS-wrong-marker")
        asked = campaign(tmp_path, lab, HOSTS)
        asked.write_text(asked.read_text().replace('{ env = "KEYMUSTER_NOT_SET_HERE" }', f'{{ file = "{password}" }}'))
        early = fleet.keymuster("fleet", "login", asked)
        assert early.code == 0, early.stderr
        assert "no appliance has enrolled yet" in early.stderr
        with fleet.inviting() as (token, _):
            done = fleet.enrol(file, token, "dmz-1", "--vault", f"Vault={lab.ready['vault_url']}")
            assert done.returncode == 0, done.stderr
        assert "KMS-wrong-marker" not in file.read_text()
        with serving(file):
            refused = fleet.keymuster("run", asked, *fleet.where, "--format", "json")
            assert refused.code == 3, "what the vault says of a wrong password stops the run before it begins"
            assert "VAULT_LOGIN_REFUSED" in refused.stderr
            password.write_text(right)
            changed = fleet.keymuster("fleet", "login", asked, "--vault", "Vault")
            assert "sent to 1 appliance\n" in changed.stderr, changed.stderr
            ended = fleet.keymuster("run", asked, *fleet.where, "--format", "json")
            assert ended.code == 0, ended.stderr
            assert ended.reasons == dict.fromkeys(HOSTS, "PASSED")
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != password)
        for marker in ("KMS-wrong-marker", right.strip()):
            told = kept.replace(Path(lab.ready["vault_password_file"]).read_bytes(), b"")
            assert marker.encode() not in told, "neither store nor bus nor any file holds it in the open"
        none = fleet.keymuster("fleet", "forget", "Another")
        assert (none.code, "no login for a vault 'Another'" in none.stderr) == (2, True)
        assert fleet.keymuster("fleet", "forget", "Vault").code == 0


def test_a_token_enrols_no_more_than_it_is_for_and_a_name_once(fleet: Fleet, tmp_path: Path) -> None:
    with fleet.inviting("--count", "1") as (token, first):
        assert fleet.enrol(tmp_path / "one.toml", token).returncode == 0
        assert first.wait(60) == 0
    alone = fleet.enrol(tmp_path / "two.toml", token, "dmz-2")
    assert alone.returncode == 3
    assert "no orchestrator of this fleet is on the bus" in alone.stderr
    with fleet.inviting("--count", "2") as (other, _):
        again = fleet.enrol(tmp_path / "two.toml", token, "dmz-2")
        assert again.returncode == 2
        assert "the invitation has been used as often as it may be" in again.stderr
        assert not (tmp_path / "two.toml").exists()
        taken = fleet.enrol(tmp_path / "two.toml", other, "dmz-1")
        assert taken.returncode == 2
        assert "an appliance of this name has enrolled" in taken.stderr
        damaged = fleet.enrol(tmp_path / "two.toml", other[:-9], "dmz-2")
        assert damaged.returncode == 2
        assert "the enrolment token is damaged" in damaged.stderr
        assert other[20:40] not in damaged.stderr
        kept = (tmp_path / "one.toml").read_text()
        there = fleet.enrol(tmp_path / "one.toml", other, "dmz-2")
        assert there.returncode == 2
        assert "is already there; it was left as it is" in there.stderr
        assert (tmp_path / "one.toml").read_text() == kept


async def test_an_appliance_can_neither_read_nor_say_what_is_anothers(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    with fleet.inviting("--zone", "dmz") as (text, waiting):
        done = await to_thread.run_sync(fleet.enrol, file, text)
        assert done.returncode == 0, done.stderr
        await to_thread.run_sync(waiting.wait)
    settings = await to_thread.run_sync(Settings.load, str(file))
    login = settings.bus.login()
    seed, tls, quick = login.seed.get_secret_value(), login.tls(), Timing(retry=3)
    link = await Link.open(
        login.url,
        name="a thief",
        inbox=subjects.appliance_inbox("dmz", "dmz-1"),
        seed=seed,
        token=login.token,
        tls=tls,
        timing=quick,
    )
    try:
        for subject in (
            subjects.outcome("dmz", "dmz-2", "r"),
            subjects.permit_ask("lan", "dmz-1"),
            subjects.heartbeat("dmz", "dmz-2"),
            subjects.control("stop"),
            subjects.enrolment("0" * 16),
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.jobs_stream('lan')}.r",
            f"$JS.API.STREAM.INFO.{subjects.RUNS}",
            "$SYS.REQ.CLAIMS.UPDATE",
        ):
            with pytest.raises(BusRefused, match="does not permit"):
                await link.request(subject, b"{}", wait=2)
        with pytest.raises(BusRefused, match="does not permit"):
            async with link.listen(subjects.vault("lan")):
                pass
        assert (await to_thread.run_sync(fleet.keymuster, "fleet", "revoke", "dmz-1")).code == 0
        await _is_cut_off(link)
    finally:
        await link.close()
    invitation = EnrolmentToken.of(text)
    thief = await Link.open(
        login.url,
        name="a thief",
        inbox=subjects.enrolment_inbox(invitation.id),
        seed=invitation.seed,
        token=invitation.user,
        tls=tls,
        timing=quick,
    )
    try:
        for subject in (subjects.enrolment("0" * 16), subjects.heartbeat("dmz", "dmz-1")):
            with pytest.raises(BusRefused, match="does not permit"):
                await thief.request(subject, b"{}", wait=2)
    finally:
        await thief.close()


async def _is_cut_off(link: Link) -> None:
    """What is asked while the line is being cut hears of that; then that the login is refused, and never an answer."""
    with anyio.fail_after(60):
        while True:
            with pytest.raises(BusError) as told:
                await link.request(subjects.permit_ask("dmz", "dmz-1"), b"{}", wait=5)
            if "refuses this login" in str(told.value):
                return
            await anyio.sleep(0.05)  # an answer that is known gives the loop no turn, in which the line is dialled anew


# The client's library leaves the socket below a refused connection to the collector, open or not.
@pytest.mark.filterwarnings("ignore:.*<function StreamWriter.__del__:pytest.PytestUnraisableExceptionWarning")
async def test_who_is_not_who_it_should_be_is_refused(fleet: Fleet) -> None:
    """A server of another authority, a token of another account, and no token at all."""
    made = await to_thread.run_sync(fleet.keymuster, "fleet", "add", "--json")
    token = EnrolmentToken.of(made.document["token"])
    _, sealing = new_sealing_key()
    request = EnrolmentRequest(name="a", public=new_user().public, sealing=sealing, release="1")
    stranger = await to_thread.run_sync(ssl.create_default_context)
    with pytest.raises(BusRefused, match="is not trusted"):
        await ask_for_enrolment(token, request, tls=stranger)
    tls = await to_thread.run_sync(lambda: ssl.create_default_context(cadata=token.ca))
    other = token.model_copy(update={"seed": new_user().seed})
    with pytest.raises(BusError, match="refuses this login"):
        await ask_for_enrolment(other, request, tls=tls)
    with pytest.raises(BusError, match="refuses this login"):
        await connect_appliance(token.url, name="a", zone="default", seed=new_user().seed, tls=tls)
    gc.collect()


def test_a_fleet_in_somebody_elses_account(keymuster: Product, tmp_path: Path) -> None:
    operator, account, signing, other = (
        new_key(KeyKind.OPERATOR),
        new_key(KeyKind.ACCOUNT),
        new_key(KeyKind.ACCOUNT),
        new_key(KeyKind.ACCOUNT),
    )
    word, seed = tmp_path / "account.jwt", tmp_path / "signing.seed"
    word.write_text(
        account_token(operator, account.public, name="A", signing_keys=[signing.public], jetstream=True, now=1e9)
    )
    given = ("fleet", "init", "--url", "tls://nats.example:4222", "--directory", tmp_path / "out", "--account", word)
    lacking = keymuster(*given)
    assert (lacking.code, "--account and --signing-key go together" in lacking.stderr) == (2, True)
    seed.write_text(other.seed)
    wrong = keymuster(*given, "--signing-key", seed)
    assert (wrong.code, "none of the signing keys of account" in wrong.stderr) == (2, True)
    seed.write_text(signing.seed)
    assert keymuster(*given, "--signing-key", seed).code == 0
    assert not (tmp_path / "out" / "fleet.conf").exists()
    assert EnrolmentToken.of(keymuster("fleet", "add").stdout).url == "tls://nats.example:4222"
    again = keymuster(*given, "--signing-key", seed)
    assert (again.code, "one state directory has one fleet" in again.stderr) == (2, True)


def test_keys_that_cannot_be_had(keymuster: Product, tmp_path: Path) -> None:
    nothing = keymuster("fleet", "add")
    assert nothing.code == 2
    assert "`keymuster fleet init` makes one" in nothing.stderr
    made = keymuster("fleet", "init", "--url", "tls://nats.example:4222", "--directory", tmp_path / "out")
    assert made.code == 0, made.stderr
    text = (keymuster.state / "fleet.json").read_text()
    assert not any(f'"S{kind.value}' in text for kind in KeyKind), "no seed lies there in the open"
    wrong = keymuster("fleet", "add", env={"KEYMUSTER_FLEET_KEY": "A" * 43 + "="})
    assert (wrong.code, "was encrypted under another key" in wrong.stderr) == (2, True)
    none = keymuster("fleet", "add", env={"KEYMUSTER_FLEET_KEY": "short"})
    assert (none.code, "it has 44 characters" in none.stderr) == (2, True)
    (keymuster.state / "fleet.key").rename(tmp_path / "elsewhere")
    gone = keymuster("fleet", "add")
    assert (gone.code, "set KEYMUSTER_FLEET_KEY" in gone.stderr) == (2, True)
    found = keymuster("fleet", "add", "--json", env={"KEYMUSTER_FLEET_KEY_FILE": str(tmp_path / "elsewhere")})
    conforms(found.document, "fleet-add")
    assert found.document["zone"] == "default"
    many = keymuster("fleet", "add", "--count", "0", env={"KEYMUSTER_FLEET_KEY_FILE": str(tmp_path / "elsewhere")})
    assert (many.code, "1 to 1000 appliances" in many.stderr) == (2, True)
    zone = keymuster("fleet", "add", "--zone", "a.b", env={"KEYMUSTER_FLEET_KEY_FILE": str(tmp_path / "elsewhere")})
    assert (zone.code, "'a.b' is no name of a zone" in zone.stderr) == (2, True)
