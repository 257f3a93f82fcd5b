"""Lists of targets, in each format that is read: what is found, what is refused, and on which line."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.campaign_model import TargetEntry
from orchestrator.inventory.found import InventoryError, InventoryFormat
from orchestrator.inventory.reading import ENTRIES_MAX, detect, read_inventory

PLAIN = "# ours\n10.0.0.1\n10.1.0.0/24   # lab\n10.2.0.1-10.2.0.9\nweb.example\n2001:db8::1\n"
CSV = 'Owner;"IP Address";FQDN\nops;10.0.0.1;web.example\n\nops;10.0.0.2;\nops;;db.example\n'
NMAP = """<?xml version="1.0"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap">
<host><status state="up"/><address addr="10.0.0.1" addrtype="ipv4"/><address addr="00:11:22:33:44:55" addrtype="mac"/>
<hostnames><hostname name="web.example" type="PTR"/></hostnames>
<ports><port protocol="tcp" portid="22"><state state="open"/><service name="ssh"/></port></ports></host>
<host><status state="down"/><address addr="10.0.0.2" addrtype="ipv4"/></host>
<host><status state="up"/><address addr="10.0.0.3" addrtype="ipv4"/>
<ports><port protocol="tcp" portid="80"><state state="open"/></port></ports></host>
<host><status state="up"/><address addr="10.0.0.4" addrtype="ipv4"/>
<ports><port protocol="tcp" portid="2222"><state state="open"/><service name="ssh"/></port></ports></host>
</nmaprun>
"""
INI = """\
; inventory
bastion.example
[web]
web[01:03].example
app ansible_host=10.0.0.9 ansible_password=KMS-secret
[web:vars]
ansible_become_pass=KMS-secret
ntp=pool.example
[all:children]
web
[control]
localhost ansible_connection=local
"""
YAML = """\
---
all:
  hosts:
    bastion.example:
  children:
    web:
      hosts:
        web[1:2].example:
        app:
          ansible_host: 10.0.0.9
          ansible_ssh_pass: KMS-secret
      vars:
        ansible_password: KMS-secret
