"""A fleet from nothing: an operator, its system account, an account for us, and what the servers must be told. Pure but
for the keys.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from appliance.bus.claims import KeyKind, KeyPair, account_token, claims_of, new_key, operator_token, user_token
from appliance.bus.credentials import credentials_text
from appliance.bus.users import new_user, orchestrator_permissions
from orchestrator.fleet.errors import FleetError
from orchestrator.fleet.keys import FleetKeys
from orchestrator.fleet.sealing import new_voice

NAME = "keymuster"


@dataclass(frozen=True, slots=True)
class Founded:
    keys: FleetKeys
    server: str
    """For the configuration of each server of the bus."""
    credentials: str = field(repr=False)
    """The orchestrator's, as a credentials file."""


def found(url: str, ca: str, now: float) -> Founded:
    operator, system, account, signing = (
        new_key(KeyKind.OPERATOR),
        new_key(KeyKind.ACCOUNT),
        new_key(KeyKind.ACCOUNT),
        new_key(KeyKind.ACCOUNT),
    )
    keys = FleetKeys(account.public, signing, url, new_voice(), ca, operator, system)
    preload = {
        account.public: account_word(keys, now),
        system.public: account_token(operator, system.public, name="SYS", now=now),
    }
    told = operator_token(operator, name=NAME, system_account=system.public, now=now)
    return Founded(keys, _server(told, system.public, preload), orchestrator_credentials(keys, now))


def joined(account: str, signing: KeyPair, url: str, ca: str, now: float) -> Founded:
    """A fleet in an account that somebody else's operator has made. `account`: its token. Raises BadToken, FleetError
    where the key does not sign for it.
    """
    claims = claims_of(account)
    public, nats = str(claims["sub"]), claims["nats"]
    if nats.get("type") != "account":
        raise FleetError("this is the token of no account")
    if signing.public not in (public, *nats.get("signing_keys", ())):
        raise FleetError(f"key {signing.public} is none of the signing keys of account {public}; add it there first")
    keys = FleetKeys(public, signing, url, new_voice(), ca)
    return Founded(keys, "", orchestrator_credentials(keys, now))


def account_word(keys: FleetKeys, now: float) -> str:
    """The account's token, as it is now. Raises FleetError where the operator is not ours."""
    if keys.operator is None:
        raise FleetError("the account's operator is somebody else")
    signing = (keys.signing.public,)
    return account_token(
        keys.operator, keys.account, name=NAME, signing_keys=signing, revoked=keys.revoked, jetstream=True, now=now
    )


def orchestrator_credentials(keys: FleetKeys, now: float) -> str:
    user, may = new_user(), orchestrator_permissions()
    return credentials_text(
        user.seed, user_token(keys.signing, keys.account, user.public, name="orchestrator", permissions=may, now=now)
    )


def _server(operator: str, system: str, preload: dict[str, str]) -> str:
    accounts = json.dumps(preload, indent=2)
    return f"""\
# For each nats-server of the bus (2.11 or later), beside its own addresses, TLS and cluster:
#   include "fleet.conf"
operator: "{operator}"
system_account: "{system}"
resolver {{ type: full, dir: "./accounts", allow_delete: false, interval: "2m" }}
resolver_preload: {accounts}
max_payload: 8MB
"""
