"""Around every request: its id, the address's rate limit, what is refused unread, and errors as problem documents.

An answer never says more than the error's own words; a bug is logged with the request's id and answered without detail.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import web

from relay.config import Settings
from relay.services.services import Services
from relay.wire.errors import MalformedRequest, NotAllowed, NotFound, RelayError, UnsupportedMedia
from relay.wire.links import encode_id

from .call import REQUEST_ID, SERVICES
from .cors import add_headers, preflight
from .forwarded import client_address, forwarded_scheme
from .openers import OPENERS
from .problems import problem

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HEADERS: Final = {
    "Server": "tokenim-relay",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


_LONG: Final = ("/v1/blobs", "/v1/connect", "/v1/links", "/v1/mailbox")
"""They wait, or carry files: how long they take says nothing of the relay."""
_HSTS: Final = f"max-age={365 * 86_400}"
"""A year: browsers come by https alone from then on."""


def _refuse_unread(request: web.Request, settings: Settings) -> None:
    """Compressed bodies are never taken: nothing of them is decompressed, so none is a bomb (F15). Nor is what came to the
    proxy in the clear (E7).
    """
    if forwarded_scheme(request, settings.proxy.trusted) == "http" and not settings.plain_http:
        raise NotAllowed("come by https: by http all can be read and changed on its way")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("compressed bodies are not taken")


async def complete_headers(request: web.Request, answer: web.StreamResponse) -> None:
    """Signal before an answer's headers go out: what every answer carries."""
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    trusted = request.app[SERVICES].settings.proxy.trusted
    if request.secure or forwarded_scheme(request, trusted) == "https":
        answer.headers["Strict-Transport-Security"] = _HSTS
    add_headers(request, request.app[SERVICES], answer)
    if REQUEST_ID in request:
        answer.headers["TokenIM-Request-Id"] = request[REQUEST_ID]


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one middleware."""
    services = request.app[SERVICES]
    request.app[OPENERS].asked(request.protocol)
    request_id = request[REQUEST_ID] = encode_id(services.randomness(10))
    began = services.clock.monotonic_seconds()
    answered = await _answered(request, handler, services, request_id)
    services.figures.add("requests_total", label=f"{answered.status // 100}xx")
    if not request.path.startswith(_LONG):
        services.figures.took("request_seconds", services.clock.monotonic_seconds() - began)
    return answered


async def _answered(
    request: web.Request, handler: Handler, services: Services, request_id: str
) -> web.StreamResponse:
    try:
        _refuse_unread(request, services.settings)
        services.rates.take_address(client_address(request, services.settings.proxy.trusted))
        return preflight(request, services) or await handler(request)
    except RelayError as error:
        services.figures.add("refused_total", label=error.code)
        return problem(error, request_id)
    except web.HTTPException as error:
        # The router's own: no such path, or no such method on it.
        answer = problem(NotFound(), request_id, status=error.status)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except ConnectionError:
        services.figures.add("cut_total")
        return problem(MalformedRequest("the connection was cut"), request_id)  # nobody is there to read it
    except Exception as error:  # noqa: BLE001  (whatever it is, it is a bug of ours)
        route = request.match_info.route.resource
        services.figures.add("refused_total", label=RelayError.code)
        services.log.failure(
            "bug",
            error,
            request_id=request_id,
            method=request.method,
            route=route.canonical if route else "none",
        )
        return problem(RelayError(), request_id)
