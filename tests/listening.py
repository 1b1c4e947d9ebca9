"""A client that listens for as long as a test runs."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from client.client import Client
from client.message import CaughtUp, Event, Message, Missed, Warned


@dataclass
class Listener:
    """A client that listens for as long as the test runs, and what it heard."""

    client: Client
    heard: list[Event] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def listen(self) -> None:
        async for event in self.client.events():
            async with self.news:
                self.heard.append(event)
                self.news.notify_all()

    @property
    def texts(self) -> Counter[str | None]:
        return Counter(event.text for event in self.heard if isinstance(event, Message))

    @property
    def warnings(self) -> set[str]:
        return {event.kind for event in self.heard if isinstance(event, Warned)}

    async def until(self, text: str, *, seconds: float = 30) -> None:
        """The text is here; it never came twice."""
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(lambda: text in self.texts)
        assert max(self.texts.values()) == 1

    async def until_told(self) -> None:
        """It was told that the relay came back, and is caught up with it."""
        gap = Missed(0, "restored")
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(
                lambda: gap in self.heard and CaughtUp() in self.heard[self.heard.index(gap) :]
            )
