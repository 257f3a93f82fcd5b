"""Metrics and orders over HTTP, on loopback only: what a test reads and how it makes things go wrong in mid-run.

    GET  /metrics.json
    POST /faults   {"vault": ["down"], "secrets": {"unix-127.20.0.1": "inactive"}}    each key optional
    POST /rotate   {"secret": "unix-127.20.0.1", "where": "vault" | "hosts" | "both"}

`vault` replaces the faults on order ([] heals all). Orders must be sent as application/json, which no web page can do
to a loopback port without asking first.
"""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from targets.faults import SecretState
from targets.metrics import report
from targets.secret_server.changes import Where
from targets.vault_spec import VaultFaultName
from targets.world import World


class FaultOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    vault: list[VaultFaultName] | None = None
    secrets: dict[str, SecretState] = Field(default_factory=dict)


class RotateOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    secret: str
    where: Where = Where.BOTH


_Order = TypeVar("_Order", bound=BaseModel)


def application(world: World) -> web.Application:
    async def metrics(_request: web.Request) -> web.Response:
        return web.json_response(report(world.metrics, world.accounts))

    async def faults(request: web.Request) -> web.Response:
        order = await _order(request, FaultOrder)
        if unknown := [name for name in order.secrets if name not in world.estate.secrets]:
            raise web.HTTPNotFound(text=f"the estate has no secret {', '.join(unknown)}")
        if order.vault is not None:
            world.order_vault_faults(frozenset(order.vault))
        for name, state in order.secrets.items():
            world.vault.set_state(name, state)
        return web.json_response({"vault": sorted(world.vault_faults)})

    async def rotate(request: web.Request) -> web.Response:
        order = await _order(request, RotateOrder)
        if order.secret not in world.estate.secrets:
            raise web.HTTPNotFound(text=f"the estate has no secret {order.secret}")
        now = world.rotate(order.secret, order.where)
        return web.json_response({"vault": now.vault, "hosts": now.hosts})

    app = web.Application()
    app.add_routes([web.get("/metrics.json", metrics), web.post("/faults", faults), web.post("/rotate", rotate)])
    return app


async def _order(request: web.Request, model: type[_Order]) -> _Order:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send the order as application/json")
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise web.HTTPBadRequest(text="; ".join(faults)) from None
