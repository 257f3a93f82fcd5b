"""No name of an estate is in a bundle, wherever it was: each is a word of its own here, which is then looked for."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from orchestrator.campaign import parse_campaign
from orchestrator.report.summary import summarise
from orchestrator.store.records import LogonCount
from orchestrator.support import contents
from orchestrator.support.pseudonyms import Pseudonyms
from tests.unit.report.report_rows import finished, outcome, rows

CAMPAIGN = """
name = "qx-campaign"
[[vaults]]
title = "QX-Vault title"
type = "Thycotic Secret Server"
url = "https://qx-vault.qx-company.example/qx-vaultuser/SecretServer"
user = "qx-vaultuser"
domain = "QX-VAULTDOMAIN"
password = { file = "/qx-path/password" }
tls = { ca = "/qx-path/ca.pem" }
proxy = "http://qx-proxy.example:3128"
[[records]]
title = "QX-Windows record"
technology = "windows"
login_type = "vault"
user = "qx-winuser"
vault = "QX-Vault title"
secret = "qx-winsecret"
domain = "QX-WINDOMAIN"
ips = ["10.99.1.1"]
kerberos = "prefer"
realm = "qx-realm.example"
kdc = ["qx-dc.qx-realm.example:8888", "10.99.5.5"]
[[records]]
title = "QX-Unix record"
technology = "unix"
login_type = "vault"
user = "qx-unixuser"
vault = "QX-Vault title"
secret = { path = '\\qx-folder\\{address}' }
accounts = "QX-LDAP"
known_hosts = "/qx-path/known_hosts"
ips = ["10.99.1.2"]
[records.jump]
host = "qx-bastion.example"
user = "qx-jumper"
secret = "qx-jump-secret"
accounts = "QX-JUMPERS"
known_hosts = "/qx-path/jump"
[[records]]
title = "QX-Unix record 2"
technology = "unix"
login_type = "vault"
user = "qx-unixuser"
vault = "QX-Vault title"
secret = "qx-other"
ips = ["10.99.1.9"]
private_key = true
fallback = [{ secret = "qx-fallback-key", private_key = true }, { password = "login" }]
jump = { host = "10.99.1.7", user = "qx-jumper", secret = "qx-jump-secret", vault = "QX-Vault title" }
[targets]
include = ["10.99.1.1", { address = "10.99.1.2", fqdn = "qx-host.qx-company.example" },
    "qx-later.example", { address = "10.99.1.3", host = "qx-short", domain = "qx-zone.example" }]
exclude = ["qx-out.example"]
"""


async def test_no_name_is_in_any_file() -> None:
    campaign = parse_campaign(CAMPAIGN, "campaign.toml")
    outcomes = [
        outcome(
            "BAD_CREDENTIALS",
            "10.99.1.1",
            record="QX-Windows record",
            user="qx-winuser",
            vault="QX-Vault title",
            secret="qx-winsecret",
            account="qx-winuser@dir:qx-windomain",
            appliance="qx-appliance",
            text="QX-WINDOMAIN\\qx-winuser at qx-netbios: logon failure from 10.99.7.7",
            facts={
                "netbios_host": "QX-NETBIOS",
                "dns_host": "qx-netbios.qx-company.example",
                "dns_domain": "qx-company.example",
                "host_key": "ssh-ed25519 NKEY",
                "dialect": "3.1.1",
                "realm": "QX-OTHERREALM.EXAMPLE",
                "service": "cifs/qx-service.qx-company.example",
                "kdc": "10.99.5.5:88",
                "kerberos": "KDC_UNREACHABLE: qx-dc.qx-realm.example: no answer",
                "hostname": "qx-unixhost",
                "answer": "2 of 3: key of secret qx-fallback-key",
                "warning": "qx-unixhost speaks",
                "groups": "qx-group",
                "id": "uid=7(qx-winuser) gid=8(qx-group)",
                "sudo_rules": "(qx-group) ALL",
                "host_certificate": "'qx-cert' for qx-unixhost",
            },
        ),
        outcome("PORT_CLOSED", "qx-host.qx-company.example", record="QX-Unix record", user="qx-unixuser"),
        outcome(
            "JUMP_REFUSED",
            "10.99.1.2",
            record="QX-Unix record",
            user="qx-unixuser",
            text="jump host qx-bastion.example:22: BAD_CREDENTIALS for qx-jumper",
            facts={
                "jump_host": "qx-bastion.example:22",
                "jump_host_key": "NKEY",
                "jump_host_certificate": "'qx-cert' for qx-bastion",
                "jump_addresses": "10.99.1.7 connected",
            },
        ),
    ]
    run = replace(finished(outcomes), campaign="qx-campaign")
    summary = await summarise(run, rows(*outcomes), ())
    names, kept = Pseudonyms(), [row async for row in rows(*outcomes)]
    contents.learn_campaign(names, campaign)
    for row in kept:
        contents.learn_row(names, row)
    log = "scan of 10.99.1.1 as qx-winuser\nqx-vault.qx-company.example: refused qx-vaultuser\n/qx-path/ca.pem: gone\n"
    log += "qx-later.example, qx-short and x.qx-zone.example wait, qx-out.example does not\n"
    items = [
        contents.settings_item(names, campaign),
        contents.run_item(names, run, summary, [LogonCount("qx-winuser@dir:qx-windomain", 1, 0, 1)]),
        contents.outcomes_item(names, kept),
        contents.log_item(names, "logs/appliance.log", "log", log),
    ]
    for item in items:
        assert "qx-" not in item.text.casefold(), item.name
        assert "10.99." not in item.text
        assert "NKEY" not in item.text
    first = json.loads(items[2].text.splitlines()[0])
    assert (first["reason"], first["facts"]["dialect"]) == ("BAD_CREDENTIALS", "3.1.1")
    assert first["facts"].keys() == {
        *("netbios_host", "dns_host", "dns_domain", "dialect", "hostname", "warning"),
        *("realm", "service", "kdc", "kerberos", "answer"),
    }
    assert re.search(r"logon failure from address-\d+$", first["text"])
    settings = json.loads(items[0].text)
    assert [r["ips"] for r in settings["records"]] == [1, 1, 1]
    assert settings["records"][1]["jump"]["port"] == 22
    assert settings["vaults"][0]["password_from"] == "file"
