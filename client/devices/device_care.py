"""Does what the own devices need while this client listens: after catching up, and every half minute if it is due."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from client.errors import ClientError

_EVERY_SECONDS: Final = 30.0


class DeviceCare:
    """`run` until cancelled; `due` when there may be something to do.

    Each errand looks for itself whether it is due, and may be cut off. One that failed may have something to tell, too.
    """

    def __init__(
        self, errands: Sequence[Callable[[], Awaitable[object]]], *, on_news: Callable[[], None]
    ) -> None:
        self._errands = errands
        self._on_news = on_news
        self._due = asyncio.Event()
        self.last_error: ClientError | None = None

    def due(self) -> None:
        """Look now."""
        self._due.set()

    async def run(self) -> None:
        """The first look is after the first catching up; a failure is tried again with the next one."""
        await self._due.wait()
        while True:
            self._due.clear()
            self.last_error = None
            for errand in self._errands:
                try:
                    await errand()
                except ClientError as error:
                    self.last_error = error
                self._on_news()
            try:
                async with asyncio.timeout(_EVERY_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                continue
