"""Where two devices that link leave four small things for each other, for a minute, in memory only.

Whoever knows the random id writes and reads; what the slots hold is sealed or signed by the two, and opaque here. Nothing of
it is on disk, and nothing says whose it is. docs/protocol.md, "Link mailbox".
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from relay.ports.clock import Clock, Timer
from relay.wire import limits
from relay.wire.errors import Conflict, NotFound, RateLimited, TooLarge

SLOTS: Final = ("request", "answer", "confirmation", "ready")


@dataclass(slots=True, eq=False)
class _Link:
    """One mailbox; `ends_ms` of the monotonic time."""

    ends_ms: int
    timer: Timer
    slots: dict[str, bytes] = field(default_factory=dict, repr=False)
    waiting: set[asyncio.Event] = field(default_factory=set)

    def wake(self) -> None:
        """Something was written, or this mailbox is gone: whoever waits looks again."""
        for event in self.waiting:
            event.set()


class LinkMailboxes:
    """All link mailboxes of this relay, at most MAX_LINK_MAILBOXES."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[bytes, _Link] = {}  # in the order in which they end
        self._bytes = 0
        self._stopping = False

    def put(self, link_id: bytes, slot: str, data: bytes) -> None:
        """Write the slot, once; the same bytes again change nothing. The first slot of an id begins its minute.

        Raises NotFound (no such slot), TooLarge, Conflict, RateLimited (as many as there may be; it says until when).
        """
        if slot not in SLOTS:
            raise NotFound
        if not 0 < len(data) <= limits.MAX_LINK_SLOT_BYTES:
            raise TooLarge(f"a slot holds 1 to {limits.MAX_LINK_SLOT_BYTES} bytes")
        self._drop_ended()
        link = self._links.get(link_id)
        written = link.slots.get(slot) if link else None
        if written is not None and written != data:
            raise Conflict("this slot is written already: begin anew with another link id")
        if written is None:
            self._check_room(len(data), is_new=link is None)
            link = link or self._open(link_id)
            link.slots[slot] = data
            self._bytes += len(data)
            link.wake()

    async def get(self, link_id: bytes, slot: str, *, wait_seconds: int) -> bytes | None:
        """What is in the slot; None if nothing was written within `wait_seconds`.

        Raises NotFound (no such mailbox, or no more), RateLimited (MAX_LINK_READERS wait there).
        """
        news = asyncio.Event()
        try:
            async with self._clock.timeout(wait_seconds):
                while True:
                    self._drop_ended()
                    link = self._links.get(link_id)
                    if link is None or slot not in SLOTS:
                        raise NotFound("there is no such link, or its minute is over: begin anew")
                    if slot in link.slots or not wait_seconds or self._stopping:
                        return link.slots.get(slot)
                    await self._wait(link, news)
        except TimeoutError:
            return None

    @staticmethod
    async def _wait(link: _Link, news: asyncio.Event) -> None:
        if len(link.waiting) >= limits.MAX_LINK_READERS:
            raise RateLimited(retry_after_ms=1_000)
        news.clear()
        link.waiting.add(news)
        try:
            await news.wait()
        finally:
            link.waiting.discard(news)

    def stop(self) -> None:
        """The relay goes down: who waits is answered now, and nobody waits any more."""
        self._stopping = True
        for link in self._links.values():
            link.wake()

    def _check_room(self, size: int, *, is_new: bool) -> None:
        full = is_new and len(self._links) >= limits.MAX_LINK_MAILBOXES
        if full or self._bytes + size > limits.MAX_LINK_BYTES:
            first = next(iter(self._links.values()))
            raise RateLimited(retry_after_ms=first.ends_ms - self._clock.monotonic_ms())

    def _open(self, link_id: bytes) -> _Link:
        timer = self._clock.call_later(limits.LINK_SECONDS, self._drop_ended)
        link = _Link(self._clock.monotonic_ms() + limits.LINK_SECONDS * 1_000, timer)
        self._links[link_id] = link
        return link

    def _drop_ended(self) -> None:
        """Forget what has had its minute; nothing depends on the timers' being exact."""
        now_ms = self._clock.monotonic_ms()
        while self._links:
            link_id, link = next(iter(self._links.items()))
            if link.ends_ms > now_ms:
                return
            del self._links[link_id]
            self._bytes -= sum(map(len, link.slots.values()))
            link.timer.cancel()
            link.wake()
