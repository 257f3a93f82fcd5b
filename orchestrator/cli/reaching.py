"""A connection to whoever holds a state directory or a run: on its own bus, or on the user's by its name."""

from __future__ import annotations

from appliance.bus import BusError
from appliance.bus.control import ControlClient, connect_control
from orchestrator.cli.arguments import Where
from orchestrator.cli.errors import Unreachable
from orchestrator.cli.own_bus import bus_login
from orchestrator.cli.waiting import BUS_WAIT_S, told, told_of_bus
from orchestrator.state_dir import HolderInfo


async def reach(holder: HolderInfo, where: Where) -> ControlClient:
    """Raises Unreachable, BadInput."""
    if holder.orchestrator:
        return await _by_name(holder.orchestrator, where)
    if holder.url is None or holder.control_seed is None:
        raise Unreachable(f"process {holder.pid} holds the state directory, and cannot be spoken to (yet); try again")
    try:
        with told(f"process {holder.pid}, which holds the state directory", BUS_WAIT_S):
            return await connect_control(holder.url, seed=holder.control_seed)
    except BusError as error:
        raise Unreachable(f"process {holder.pid} holds the state directory: {error}") from None


async def _by_name(name: str, where: Where) -> ControlClient:
    login = bus_login(where)
    seed = login.seed.get_secret_value()
    try:
        with told_of_bus(login.url):
            return await connect_control(login.url, seed=seed, token=login.token, tls=login.tls(), orchestrator=name)
    except (BusError, ValueError) as error:
        raise Unreachable(f"the bus at {login.url} cannot be used: {error}") from None
