"""The commented campaign that `keymuster init` writes: every key, one vault and one record filled in."""

from __future__ import annotations

import json
from dataclasses import dataclass

from appliance.contract import Technology

_HEAD = """\
# A campaign: which hosts to log in to, as whom, with which secret of which vault.
# `keymuster plan FILE` says what a run would do; `keymuster config check FILE` checks this file.
# What is commented out shows a key's default, or another way to write it. No secret ever stands in this file.

name = {name}

# What a run must reach, else its exit code is 1. Metrics: coverage (passed and passed*, as a share of all),
# status.NAME and reason.CODE (a count, or a share: 2%), phase.NAME.p95 (a duration).
gate = ["coverage>=0.98", "reason.ACCOUNT_LOCKED==0"]
# priority = 10   # its runs' weight beside others in one `keymuster` (1 to 1000)

# -- where the credentials are -----------------------------------------------------------------------------------------
[[vaults]]
title = {vault}
type = "Thycotic Secret Server"
url = {url}
user = {vault_user}
{vault_domain}
# Where the password of this login is: {{ env = "NAME" }}, {{ file = "PATH" }}, {{ prompt = true }} (asked at the start)
# or {{ keyring = "service/user" }}. A path is relative to this file.
password = {{ {reference_kind} = {reference} }}
# api = "rest"       # or "soap", which knows no paths or folders; "auto" finds out which of them the vault answers in
# fetch = "per-target"   # one view of a secret per target; "shared": one for all that ask within max_age
# max_age = "1m"
# comment = "{{campaign}}, run {{run}}: {{target}}"   # for the vault's audit; also {{job}}, {{record}}
# ticket = "CHG-4711"     # the ticket on whose account secrets are read
# ticket_system = 3       # its system's id in the vault
# approval = "fail"       # or "request": access that somebody has to approve is asked for, and waited for
# approval_wait = "30m"   # for so long, by the jobs that need it
# approval_window = "4h"  # how long access is asked for, from the request on
# check_out = true   # secrets that want it are checked out for the run, and given back at its end
# proxy = "http://proxy.example:3128"   # between the appliances and the vault
# How its https is judged: by a CA to trust instead of the system's, and by its public key (`keymuster vault test` shows
# the pin), one of several if you like; with verify = false by the pin alone.
# tls = {{ ca = "vault-ca.pem", verify = true, pin = "sha256//..." }}
# For a vault that demands a client certificate, in PEM; its key is had as the password is:
# tls = {{ client_cert = "client.pem", client_key = {{ file = "client-key.pem" }} }}
# client_key_passphrase = {{ env = "NAME" }}, where the key is encrypted, and plain_http = true, which lets a vault be
# asked by http from off this machine, go into the same braces.

# -- who logs in where: authentication records -------------------------------------------------------------------------
[[records]]
title = {record}
technology = "{technology}"   # windows (SMB) or unix (SSH)
login_type = "vault"
user = {user}
vault = {vault}
# The secret's exact name; or {{ id = 42 }}, {{ path = "\\\\Folder\\\\name" }}; or, where the vault has one secret per
# host, the one with the host in its Machine field: {{ machine = "{{host}}" }}, narrowed perhaps by
# template = "Unix Account (SSH)" and folder = "\\\\Linux". Name, path and machine may hold {{host}}, {{address}},
# {{fqdn}} and {{domain}} of the target, as the target list gives them: "{{host}}-root".
secret = {secret}
ips = {ips}   # addresses, ranges a-b, CIDR blocks; DNS names as in the targets
# At most so many failed logons of this account within the window. It is what keeps the account from being locked:
# stay below the directory's threshold.
# failure_budget = 2
# failure_window = "30m"
"""

_WINDOWS = """\
# domain = "CORP"
# How hosts are chosen: netbios-user-selected (by ips), netbios-service-selected (any host that says it is of the
# domain; no ips), active-directory (no ips), local (by ips; the account is each host's own).
# domain_type = "netbios-user-selected"
# accounts = "NAME"   # the directory of this user, where several records with other domains share it
# port = 445
# Tickets are for a host's name: its targets are names, or have an fqdn.
# kerberos = "off"           # or "required"; "prefer": NTLM where no domain controller is there or knows the name
# realm = "corp.example"     # the directory's full name; default: domain, where that is one
# kdc = "dc1.corp.example"   # its domain controllers, host or host:port; default: what the realm's name resolves to
# nt_hash = false            # the secret's password field holds an NT hash: 32 hex digits, or LM:NT
"""

