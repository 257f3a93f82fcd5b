from __future__ import annotations

import random
import re
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets import estate, material, spec
from targets.faults import FREE, HOST_FAULTS, HostFault, SecretState
from targets.sample_vault import SAMPLE
from targets.secret_server.templates import TEMPLATES
from targets.truth import truth
from targets.vault_faults import VAULT_FAULTS
from tests.unit.targets.targets_lab import build

FAULTS = sorted(HOST_FAULTS)


def of_a_host(fault: HostFault) -> bool:
    """May a host have it that asks a directory for its account?"""
    return fault.known and not fault.former_secret and fault.tells_members is None


@st.composite
def specs(draw: st.DrawFn) -> spec.EstateSpec:
    def group(n: int) -> spec.HostGroup:
        technology = draw(st.sampled_from(["unix", "windows"]))
        account = draw(st.sampled_from(["local", "CORP"]))
        known = [f for n in FAULTS if technology in (f := HOST_FAULTS[n]).technologies and FREE in f.roots]
        faults = [f.name for f in known if account == "local" or of_a_host(f)]
        return spec.HostGroup(
            count=draw(st.integers(1, 12)),
            technology=technology,
            network=IPv4Network(draw(st.sampled_from(["127.20.0.0/24", "127.20.0.0/28", "127.21.0.0/16"]))),
            faults=draw(st.dictionaries(st.sampled_from(faults), st.integers(1, 5), min_size=1, max_size=4)),
            account=account,
            user=draw(st.sampled_from(["scan", "Audit"])),
            secret_name=f"group{n}-{{address}}",
        )

    groups = tuple(group(n) for n in range(draw(st.integers(1, 2))))
    return spec.EstateSpec(seed=draw(st.integers(0, 2**32)), hosts=groups)


def buildable(made: spec.EstateSpec) -> estate.Estate | None:
    """None for what a network has no room for: two groups of 12 in a /28."""
    if sum(g.count for g in made.hosts) <= 14:
        return estate.build(made)
    try:
        return estate.build(made)
    except spec.EstateError:
        return None


@given(specs())
def test_the_same_spec_gives_the_same_estate(made: spec.EstateSpec) -> None:
    assert buildable(made) == buildable(spec.EstateSpec.model_validate(made.model_dump(exclude_unset=True)))


@given(specs())
def test_addresses_are_distinct_and_in_their_network(made: spec.EstateSpec) -> None:
    what = buildable(made)
    if what is None:
        return
    assert len(what.hosts) == sum(g.count for g in made.hosts)
    networks = [g.network for g in made.hosts for _ in range(g.count)]
    assert all(IPv4Address(a) in n for a, n in zip(what.hosts, networks, strict=True))


def test_a_network_may_be_full_but_for_what_no_connection_reaches() -> None:
    what = build('[[hosts]]\ncount = 16\nnetwork = "127.16.0.0/28"')
    assert list(what.hosts)[-2:] == ["127.16.0.0", "127.16.0.15"]
    # The vault's address, and the first and last of 127.0.0.0/8, are no hosts.
    assert "127.0.0.1" not in build('[[hosts]]\ncount = 14\nnetwork = "127.0.0.0/28"').hosts
    with pytest.raises(spec.EstateError, match="too few addresses"):
        build('[[hosts]]\ncount = 15\nnetwork = "127.0.0.0/28"')


def test_hosts_of_ipv6_have_names_of_their_own() -> None:
    what = build('[[hosts]]\ncount = 300\ntechnology = "windows"\nnetwork = "fd00:1::/64"\n[[hosts]]\ncount = 300')
    assert [*what.hosts][:2] == ["fd00:1::1", "fd00:1::2"]
    names = {host.name for host in what.hosts.values()}
    assert len(names) == 600
    assert max(map(len, names)) <= 15, "NetBIOS has room for no more"
    assert [str(network) for network in what.networks] == ["fd00:1::/64"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[hosts]]\nnetwork = "10.91.20.0/24"', "hosts.0: network 10.91.20.0/24 is not within 127.0.0.0/8"),
        ('reach = "networks"\n[[hosts]]\nnetwork = "8.8.8.0/24"', "network 8.8.8.0/24 is no private one"),
        ('reach = "everywhere"\n[[hosts]]\nnetwork = "10.91.20.0/24"', "reach: .*'loopback' or 'networks'"),
    ],
)
def test_hosts_are_off_loopback_only_where_the_file_says_so(text: str, said: str) -> None:
    with pytest.raises(spec.EstateError, match=said):
        build(text)


def test_hosts_that_others_reach_may_be_in_private_networks() -> None:
    what = build('reach = "networks"\n[[hosts]]\ncount = 2\nnetwork = "10.91.20.0/24"')
    assert list(what.hosts) == ["10.91.20.1", "10.91.20.2"]
    assert [str(network) for network in what.networks] == ["10.91.20.0/24"]


