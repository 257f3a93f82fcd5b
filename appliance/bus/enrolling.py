"""The one question of a machine that wants to be an appliance."""

from __future__ import annotations

import ssl

from appliance.bus import BusError, Timing, subjects
from appliance.bus.link import Link, NoAnswer
from appliance.contract import ContractError, EnrolmentAnswer, EnrolmentRequest, EnrolmentToken

ANSWER_S = 15.0


async def ask_for_enrolment(
    token: EnrolmentToken, request: EnrolmentRequest, *, tls: ssl.SSLContext | None
) -> EnrolmentAnswer:
    """Raises BusRefused (the token has expired, or was revoked), BusError."""
    link = await Link.open(
        token.url,
        name=f"keymuster enrolment {request.name}",
        inbox=subjects.enrolment_inbox(token.id),
        seed=token.seed,
        token=token.user,
        tls=tls,
        timing=Timing(),
    )
    try:
        reply = await link.request(subjects.enrolment(token.id), request.encode(), wait=ANSWER_S)
        return EnrolmentAnswer.decode(reply.data)
    except NoAnswer:
        raise BusError(
            "no orchestrator of this fleet is on the bus to answer: let one run (`keymuster serve`), and try again"
        ) from None
    except ContractError as error:
        raise BusError(f"the orchestrator's answer cannot be read: {error}") from None
    finally:
        await link.close()
