"""Connections that were opened and ask for nothing: cut before they can use up what the relay can hold open (F13).

aiohttp waits for the head of a first request as long as it takes; here that time has an end.
"""

import asyncio
from typing import Final

from aiohttp import web

from relay.ports.clock import Clock
from relay.wire import limits


class Openers:
    """Makes the protocol of each connection, and cuts it unless a request has come whole, head first, in time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: set[asyncio.BaseProtocol] = set()

    def of(self, server: web.Server) -> "_Opener":
        """What a listening socket calls for each connection."""
        return _Opener(self, server)

    def opened(self, protocol: web.RequestHandler) -> None:
        """A connection came."""
        self._silent.add(protocol)
        self._clock.call_later(limits.AUTHENTICATE_WITHIN_SECONDS, lambda: self._cut(protocol))

    def asked(self, protocol: asyncio.BaseProtocol) -> None:
        """Its first request is here."""
        self._silent.discard(protocol)

    def _cut(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            protocol.force_close()


class _Opener:
    def __init__(self, openers: Openers, server: web.Server) -> None:
        self._openers = openers
        self._server = server

    def __call__(self) -> web.RequestHandler:
        protocol = self._server()
        self._openers.opened(protocol)
        return protocol


OPENERS: Final = web.AppKey("openers", Openers)