def test_a_vault_users_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    text = f'[vault]\nuser = "scan"\n[[vault.users]]\nname = "scan"\npassword_file = "{file}"\n'
    with pytest.raises(spec.EstateError, match=r"cannot read password_file .*: No such file"):
        build(text)
    file.write_text("\n")
    with pytest.raises(spec.EstateError, match=r"password_file .* is empty"):
        build(text)
    file.write_text("KMS-from-a-file\n")
    assert build(text).vault_password == "KMS-from-a-file"
    with pytest.raises(spec.EstateError, match="give `password` or `password_file`, not both"):
        build(text + 'password = "x"\n')


@given(specs())
def test_a_secret_opens_its_hosts_account_exactly_when_the_fault_says_so(made: spec.EstateSpec) -> None:
    what = buildable(made)
    for host in what.hosts.values() if what else ():
        account = what.accounts.get(host.account_key)  # type: ignore[union-attr] # no hosts without an estate
        assert (account is None) == (not host.fault.known)
        holds = account is not None and what.secrets[host.secret].material.password == account.password  # type: ignore[union-attr]
        assert holds == (host.fault.right_secret and host.fault.known)


@given(
    st.dictionaries(st.sampled_from(FAULTS), st.integers(1, 20), min_size=1), st.integers(1, 300), st.integers(0, 99)
)
def test_a_mix_is_dealt_in_proportion(weights: dict[str, int], count: int, seed: int) -> None:
    dealt = Counter(estate.deal(weights, count, random.Random(seed)))  # noqa: S311 - the same seed deals the same
    total = sum(weights.values())
    assert dealt.total() == count
    assert all(abs(dealt[name] - weight * count / total) < 1 for name, weight in weights.items())


def test_an_exact_mix_is_exact_and_its_order_is_the_seeds() -> None:
    text = "[[hosts]]\ncount = 90\nfaults = {none = 8, silent = 1}"
    first, second = (build(f"seed = {seed}\n{text}") for seed in (1, 2))
    faults = [[h.fault.name for h in e.hosts.values()] for e in (first, second)]
    assert [Counter(f) for f in faults] == [{"none": 80, "silent": 10}] * 2
    assert faults[0] != faults[1]


def test_values_are_markers_and_depend_on_the_seed() -> None:
    values = set()
    for seed in (1, 2):
        what = build(f'seed = {seed}\n[[hosts]]\ncount = 3\n[[hosts]]\nlogin = "key"\n[[secrets]]\nname = "own"')
        values.add(what.vault_password)
        for secret in what.secrets.values():
            values |= {secret.material.password, secret.material.passphrase, secret.material.key_comment}
    assert len(values) == 2 * (1 + 5 * 3)
    assert all(material.MARKER.fullmatch(v.encode()) for v in values)


def test_no_value_is_shown_by_a_repr() -> None:
    what = build("[[hosts]]\ncount = 2")
    assert not material.MARKER.search(repr(what).encode())


def test_a_private_key_file_opens_with_its_passphrase_only_and_carries_its_marker() -> None:
    one = material.Material(7, "x")
    pem = one.private_key_file()
    key = asyncssh.import_private_key(pem, one.passphrase)
    assert key.public_data == one.public_blob
    assert key.get_comment() == one.key_comment
    assert pem == material.Material(7, "x").private_key_file()
    assert not material.MARKER.search(pem)
    with pytest.raises(asyncssh.KeyEncryptionError):
        asyncssh.import_private_key(pem, "KMS-" + 24 * "0")


def test_one_shared_wrong_secret_of_a_directory_is_wrong_for_every_host() -> None:
    what = build(
        '[[hosts]]\ncount = 500\nfault = "wrong_password"\naccount = "CORP"\nsecret = "shared"\nsecret_name = "s"'
    )
    assert set(what.secrets) == {"s"}
    assert len(what.accounts) == 1
    assert {h.secret for h in what.hosts.values()} == {"s"}
    [account] = what.accounts.values()
    assert account.password != what.secrets["s"].material.password
    assert what.directories["corp"].threshold == 5


def test_a_shared_secret_with_local_accounts_may_be_wrong_for_some() -> None:
    what = build('[[hosts]]\ncount = 4\nsecret = "shared"\nfaults = {none = 3, wrong_password = 1}')
    [secret] = what.secrets.values()
    right = {h.address for h in what.hosts.values() if what.accounts[h.account_key] == secret.material}
    assert right == {h.address for h in what.hosts.values() if h.fault.name == "none"}


