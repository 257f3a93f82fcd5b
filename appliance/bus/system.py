"""The system account's one order: a new token of an account, for all servers of the bus."""

from __future__ import annotations

import json
import ssl

from appliance.bus import BusError, Timing
from appliance.bus.link import Link

ANSWER_S = 10.0
_INBOX = "_INBOX.system"


def system_permissions() -> dict[str, object]:
    return {"publish": {"allow": ["$SYS.REQ.CLAIMS.UPDATE"]}, "subscribe": {"allow": [f"{_INBOX}.>"]}}


async def put_account(url: str, account: str, *, seed: str, token: str, tls: ssl.SSLContext | None) -> None:
    """`account`: its token. Users that it revokes are cut off when this returns. Raises BusError."""
    link = await Link.open(
        url, name="keymuster fleet", inbox=_INBOX, seed=seed, token=token, tls=tls, timing=Timing(retry=ANSWER_S)
    )
    try:
        reply = await link.request("$SYS.REQ.CLAIMS.UPDATE", account.encode(), wait=ANSWER_S)
        answer = json.loads(reply.data)
    except ValueError:
        raise BusError(f"the server at {url} gave no answer that can be read") from None
    finally:
        await link.close()
    if answer.get("data", {}).get("code") != 200:
        why = answer.get("error", {}).get("description", "it says no more")
        raise BusError(f"the server at {url} does not take the account's new token: {why}")
