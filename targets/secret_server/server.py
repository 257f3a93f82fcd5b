"""The vault as a web server: its interfaces, mounted at `/` and at the estate's prefix, behind the faults on order."""

from __future__ import annotations

from aiohttp import web

from targets import control
from targets.secret_server.orders import GRANT_PATH, LAB, orders
from targets.secret_server.rest.application import api, in_our_shape, internals
from targets.secret_server.rest.platform import platform
from targets.secret_server.rest.sessions import Sessions
from targets.world import World


def application(world: World) -> web.Application:
    service = world.service
    app = web.Application(middlewares=[orders(world), in_our_shape])
    app.add_subapp(LAB, control.application(world))
    app.add_subapp("/platform", platform(service, service.spec.mount))
    for mount in sorted({"", service.spec.mount}, reverse=True):
        app.add_routes([web.post(mount + GRANT_PATH, Sessions(service).grant)])
        app.add_subapp(f"{mount}/api", api(service))
        app.add_subapp(f"{mount}/internals", internals(service))
    return app