def test_truth_names_port_fault_and_secret() -> None:
    what = build(
        '[[hosts]]\nfault = "closed"\n[[hosts]]\nfault = "secret_missing"\naccount = "CORP"\nuser = "svc"\n'
        'secret_name = "{user} on {address}"'
    )
    named = {"technology": "unix", "login": "password", "named_by": "name", "root": "free", "root_secret": ""}
    common: dict[str, Any] = named | {"latency": 0.0, "at_times": []}
    assert list(truth(what, ports={"unix": 22, "windows": 445}, closed_port=9)) == [
        common
        | {
            "address": "127.20.0.1", "port": 9, "fault": "closed", "user": "scan",
            "secret": "unix-127.20.0.1", "account": "local",
        },
        common
        | {
            "address": "127.20.0.2", "port": 22, "fault": "secret_missing", "user": "svc",
            "secret": "svc on 127.20.0.2", "account": "CORP",
        },
    ]  # fmt: skip
    assert what.secrets["svc on 127.20.0.2"].state is SecretState.MISSING


def test_own_secrets_take_a_given_password() -> None:
    what = build(
        '[[secrets]]\nname = "win_scan_secret"\ntemplate = "windows"\nuser = "vm_scan_account"\npassword = "given"'
    )
    assert what.secrets["win_scan_secret"].material.password == "given"
    assert what.secrets["win_scan_secret"].user == "vm_scan_account"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sed = 7", ["estate.toml:1: sed: unknown key; did you mean seed? Known here: directories, hosts, reach, "]),
        ('[vault]\nuser = "x"\nuzer = "y"', ["estate.toml:3: vault.uzer: unknown key; did you mean user?"]),
        (
            "[[hosts]]\nsshd = { max_session = 3 }",
            ["hosts.0.sshd.max_session: unknown key; did you mean max_sessions?"],
        ),
        (
            "[vault]\ntls = { certificat = 1 }",
            ["certificat: unknown key; did you mean certificate? Known here: certificate, key"],
        ),
        ("[[timeline.events]]\nat = 1\nlast = 2", ["timeline.events.0.last: unknown key; did you mean lasts?"]),
        ("[[hosts]]\nzzz = 3", ["hosts.0.zzz: unknown key; Known here: account, "]),
        ('[[hosts]]\n[[hosts]]\nfault = "sillent"', ["estate.toml:3: hosts.1.fault", "'sillent'", "silent"]),
        ("[[hosts]]\nfaults = {non = 1}", ["estate.toml:2: hosts.0.faults", "'non'"]),
        (
            '[vault]\nuser = "x"\n[[vault.users]]\nname = "a"\n[[vault.users]]\nname = "b"\naddresses = ["1.2.3"]',
            ["estate.toml:7: vault.users.1.addresses.0", "1.2.3"],
        ),
        (
            '[vault]\n[[vault.users]]\nname = "a"\n[[vault.users]]\nname = "A"',
            ["estate.toml:1: vault: user given twice"],
        ),
        ('[vault]\nmount = "/api/x"', ["estate.toml:1: vault: mount /api/x"]),
        ('[vault]\n[[vault.onboarding]]\nrule = "r"\nuser = "b"', ["estate.toml:1: vault: onboarding", "b"]),
        ("[vault.weather]\nlatency = {median = 3, p99 = 1}", ["estate.toml:2: vault.weather.latency", "median"]),
        ('[[secrets]]\nname = "a"\ncount = 2', ["estate.toml:1: secrets.0", "{n}"]),
        ('[[secrets]]\nname = "a"\nsecurity = {change_on_checkin = true}', ["estate.toml:3: secrets.0.security"]),
        ('[vault]\nfaults = ["up"]', ["estate.toml:2: vault.faults.0", "'up'", "down"]),
        ('[[hosts]]\nfault = "none"\nfaults = {none = 1}', ["estate.toml:1: hosts.0: give `fault` or `faults`"]),
        ('[[hosts]]\nnetwork = "10.0.0.0/8"', ["10.0.0.0/8 is not within 127.0.0.0/8"]),
        ('[[hosts]]\ntechnology = "vms"', ["hosts.0.technology", "'unix'"]),
        (
            '[[hosts]]\ntechnology = "windows"\nfault = "no_sudo"',
            ['fault "no_sudo" is none that a windows host may have'],
        ),
        ('[[hosts]]\nfault = "disabled"', ['fault "disabled" is none that a unix host may have']),
        ('[[hosts]]\ntechnology = "windows"\nlogin = "key"', ['login = "key" is for unix hosts']),
        (
            '[[hosts]]\ntechnology = "windows"\naccount = "CORP"\nfault = "uac_filtered"',
            ['"uac_filtered" is of a local account: UAC filters no other\'s token'],
        ),
        ('[[hosts]]\nlogin = "nt-hash"', ['login = "nt-hash" is for windows hosts']),
        ('[[hosts]]\nlogin = "key"\nfault = "key_only"', ['"key_only" is none']),
        ('[[hosts]]\nlogin = "key"\nfaults = {none = 1, locked = 1}', ['"locked" is none where login = "key"']),
        ('[[hosts]]\nsecret_name = "s"', ["needs {address}"]),
        ('[[hosts]]\nnamed_by = "machine"\nsecret = "shared"', ["a shared secret is for no machine"]),
        ('[[hosts]]\nsecret = "shared"\nfaults = {none = 1, secret_missing = 1}', ["groups of their own"]),
        (
            '[[hosts]]\nsecret = "shared"\naccount = "D"\nfaults = {none = 1, wrong_password = 1}',
            ["right or wrong for all"],
        ),
        ('[[secrets]]\nname = "a"\n[[secrets]]\nname = "A"', ["secret given twice: a"]),
        ('[[directories]]\nname = "a"\n[[directories]]\nname = "A"', ["directory given twice: a"]),
        ('[[secrets]]\nname = "a"\ntemplate = "windows"\nlogin = "key"', ["no private key"]),
        ('[[directories]]\nname = "a"\nwindow = "30 minutes"', ["estate.toml:3: directories.0.window"]),
        ("[[hosts]\n", ["not TOML"]),
        ('[[hosts]]\ncount = 9\nnetwork = "127.9.9.0/29"', ["network 127.9.9.0/29 has too few addresses"]),
        ('[[hosts]]\n[[secrets]]\nname = "unix-127.20.0.1"', ['two secrets are named "unix-127.20.0.1"']),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_key(text: str, said: list[str]) -> None:
    with pytest.raises(spec.EstateError) as caught:
        build(text)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_durations_and_seed() -> None:
    made = spec.parse('seed = 3\n[[directories]]\nname = "D"\nwindow = "30m"\nlockout = 5', seed=9)
    assert made.seed == 9
    assert (made.directories[0].window, made.directories[0].lockout) == (1800.0, 5.0)


