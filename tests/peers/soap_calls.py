"""Call a SOAP service as its own WSDL says, with zeep or suds. It runs in their environment and knows nothing of ours.

    soap_calls.py zeep|zeep12|suds WSDL-URL < calls.json > answers.json

calls: `[[operation, {argument: value}], ...]`. A value `$token` is the last token that a call gave, `$found` the id of
the first secret that the last search found. answers: for each call its result, or `{"fault": text}`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

Calling = Callable[[str, dict[str, Any]], Any]


def zeep_calling(url: str, port: str) -> Calling:
    import zeep.exceptions  # noqa: PLC0415 - the other one is not needed
    import zeep.helpers  # noqa: PLC0415

    service = zeep.Client(url).bind("SSWebService", port)

    def call(operation: str, arguments: dict[str, Any]) -> Any:
        try:
            return zeep.helpers.serialize_object(service[operation](**arguments), dict)
        except zeep.exceptions.Fault as fault:
            return {"fault": fault.message}

    return call


def suds_calling(url: str) -> Calling:
    import suds.client  # noqa: PLC0415 - as above
    import suds.sudsobject  # noqa: PLC0415

    service = suds.client.Client(url, cache=None).service

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if not hasattr(value, "__keylist__"):
            return value
        return {name: plain(one) for name, one in suds.sudsobject.asdict(value).items()}

    def call(operation: str, arguments: dict[str, Any]) -> Any:
        try:
            return plain(getattr(service, operation)(**arguments))
        except suds.WebFault as fault:
            return {"fault": str(fault.fault.faultstring)}

    return call


def main(client: str, url: str) -> None:
    ports = {"zeep": "SSWebServiceSoap", "zeep12": "SSWebServiceSoap12"}
    call = zeep_calling(url, ports[client]) if client in ports else suds_calling(url)
    known: dict[str, Any] = {}
    answers = []
    for operation, arguments in json.load(sys.stdin):
        given = {name: known.get(v, v) if isinstance(v, str) else v for name, v in arguments.items()}
        # zeep hands out the members of a result that has but one: of CheckIn, nothing where there is no error.
        answer = call(operation, given) or {}
        answers.append(answer)
        if answer.get("Token"):
            known["$token"] = answer["Token"]
        if answer.get("SecretSummaries"):
            known["$found"] = answer["SecretSummaries"]["SecretSummary"][0]["SecretId"]
    json.dump(answers, sys.stdout, default=said)


def said(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


main(*sys.argv[1:])