_UNIX = """\
# Who locks this user: "local" (each host by itself) or the name of a directory. Without it, all hosts of the record are
# taken to share one.
# accounts = "local"
# private_key = false        # the secret holds a private key
# certificate = "id-cert.pub"  # and this is its OpenSSH user certificate; not needed where the secret has it as a field
# fallback = [{{ secret = "NAME", private_key = true }}, {{ password = "login" }}]  # where the host refuses the key, in
#                            # this order: further keys, and at most one password; "login": of the record's own secret
# How the login becomes root: "none" or "sudo", without a password; {{ type = "sudo", password = "login" }} answers sudo
# with the login's own where it asks, {{ type = "sudo", secret = "NAME" }} with another secret's; for su it is
# {{ type = "su", secret = "root-{{host}}" }}. More of it: docs/secrets.md.
# root_delegation = "none"
# host_keys = "tofu"         # trust the first key a host shows; or "pinned", "any"
# known_hosts = "known_hosts"  # keys that hosts are known by before they have been seen (OpenSSH's format, with
#                              # @cert-authority and @revoked)
# crypto = "compat"          # or "modern", "legacy"
# port = 22
# For hosts that are reached through another SSH host. Who logs in there is an account too; vault, accounts, port,
# private_key, host_keys, known_hosts and crypto go into the braces where they are not as here, or where it is not the
# jump host itself that locks its user: vault = "...", accounts = "NAME".
# jump = {{ host = "bastion.example", user = "svc_jump", secret = "jump_secret", port = 22, host_keys = "tofu" }}
"""

_TAIL = """\

# -- what to try -------------------------------------------------------------------------------------------------------
[targets]
# Addresses, ranges, CIDR blocks (every address of them), DNS names, or a host with what secrets are named by:
# {{ address = "10.0.0.5", host = "web1", fqdn = "web1.corp.example", domain = "corp.example" }}
include = {ips}
exclude = []
# technologies = ["windows", "unix"]   # default: for each target those that some record could serve

[pace]
# retries = 1               # for transient causes only, never after a refused password
# deadline = "30s"          # for one attempt, whatever hangs
# per_subnet = 0            # targets in flight in a /24 or /64; 0 is no cap
# vault_requests = 8        # at a time
# vault_patience = "2m"     # how long a job waits for the vault
# throttle_patience = "5m"  # how long an SSH host that turns us away is asked again
# capacity = 256            # targets in flight per appliance
# zone = "default"          # whose appliances do it
# zone_patience = "2m"      # how long a zone without appliances is waited for, when nothing else is left

# -- where: targets that are another zone's, by address, range, CIDR block or name (docs/fleet.md) --------------------
# [[zones]]
# name = "dmz"
# ips = ["10.20.0.0/16", "web1.example"]
# fallback = "default"      # whose appliances stand in, once it has had none for fallback_after
# fallback_after = "30s"

# -- when: windows in which its runs may work, and a schedule that begins them (docs/control.md) ----------------------
# [[windows]]
# start = "22:00"                  # nothing goes out before; or a day: start = 2027-01-31T22:00:00
# stop_new = "05:30"               # nothing new goes out any more
# end = "06:00"                    # what is still in flight is cut off; the rest goes on in the next window
# days = ["mon", "tue", "wed"]     # on which it opens; without it on all
# time_zone = "Europe/Berlin"
# [schedule]
# cron = "0 22 * * mon-fri"        # minute, hour, day, month, weekday
# time_zone = "Europe/Berlin"
# overlap = "skip"                 # or "queue": what becomes of a run while the last one has not ended
# catch_up = true                  # what was missed in a standstill is made up for, once
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What `init` asks."""

    name: str = "first-campaign"
    vault: str = "Secret Server Vault"
    url: str = "https://vault.example/SecretServer"
    vault_user: str = "svc_scan"
    vault_domain: str = ""
    reference_kind: str = "env"
    """Where the vault login's password is: env, file or keyring; or prompt, for which `reference` is not used."""
    reference: str = "KEYMUSTER_VAULT_PASSWORD"
    technology: Technology = Technology.UNIX
    record: str = "Scan account"
    user: str = "vm_scan_account"
    secret: str = "scan_secret"  # noqa: S105 - the name of a secret in the vault
    ips: tuple[str, ...] = ("10.0.0.0/24",)


def campaign_text(answers: Answers) -> str:
    """The file's text. Answers are quoted, not judged: parse the result to have their faults."""
    domain = f"domain = {_quote(answers.vault_domain)}" if answers.vault_domain else '# domain = "corp.example"'
    return (_HEAD + (_WINDOWS if answers.technology is Technology.WINDOWS else _UNIX) + _TAIL).format(
        name=_quote(answers.name),
        vault=_quote(answers.vault),
        url=_quote(answers.url),
        vault_user=_quote(answers.vault_user),
        vault_domain=domain,
        reference_kind=answers.reference_kind,
        reference="true" if answers.reference_kind == "prompt" else _quote(answers.reference),
        technology=answers.technology.value,
        record=_quote(answers.record),
        user=_quote(answers.user),
        secret=_quote(answers.secret),
        ips="[" + ", ".join(_quote(entry) for entry in answers.ips) + "]",
    )


def _quote(text: str) -> str:
    """A TOML basic string. JSON's is one, save for DEL and for characters beyond 16 bits, left as they are."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
