"""The listener for who runs the relay: the dashboard, the commands of `tokenim-relay` over HTTP, figures for Prometheus.

Users never need it. Web pages of other origins have no business here, whatever `web_origins` says.
"""

import json
from typing import Final

from aiohttp import web

from relay import __version__
from relay.commands.operators import Commands
from relay.observe.exposition import CONTENT_TYPE, Exposition
from relay.services.services import Services
from relay.wire import limits

from .call import SERVICES, Call, Route, Signing
from .dashboard import DASHBOARD_ROUTES, add_page
from .health import HEALTH_ROUTES
from .middleware import around, complete_headers
from .openapi import describe
from .openers import OPENERS, Openers
from .operators import COMMANDS, OPERATOR_ROUTES
from .routes import add_routes

EXPOSITION: Final = web.AppKey("EXPOSITION", Exposition)


async def metrics(call: Call) -> web.StreamResponse:
    """GET /metrics."""
    await call.services.vitals.look()
    text = call.request.app[EXPOSITION].text()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE + "; charset=utf-8"})


async def openapi(_call: Call) -> web.StreamResponse:
    """GET /admin/v1/openapi.json."""
    return web.Response(body=_DESCRIPTION, content_type="application/json")


WATCH_ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/metrics", metrics, Signing.NONE, "figures, for Prometheus", answer_media="text/plain"),
    *HEALTH_ROUTES,
)
"""Of a process without clients: it is watched there; the dashboard is one of the others'."""
ADMIN_ROUTES: Final[tuple[Route, ...]] = (
    *WATCH_ROUTES,
    *DASHBOARD_ROUTES,
    *OPERATOR_ROUTES,
    Route(
        "GET",
        "/admin/v1/openapi.json",
        openapi,
        Signing.NONE,
        "this description",
        answer_media="application/json",
    ),
)
_DESCRIPTION: Final = json.dumps(describe(ADMIN_ROUTES), separators=(",", ":")).encode()


def make_admin_application(services: Services, commands: Commands) -> web.Application:
    """The application of the second listener."""
    app = web.Application(middlewares=[around], client_max_size=limits.MAX_REQUEST_BODY_BYTES)
    app[SERVICES] = services
    app[COMMANDS] = commands
    app[OPENERS] = Openers(services.clock)
    app[EXPOSITION] = Exposition(services.figures, __version__)
    app.on_response_prepare.append(complete_headers)
    if services.settings.serves_clients:
        add_page(app)
        add_routes(app, ADMIN_ROUTES)
    else:
        add_routes(app, WATCH_ROUTES)
    return app
