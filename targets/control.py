"""Metrics and orders over HTTP, on loopback only: what a test reads and how it makes things go wrong in mid-run.

    GET  /metrics.json
    POST /faults    {"vault": ["down"], "secrets": {"unix-127.20.0.1": "inactive"}}    each key optional
    POST /rotate    {"secret": "unix-127.20.0.1", "where": "vault" | "hosts" | "both"}
    GET  /weather   POST /weather   {"latency": {"median": "20ms", "p99": "1s"}, ...}   as [vault.weather]
    POST /security  {"secret": "unix-127.20.0.1", "security": {"checkout": true}}       as [secrets.security]
    POST /unlock    {"user": "svc_scan"}
    POST /silence   {"network": "127.16.4.0/24", "seconds": 20}     its hosts say nothing; no `seconds`: until 0 is sent
    GET  /timeline  POST /timeline  {}      what happens when; begin it now (409: it has begun)
    GET  /audit?secret=unix-127.20.0.1      what the vault shows, with addresses, and what was done to its audit
    POST /audit     {"secret": "...", "user": "...", "action": "VIEW"}   a row for what never happened

They are served twice: at a port of their own, and below `/_lab` at the vault's. `vault` replaces the faults on order
([] heals all), a weather the whole weather ({} is fair). Orders must be sent as application/json, which no web page can
do to a loopback port without asking first.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from targets.faults import SecretState
from targets.parts import NetworkText, Seconds
from targets.secret_server.secrets import StoredSecret
from targets.vault_spec import SecuritySpec, VaultFaultName, Where
from targets.vault_weather import YEARS, WeatherSpec
from targets.world import World


class FaultOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    vault: list[VaultFaultName] | None = None
    secrets: dict[str, SecretState] = Field(default_factory=dict)


class RotateOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    secret: str
    where: Where = Where.BOTH


class SecurityOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    secret: str
    security: SecuritySpec


class UnlockOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user: str


class SilenceOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    network: NetworkText
    seconds: Seconds | None = None


class BeginOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ForgeOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")
    secret: str
    user: str
    action: str = "VIEW"
    notes: str = ""
    address: str = ""
    seconds_ago: float = Field(default=0.0, ge=-YEARS, le=YEARS, allow_inf_nan=False)


_Order = TypeVar("_Order", bound=BaseModel)


class _Control:
    def __init__(self, world: World) -> None:
        self._world = world

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._world.report())

    async def faults(self, request: web.Request) -> web.Response:
        order = await _order(request, FaultOrder)
        if unknown := [name for name in order.secrets if name not in self._world.estate.secrets]:
            raise web.HTTPNotFound(text=f"the estate has no secret {', '.join(unknown)}")
        if order.vault is not None:
            self._world.order_vault_faults(frozenset(order.vault))
        self._world.order_secret_states(order.secrets)
        return web.json_response({"vault": sorted(self._world.vault_faults)})

    async def rotate(self, request: web.Request) -> web.Response:
        order = await _order(request, RotateOrder)
        now = self._world.rotate(_secret(self._world, order.secret).name, order.where)
        await self._world.servers.settled()
        return web.json_response({"vault": now.vault, "hosts": now.hosts})

    async def weather(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            self._world.order_weather(await _order(request, WeatherSpec))
        return web.json_response(self._world.weather.spec.model_dump(mode="json"))

    async def security(self, request: web.Request) -> web.Response:
        order = await _order(request, SecurityOrder)
        secret = _secret(self._world, order.secret)
        secret.security = order.security
        self._world.service.changes.schedule([secret])
        return web.json_response({"secret": order.secret})

    async def unlock(self, request: web.Request) -> web.Response:
        order = await _order(request, UnlockOrder)
        user = self._world.service.users.named(order.user)
        if user is None:
            raise web.HTTPNotFound(text=f"the vault has no user {order.user}")
        self._world.logins.unlock(user)
        return web.json_response({"user": user.name})

    async def silence(self, request: web.Request) -> web.Response:
        order = await _order(request, SilenceOrder)
        self._world.silence(order.network, order.seconds)
        await self._world.servers.settled()
        return web.json_response({"silent": self._world.outages.now()})

    async def timeline(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            await _order(request, BeginOrder)
            if not self._world.timeline.begin():
                raise web.HTTPConflict(text="the timeline has begun already")
        return web.json_response(self._world.timeline.shown())

    async def audit(self, request: web.Request) -> web.Response:
        log = self._world.service.audit
        if request.method == "POST":
            order = await _order(request, ForgeOrder)
            date = self._world.service.clock.at(self._world.service.clock.seconds() - order.seconds_ago)
            log.forge(
                _secret(self._world, order.secret),
                user=order.user,
                action=order.action,
                notes=order.notes,
                address=order.address,
                date=date,
            )
        counts = {"dropped": log.dropped, "duplicated": log.duplicated, "forged": log.forged}
        name = request.query.get("secret", "")
        rows = _secret(self._world, name).audits if name else log.logins
        shown = [asdict(row) | {"recorded": row.recorded.isoformat()} for row in rows]
        return web.json_response({**counts, "rows": shown})


def application(world: World) -> web.Application:
    control = _Control(world)
    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics.json", control.metrics),
            web.post("/faults", control.faults),
            web.post("/rotate", control.rotate),
            web.get("/weather", control.weather),
            web.post("/weather", control.weather),
            web.post("/security", control.security),
            web.post("/unlock", control.unlock),
            web.post("/silence", control.silence),
            web.get("/timeline", control.timeline),
            web.post("/timeline", control.timeline),
            web.get("/audit", control.audit),
            web.post("/audit", control.audit),
        ]
    )
    return app


def _secret(world: World, name: str) -> StoredSecret:
    """Raises HTTPNotFound for a name that the estate does not have."""
    if name not in world.estate.secrets:
        raise web.HTTPNotFound(text=f"the estate has no secret {name}")
    return world.vault.named(name)


async def _order(request: web.Request, model: type[_Order]) -> _Order:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send the order as application/json")
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise web.HTTPBadRequest(text="; ".join(faults)) from None
