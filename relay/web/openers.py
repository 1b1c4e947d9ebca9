"""Connections that were opened and ask for nothing, or for something that is no HTTP (F13, F14).

aiohttp waits for the head of a first request as long as it takes; here that time has an end. What it cannot parse it
would send back and log, line for line; here it is refused in our words, and forgotten.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay.ports.clock import Clock
from relay.wire import limits
from relay.wire.errors import MalformedRequest

from .problems import problem

SWEEP_SECONDS: Final = 1


class Connection(web.RequestHandler):
    """aiohttp's protocol of one connection, but for requests that are none."""

    __slots__ = ()
    faults = 0  # of all connections, since the last sweep

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refused is answered without its words, which quote the request, and is not logged."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        Connection.faults += 1
        answer = problem(MalformedRequest("not a request of HTTP/1.1"), "")
        answer.force_close()
        return answer


class Openers:
    """Makes the protocol of each connection, and cuts it unless a request has come whole, head first, in time.

    One that has ended is let go at the next sweep, with what its parser holds of a request that was none.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: dict[web.RequestHandler, int] = {}  # since which sweep
        self._sweeps = 0
        self._sweeping = False

    def of(self, server: web.Server) -> Callable[[], web.RequestHandler]:
        """What a listening socket calls for each connection."""
        opened = self.opened

        class Opened(Connection):
            """A connection of this server. With TLS it is made when a peer knocks, and opened when the handshake is done."""

            __slots__ = ()

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                """The peer is here."""
                super().connection_made(transport)
                opened(self)

        def make() -> web.RequestHandler:
            protocol = server()
            protocol.__class__ = Opened  # aiohttp has no other way to choose one; the layout is the same
            return protocol

        return make

    def opened(self, protocol: web.RequestHandler) -> None:
        """A connection came."""
        self._silent[protocol] = self._sweeps
        self._sweep_later()

    def asked(self, protocol: web.RequestHandler) -> None:
        """Its first request is here."""
        self._silent.pop(protocol, None)

    def _sweep_later(self) -> None:
        if not self._sweeping and self._silent:
            self._sweeping = True
            self._clock.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        self._sweeps += 1
        too_old = self._sweeps - limits.AUTHENTICATE_WITHIN_SECONDS // SWEEP_SECONDS
        for protocol, since in tuple(self._silent.items()):
            if protocol.transport is None or since <= too_old:
                del self._silent[protocol]
                protocol.force_close()
        if Connection.faults:
            # The parser's exceptions hold what was sent, in cycles: they go now, not when the collector comes to it.
            Connection.faults = 0
            gc.collect()
        self._sweep_later()


OPENERS: Final = web.AppKey("openers", Openers)
