"""On what connection somebody writes to others: of nobody, or, at a relay without anonymous submits, of another account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from client.conformance.relay import Relay
from client.conformance.socket import Socket, anonymous, authenticated


@asynccontextmanager
async def writing(relay: Relay) -> AsyncIterator[Socket]:
    """Ready for submits to any account of which one has a token."""
    if relay.document["anonymous_submit"]:
        async with anonymous(relay.stranger()) as socket:
            yield socket
    else:
        async with authenticated(await relay.member()) as socket:
            yield socket