def test_the_loopback_address_of_the_services_is_no_host() -> None:
    assert list(build('[[hosts]]\nnetwork = "127.0.0.0/29"\ncount = 2').hosts) == ["127.0.0.2", "127.0.0.3"]


def test_every_fault_says_what_it_means() -> None:
    meanings = [f.meaning for f in HOST_FAULTS.values()] + [f.meaning for f in VAULT_FAULTS.values()]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)


def test_the_sample_vault_and_the_estate_of_its_page_are_estates() -> None:
    page = (Path(__file__).parents[3] / "docs" / "lab-vault.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(build(example).secrets) == 1000
    sample = build(SAMPLE)
    assert {s.template for s in sample.secrets.values()} == set(TEMPLATES)


@pytest.mark.parametrize(
    ("text", "said"), [("seed = " + "1" * 5000, "Exceeds the limit"), ("seed = " + "[" * 5000, "too deeply")]
)
def test_toml_that_python_refuses(text: str, said: str) -> None:
    with pytest.raises(spec.EstateError, match=f"estate.toml: not TOML that can be read: .*{said}"):
        spec.parse(text)


def test_more_secrets_than_a_vault_can_be_given() -> None:
    with pytest.raises(spec.EstateError, match=r"estate.toml:3: secrets.0.count: .*1000000"):
        spec.parse('[[secrets]]\nname = "s{n}"\ncount = 1_000_000_000_000\n')


def test_what_is_given_twice_among_many() -> None:
    names = [*range(20_000), 7]
    with pytest.raises(spec.EstateError, match=r"directory given twice: d7$"):
        spec.parse("".join(f'[[directories]]\nname = "d{name}"\n' for name in names))


def test_root_has_a_secret_of_its_own_where_su_is_the_way() -> None:
    made = estate.build(
        spec.parse('[[hosts]]\ncount = 2\nroot = "su"\nfaults = { none = 1, root_wrong_password = 1 }\n')
    )
    for host in made.hosts.values():
        secret = made.secrets[host.root_secret]
        assert (secret.name, secret.user, secret.machine) == (f"unix-root-{host.address}", "root", host.address)
        right = made.accounts[host.root_key].password == secret.material.password
        assert right is (host.fault.name == "none")


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ('fault = "su_denied"', 'fault "su_denied" is for hosts with root = "su"'),
        ('root = "su"\nfault = "no_sudo"', 'fault "no_sudo" is for hosts with root = "free"'),
        ('technology = "windows"\nroot = "own"', 'root = "own" is for unix hosts'),
    ],
)
def test_ways_to_root_that_cannot_be(group: str, says: str) -> None:
    with pytest.raises(spec.EstateError, match=says):
        spec.parse(f"[[hosts]]\n{group}\n")
