"""Which web pages may speak with this relay: those of the origins in `web_origins`; docs/protocol.md, "Web pages".

A browser asks on behalf of a page, and keeps from it what is not allowed here. Nothing else is protected by it: who is no browser
says what it likes, and every right is proved by a signature or a token. So there are no cookies, and no credentials are allowed.
"""

from typing import Final

from aiohttp import hdrs, web

from relay.services.services import Services
from relay.wire.errors import NotAllowed

PREFLIGHT_SECONDS: Final = 600
EXPOSED: Final = ", ".join(
    (
        *("Date", "ETag", "Location", "Retry-After", "WWW-Authenticate"),
        *("TokenIM-Request-Id", "TokenIM-Signature"),
        *("Accept-Ranges", "Content-Range", "Upload-Expires", "Upload-Length", "Upload-Offset"),
        *("Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable", "Tus-Version"),
    )
)
"""Of an answer, what a page may read beside what every page may."""
ALLOWED: Final = ", ".join(
    (
        *("Authorization", "Content-Type", "If-Range", "Range"),
        *("TokenIM-Delivery-Token", "TokenIM-Log-Token"),
        *("Tus-Resumable", "Upload-Checksum", "Upload-Length", "Upload-Metadata", "Upload-Offset"),
    )
)
"""Of a request, what a page may set."""


OPEN_TO_PAGES: Final = web.AppKey("open_to_pages", bool)
"""Set for the public listener alone: pages of `web_origins` have no business on the other one."""


def _allowed_origin(request: web.Request, services: Services) -> str | None:
    origin = request.headers.get(hdrs.ORIGIN) if request.app.get(OPEN_TO_PAGES) else None
    return origin if origin in services.settings.web_origins else None


def add_headers(request: web.Request, services: Services, answer: web.StreamResponse) -> None:
    """What each answer says of pages; nothing if none may come."""
    if not services.settings.web_origins:
        return
    answer.headers.add(hdrs.VARY, hdrs.ORIGIN)
    if (origin := _allowed_origin(request, services)) is not None:
        answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        answer.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


def preflight(request: web.Request, services: Services) -> web.Response | None:
    """The answer to a browser that asks whether a page may send a request here; None if it is none, or the page may not."""
    if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
        return None
    methods = _methods(request)
    if _allowed_origin(request, services) is None or not methods:
        return None
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED,
        hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
        hdrs.VARY: f"{hdrs.ACCESS_CONTROL_REQUEST_METHOD}, {hdrs.ACCESS_CONTROL_REQUEST_HEADERS}",
    }
    return web.Response(status=204, headers=headers)


def _methods(request: web.Request) -> set[str]:
    """What the path of the request takes; nothing for a path that there is not."""
    match = request.match_info
    if isinstance(match.http_exception, web.HTTPMethodNotAllowed):
        return set(match.http_exception.allowed_methods)
    resource = match.route.resource
    return set() if resource is None else {route.method for route in resource}


def refuse_page(request: web.Request, services: Services) -> None:
    """A browser says which page opens a WebSocket, and asks nobody whether it may: raise NotAllowed for another one.

    Programs that are no browser mostly say nothing, or name the relay's own origin.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != services.origin and _allowed_origin(request, services) is None:
        raise NotAllowed("pages of this origin may not connect: the relay's web_origins does not name it")
