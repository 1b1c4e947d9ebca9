"""`tokenim listen --wake`: sleeps without a connection, is woken, takes what waits, sleeps again."""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from client.distributor import Distributor
from client.errors import ClientError, Refused, RelayUnreachable
from client.wakeups import Wakeups

from .listening import CATCH_UP_PATIENCE_SECONDS, print_events
from .output import Output, code_of, one_line
from .place import Place
from .push_stream import PushStream
from .webhook_door import Door
from .work import open_client, this_system

LONGEST_SLEEP_SECONDS: Final = 1_800.0
"""A wakeup is a hint, and may get lost: so it looks by itself from time to time."""
AFTER_FAILURE_SECONDS: Final = 30.0
ANY_PORT: Final = "127.0.0.1:0"


class Waker(Protocol):
    """Where wakeups arrive."""

    @property
    def knocked(self) -> asyncio.Event:
        """Set by a wakeup, or by whatever makes it likely that one was lost."""

    def open(self) -> AbstractAsyncContextManager[str]:
        """Ready to be woken until the block ends; where that is, for a person."""

    async def register(self, wakeups: Wakeups) -> None:
        """Tell the relay. Raises Refused, RelayUnreachable."""

    async def heard(self) -> None:
        """Return once `knocked` is set; raises what ended the listening."""


@dataclass(frozen=True, slots=True)
class WakeBy:
    """What the options say: a push server and its access token, or, where there is none, a door of this machine."""

    server: str | None
    access_token: str | None = field(repr=False)
    listen: str | None
    url: str | None

    def waker(self, out: Output) -> Waker:
        """Raises UsageError."""
        system = this_system()
        if self.server is None:
            return Door(self.listen or ANY_PORT, self.url, system)
        return PushStream(Distributor(self.server, system, access_token=self.access_token), out, system)


async def listen(place: Place, out: Output, by: WakeBy, *, events: bool, own: bool) -> None:
    """Print what comes until told to stop; then the relay is told to wake nobody here any more."""
    waker = by.waker(out)
    async with waker.open() as where:
        async with open_client(place) as client:
            await waker.register(client.wakeups)
            name = one_line(client.whoami().handle or client.whoami().account)
        if not out.as_json:
            out.warn(f"listening as {name}, woken at {where}; Ctrl-C stops")
        is_forgotten = False
        try:
            while True:
                waker.knocked.clear()
                patience = LONGEST_SLEEP_SECONDS
                try:
                    if is_forgotten:
                        await _register_again(place, out, waker)
                    await print_events(place, out, True, CATCH_UP_PATIENCE_SECONDS, events=events, own=own)
                except RelayUnreachable as error:
                    out.warn(f"{code_of(error)}: {error}")
                    patience = AFTER_FAILURE_SECONDS
                is_forgotten = not await _heard(waker, patience) and patience == LONGEST_SLEEP_SECONDS
        finally:
            with suppress(ClientError):
                async with open_client(place) as client:
                    await client.wakeups.unregister()


async def _heard(waker: Waker, seconds: float) -> bool:
    """Whether something came in that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await waker.heard()
            return True
    return False


async def _register_again(place: Place, out: Output, waker: Waker) -> None:
    """Nothing came for long: maybe nothing was there, maybe the relay dropped the registration, as it does after one 404."""
    async with open_client(place) as client:
        try:
            await waker.register(client.wakeups)
        except Refused as error:
            out.warn(f"{code_of(error)}: {error}")
