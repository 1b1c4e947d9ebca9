"""The listening socket and aiohttp's server on it: opened whole, drained and closed at the end. Logs no request."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from relay.flow import Flow
from relay.services.services import Services
from relay.wire import limits

from .call import SERVICES
from .cors import OPEN_TO_PAGES
from .health import HEALTH_ROUTES
from .middleware import around, complete_headers
from .openers import OPENERS, Openers
from .routes import ROUTES, add_routes
from .websocket import CLOSE_WITHIN_SECONDS, FLOW

BACKLOG: Final = 1_024


class CannotListen(Exception):
    """The address cannot be listened on; one line that says what to do."""


@contextlib.contextmanager
def listening(host: str, port: int, *, option: str = "--listen") -> Iterator[socket.socket]:
    """A socket that listens on host and port (0 picks one), as `option` says; raises CannotListen."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CannotListen(f"cannot listen on {where}: there is no such host: correct {option}") from error
    with socket.socket(family, kind) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            hints = {
                errno.EADDRINUSE: f"another process has this port: stop it, or choose another by {option} (port 0 picks one)",
                errno.EACCES: f"this user may not use this port: choose one above 1023 by {option}",
                errno.EADDRNOTAVAIL: f"this machine does not have this address: correct {option}",
            }
            hint = hints.get(error.errno or 0, f"correct {option}")
            raise CannotListen(
                f"cannot listen on {where}: {os.strerror(error.errno or 0)}; {hint}"
            ) from error
        yield listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """scheme://host:port of a listening socket; a wildcard address is named by the loopback one."""
    host, port = listener.getsockname()[:2]
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)
    return f"{scheme}://[{named}]:{port}" if ":" in named else f"{scheme}://{named}:{port}"


async def _close_connections(app: web.Application) -> None:
    app[SERVICES].long_poll.stop()
    app[SERVICES].links.stop()
    await app[SERVICES].connections.stop()


def make_application(services: Services, flow: Flow) -> web.Application:
    """The relay's application: every route, with the middleware around it. Without clients only what says how it stands."""
    app = web.Application(middlewares=[around], client_max_size=limits.MAX_REQUEST_BODY_BYTES)
    app[SERVICES] = services
    app[FLOW] = flow
    app[OPEN_TO_PAGES] = True
    app[OPENERS] = Openers(services.clock)
    app.on_response_prepare.append(complete_headers)
    app.on_shutdown.append(_close_connections)
    add_routes(app, ROUTES if services.settings.serves_clients else HEALTH_ROUTES)
    return app


@asynccontextmanager
async def open_server(
    app: web.Application, listener: socket.socket, *, drain_seconds: float, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Serve until the block ends; then take nothing new, let what runs finish within `drain_seconds`, and close.

    `tls`: nothing else is spoken then.
    """
    runner = web.AppRunner(
        app,
        access_log=None,  # it would hold addresses, and paths that are capabilities
        auto_decompress=False,  # a compressed body is refused, never unpacked
        shutdown_timeout=drain_seconds,
        handle_signals=False,
    )
    await runner.setup()
    try:
        server = runner.server
        if server is None:  # it is there after `setup`
            raise RuntimeError("aiohttp made no server")
        listening_server = await asyncio.get_running_loop().create_server(
            app[OPENERS].of(server),
            sock=listener,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=limits.AUTHENTICATE_WITHIN_SECONDS if tls else None,
            ssl_shutdown_timeout=CLOSE_WITHIN_SECONDS if tls else None,
        )
        try:
            yield
        finally:
            listening_server.close()
    finally:
        await runner.cleanup()
