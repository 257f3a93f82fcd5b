"""The product's supervisor with the scan processes of `scale_scanner`: `python -m tests.bench.scale_appliance`.

Reads one line of JSON: name, zone, url, seed, capacity, processes, networks.
"""

from __future__ import annotations

import json
import sys
from functools import partial

import anyio
from pydantic import SecretStr

from appliance.bus.credentials import BusLogin
from appliance.bus.opening import open_bus
from appliance.child import start_child
from appliance.hardening import harden
from appliance.policy import Policy
from appliance.signals import drain_on_signal
from appliance.supervisor import Admission, Admissions, Identity, Supervisor
from appliance.vault.definition import Hidden, VaultAccess, VaultLogin

VAULT, URL = "Vault", "http://127.0.0.1:9"


async def serve() -> None:
    told = json.loads(sys.stdin.readline())
    login = VaultLogin(VaultAccess(title=VAULT, url=URL), Hidden("nobody asks"))
    policy = Policy.of(told["networks"], "any", {VAULT: URL})
    bus_login = BusLogin(url=told["url"], seed=SecretStr(told["seed"]))
    identity = Identity(told["name"], told["zone"], bus_login, told["capacity"], told["processes"])
    async with open_bus(identity.bus, identity.appliance, identity.zone) as bus:
        admissions = Admissions(Admission(policy, tuple(told["networks"]), (login,)))
        supervisor = Supervisor(identity, bus, admissions, start=partial(start_child, "tests.bench.scale_scanner"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(drain_on_signal, supervisor.draining, tasks.cancel_scope, name="supervisor: signals")
            await supervisor.serve()
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    harden()
    anyio.run(serve, backend_options={"use_uvloop": True})