"""


def told(text: str | bytes, form: InventoryFormat | None = None) -> tuple[list[Any], list[tuple[int, str]]]:
    """Entries as addresses or (address, name), and refusals with their lines."""
    found = read_inventory(text.encode() if isinstance(text, str) else text, form)
    entries = [(e.address, e.fqdn or e.host) if e.fqdn or e.host else e.address for e in found.entries]
    return entries, [(r.line, r.why) for r in found.refusals]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (PLAIN, InventoryFormat.LIST),
        (CSV, InventoryFormat.CSV),
        (NMAP, InventoryFormat.NMAP),
        (INI, InventoryFormat.ANSIBLE_INI),
        (YAML, InventoryFormat.ANSIBLE_YAML),
        ("", InventoryFormat.LIST),
        ("10.0.0.1", InventoryFormat.LIST),
        ("app ansible_host=10.0.0.1", InventoryFormat.ANSIBLE_INI),
    ],
)
def test_a_lists_content_tells_what_it_is(text: str, form: InventoryFormat) -> None:
    assert detect(text) is form


def test_a_plain_list() -> None:
    entries, refusals = told(PLAIN)
    assert entries == ["10.0.0.1", "10.1.0.0/24", "10.2.0.1-10.2.0.9", "web.example", "2001:db8::1"]
    assert refusals == []


@pytest.mark.parametrize(
    "change",
    [lambda t: t.replace("\n", "\r\n"), lambda t: t.replace("\n", "\r"), lambda t: "\ufeff" + t],
    ids=["CRLF", "CR", "BOM"],
)
@pytest.mark.parametrize("text", [PLAIN, CSV, INI, YAML], ids=["list", "csv", "ini", "yaml"])
def test_line_ends_and_a_byte_order_mark_change_nothing(text: str, change: Any) -> None:
    assert told(change(text)) == told(text)


def test_csv_takes_its_columns_by_their_names() -> None:
    entries, refusals = told(CSV + "ops;not an address!;\nops;;\nops;10.0.0.1;web.example\n")
    assert entries == [("10.0.0.1", "web.example"), "10.0.0.2", "db.example"]
    assert [line for line, _ in refusals] == [6, 7]
    assert "neither an address nor a name" in refusals[1][1]


def test_nmap_gives_hosts_that_are_up_with_a_login_service() -> None:
    entries, refusals = told(NMAP)
    assert entries == [("10.0.0.1", "web.example"), "10.0.0.4"]
    assert refusals == [(8, "10.0.0.3 has neither SSH (22) nor SMB (445) open; it is left out")]


@pytest.mark.parametrize("text", [INI, YAML], ids=["ini", "yaml"])
def test_an_ansible_inventory_gives_its_hosts_and_no_password(text: str) -> None:
    entries, refusals = told(text)
    assert entries[0] == "bastion.example"
    assert {"web01.example", "web02.example"} <= set(entries) or {"web1.example", "web2.example"} <= set(entries)
    assert ("10.0.0.9", "app") in entries
    assert "KMS-secret" not in repr((entries, refusals))
    assert sum("is ignored: credentials come from the vault" in why for _, why in refusals) == 2
    for line, why in refusals:
        assert why.split()[0].strip("'") in text.splitlines()[line - 1]


def test_hosts_without_a_network_and_templates_are_told() -> None:
    _, refusals = told("[a]\nbox ansible_connection=docker\nvm ansible_host={{ address }}\nbad 'quote\n")
    assert [line for line, _ in refusals] == [2, 3, 4]


@pytest.mark.parametrize("line", ["web1 web2", "10.0.0.1 - 10.0.0.9", "web1 ansible_password = KMS-secret"])
def test_a_word_of_an_ansible_inventory_that_is_no_variable_is_refused(line: str) -> None:
    entries, refusals = told(f"[web]\nweb0\n{line}\n")
    assert entries == ["web0"]
    [(number, why)] = refusals
    assert (number, why[:33], "KMS" in why) == (3, "has a word that is no variable (n", False)


def test_repeated_targets_are_merged_and_counted() -> None:
    found = read_inventory(b"10.0.0.1\n10.0.0.1\n10.0.0.2\n")
    assert (len(found.entries), found.repeated) == (2, 1)
    assert list(found.entries.values()) == [1, 3], "where they were first met"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("10.0.0.256", "10.0.0.256"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("10.0.0.9-10.0.0.1", "10.0.0.9-10.0.0.1"),
        ("10.0.0.1 10.0.0.2", "more than one word"),
        ("scan KMS-password", "more than one word"),
        ("-bad-.example", "-bad-.example"),
    ],
)
def test_a_line_that_is_no_target_is_refused_by_its_number(line: str, said: str) -> None:
    entries, refusals = told(f"10.0.0.1\n{line}\n10.0.0.2\n", InventoryFormat.LIST)
    assert entries == ["10.0.0.1", "10.0.0.2"]
    [(number, why)] = refusals
    assert (number, said in why, "KMS" in why) == (2, True, False)


@pytest.mark.parametrize(
    ("data", "form", "line", "said"),
    [
        ("10.0.0.1\n".encode("utf-16"), None, 0, "is UTF-16"),
        (b"10.0.0.1\n\xe4\n", None, 2, "is not UTF-8"),
        (b"a,b\n1,2\n", InventoryFormat.CSV, 1, "names no column"),
        (b'ip\n10.0.0.1\n"open\n', None, 3, "is no CSV"),
        (b"<nmaprun>\n<host>\n", None, 3, "is no XML"),
        (b"<html/>", None, 1, "is XML of something else"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><nmaprun>&b;</nmaprun>', None, 0, "EntitiesForbidden"),
        (b"---\n- 10.0.0.1\n", None, 1, "is YAML, but no inventory"),
        (b"all:\n\thosts: {}\n", None, 2, "is no YAML"),
        (b"[web]\nweb[1:99999999]\n", None, 2, "a range of more than"),
        (b"[web]\nweb[1:9999][1:9999]\n", None, 2, "ranges of more than"),
        (b"[web]\nweb[a:99]\n", None, 2, "a range that is none"),
        (b"[web]\nweb[5:1]\n", None, 2, "ends before it begins"),
        (b"[web]\nweb[0:65535][0:65535][5:1]\n", None, 2, "ranges of more than"),
        (b"[web]\nweb[0:99999999999999999999]\n", None, 2, "a range that is none"),
        (b"[web]\nweb[0:" + b"9" * 5000 + b"]\n", None, 2, "a range that is none"),
        (b"[web:hots]\n10.0.0.1\n", InventoryFormat.ANSIBLE_INI, 1, "of kind 'hots'"),
        (b"[web:vars\nansible_password=KMS\n", InventoryFormat.ANSIBLE_INI, 1, "is none; write [group]"),
        *(
            (b'<?xml version="1.0" encoding="%s"?><nmaprun/>' % name, None, 1, "an encoding")
            for name in (b"foo", b"idna", b"shift_jis")
        ),
    ],
)
def test_what_cannot_be_read_at_all(data: bytes, form: InventoryFormat | None, line: int, said: str) -> None:
    with pytest.raises(InventoryError) as caught:
        read_inventory(data, form)
    assert (caught.value.line, said in str(caught.value)) == (line, True), str(caught.value)


def test_yaml_that_nests_or_repeats_itself_without_end() -> None:
    deep = "all:\n" + "".join(f"{' ' * 2 * n}children:\n{' ' * (2 * n + 1)}g{n}:\n" for n in range(1, 60))
    with pytest.raises(InventoryError, match="too deeply"):
        read_inventory(deep.encode(), InventoryFormat.ANSIBLE_YAML)
    loop = "all: &a\n  hosts:\n    web.example:\n  children:\n    again: *a\n"
    assert told(loop)[0] == ["web.example"]


def test_yaml_that_an_alias_multiplies_is_read_once() -> None:
    """3,000 groups that share 3,000 hosts with 3,000 variables in common are not 27 billion things to read."""
    many = range(3000)
    variables = "".join(f"      v{n}: x\n" for n in many)
    hosts = "".join(f"      h{n}.example: *v\n" for n in many)
    groups = "".join(f"g{n}: {{hosts: *h}}\n" for n in many)
    text = f"first:\n  hosts: &h\n    h.example: &v\n      ansible_password: KMS\n{variables}{hosts}".replace(
        "      h", "    h"
    )
    found = read_inventory((text + groups).encode(), InventoryFormat.ANSIBLE_YAML)
    assert (len(found.entries), found.repeated, len(found.refusals)) == (3001, 0, 1)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("all:\n  hosts: [10.0.0.1]\n", 2, "hosts is no mapping"),
        ("all:\n  children: web\n", 2, "children is no mapping"),
        ("one: &o\n  vars: {a: b}\ntwo:\n  <<: *o\n", 4, "'two' merges another"),
        ("all:\n  hosts:\n    a.example: &a {x: y}\n    b.example:\n      <<: *a\n", 5, "merges other variables"),
    ],
)
def test_yaml_of_which_nothing_would_be_read_is_told(text: str, line: int, said: str) -> None:
    [(where, why)] = told(text, InventoryFormat.ANSIBLE_YAML)[1]
    assert (where, said in why) == (line, True), why


def test_yaml_whose_address_is_null_has_the_name_only() -> None:
    assert told("all: {hosts: {web.example: {ansible_host: null}, db.example: {ansible_host: }}}")[0] == [
        "web.example",
        "db.example",
    ]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("-" * 200_000 + " " + "-" * 200_000 + " x", InventoryFormat.LIST),
        ("a" * 300_000, InventoryFormat.LIST),
        ("[a:vars]\n" + "a" * 400_000, InventoryFormat.ANSIBLE_INI),
        ("a" + "[" * 200_000, InventoryFormat.ANSIBLE_INI),
        ("a" + "[0:0]" * 2_000, InventoryFormat.ANSIBLE_INI),
        ("ip\n" + "a" * 100_000, InventoryFormat.CSV),
    ],
    ids=["dashes", "name", "variable", "brackets", "ranges", "cell"],
)
def test_a_line_without_end_is_refused_at_once_and_in_few_words(text: str, form: InventoryFormat) -> None:
    entries, refusals = told(text, form)
    assert entries == []
    assert all(len(why) < 200 for _, why in refusals)


def test_a_password_where_a_host_should_stand_is_not_quoted() -> None:
    [(line, why)] = told("[web]\nansible_password=KMS-secret\n")[1]
    assert (line, "begins with a variable" in why, "KMS" in why) == (2, True, False)


def test_a_bad_name_beside_a_good_address_is_the_one_that_is_quoted() -> None:
    assert told("ip,name\n10.0.0.1,we b\n")[1] == [(2, "'we b' is no host name; correct it, or leave it out")]


def test_repetition_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.inventory.reading.READ_MAX", 100)
    lines = b"[a]\nweb[1:50].example\nweb[1:50].example\n"
    assert read_inventory(lines).repeated == 50
    with pytest.raises(InventoryError, match="more than once"):
        read_inventory(lines + b"web1.example\n")


def test_too_many_targets() -> None:
    lines = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(3))
    assert len(read_inventory(lines.encode()).entries) == 3
    assert ENTRIES_MAX >= 1_000_000


@settings(deadline=None)
@given(st.text(), st.sampled_from(InventoryFormat))
@example("[" * 2000, InventoryFormat.ANSIBLE_YAML)
@example("a[0:z]", InventoryFormat.ANSIBLE_INI)
def test_whatever_a_list_says_only_documented_errors_are_raised(text: str, form: InventoryFormat) -> None:
    try:
        found = read_inventory(text.encode("utf-8", "ignore"), form)
    except InventoryError:
        return
    assert all(isinstance(entry, TargetEntry) for entry in found.entries)


@given(st.binary(max_size=200))
def test_whatever_bytes_come(data: bytes) -> None:
    with contextlib.suppress(InventoryError):
        read_inventory(data)
