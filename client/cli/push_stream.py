"""How `tokenim listen --wake unifiedpush` hears of wakeups: by a stream of a push server, opened again whenever it ends."""

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from client.distributor import Distributor
from client.errors import ClientError
from client.reconnect import Backoff
from client.system import System
from client.wakeups import Wakeups

from .output import Output, code_of


class PushStream:
    """Of one distributor. What it says is not printed; that it is away is, once."""

    def __init__(self, distributor: Distributor, out: Output, system: System) -> None:
        self._distributor = distributor
        self._out = out
        self._system = system
        self._backoff = Backoff(system.random)
        self._token = b""
        self._watching: asyncio.Task[None] | None = None
        self.knocked: Final = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its address, while it is listened to. Raises UsageError, DistributorUnreachable if it cannot be at first."""
        async with self._distributor as distributor:
            first = distributor.messages()
            try:
                await anext(first)
            except BaseException:
                await first.aclose()
                raise
            self._watching = asyncio.create_task(self._watch(first))
            self._watching.add_done_callback(lambda _: self.knocked.set())
            try:
                yield distributor.endpoint
            finally:
                self._watching.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watching

    async def register(self, wakeups: Wakeups) -> None:
        """Be woken by it. Raises what Wakeups.register raises."""
        receiver = self._distributor.receiver
        self._token = await wakeups.register(
            "unifiedpush", self._distributor.endpoint, p256dh=receiver.public, auth=receiver.auth
        )

    async def heard(self) -> None:
        """Return once a wakeup came, or the stream came back; raises what ended the watch, which only a defect does."""
        await self.knocked.wait()
        if self._watching is not None and self._watching.done():
            self._watching.result()

    async def _watch(self, messages: AsyncGenerator[bytes | None, None]) -> None:
        """Until cancelled."""
        is_told = False
        while True:
            try:
                async with aclosing(messages):
                    async for message in messages:
                        if message is None:
                            # Nobody promises to keep what came meanwhile: so the mailbox is looked at.
                            self.knocked.set()
                            self._backoff.reset()
                            is_told = False
                        elif hmac.compare_digest(message, self._token):
                            self.knocked.set()
            except ClientError as error:
                if not is_told:
                    self._out.warn(f"{code_of(error)}: {error}; it is tried again")
                is_told = True
            await self._system.sleep(self._backoff.next_seconds())
            messages = self._distributor.messages()
