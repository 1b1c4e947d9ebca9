"""A mailbox read by requests instead of a connection: `GET /v1/mailbox`; docs/protocol.md, "HTTP".

It takes the mailbox like `resume` does, and holds it while the request waits.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relay.ports.clock import Clock, Randomness
from relay.ports.mailboxes import MailboxItem, MailboxStore, StoredEnvelope
from relay.services.delivery import Fresh
from relay.services.wakeup import Wakeup
from relay.wire import limits
from relay.wire.errors import Replaced, SequenceAhead


@dataclass(frozen=True, slots=True)
class Polled:
    """What waits, in order; `next_sequence` is what the mailbox gives next; `more` if the answer has not all of it."""

    items: tuple[MailboxItem, ...]
    next_sequence: int
    more: bool


class _Waiting:
    """Holder of the mailbox that only wants to know that something came. Ephemeral envelopes are for sockets."""

    def __init__(self, known: int) -> None:
        """`known`: the highest sequence that the mailbox had given when it was asked."""
        self._known = known
        self.news = asyncio.Event()
        self.is_replaced = False

    def offer(self, envelopes: Sequence[Fresh]) -> None:
        """They are read from the store, with everything else that came."""
        del envelopes
        self.news.set()

    def offer_ephemeral(self, tail: bytes) -> None:
        """Dropped: between two polls nobody is connected."""

    def look(self) -> None:
        """Something was committed elsewhere."""
        self.news.set()

    def look_past(self, sequence: int) -> None:
        """The mailbox has given sequences up to this one."""
        if sequence > self._known:
            self._known = sequence
            self.news.set()

    def replaced(self) -> None:
        """A newer one has the mailbox."""
        self.is_replaced = True
        self.news.set()


class LongPoll:
    """Answers polls."""

    def __init__(self, store: MailboxStore, wakeup: Wakeup, *, clock: Clock, randomness: Randomness) -> None:
        self._store = store
        self._wakeup = wakeup
        self._clock = clock
        self._randomness = randomness
        self._waiting: set[_Waiting] = set()
        self._stopping = False

    def stop(self) -> None:
        """The relay goes down: polls that wait are answered now, and nobody waits any more."""
        self._stopping = True
        for waiting in self._waiting:
            waiting.news.set()

    async def poll(self, device_id: bytes, *, after: int, wait_seconds: int) -> Polled:
        """What stands above `after`, which is acknowledged; waits for the first if nothing does.

        Raises SequenceAhead, and Replaced when a newer poll or connection takes the mailbox meanwhile.
        """
        state = await self._store.state(device_id)
        if after >= state.next_sequence:
            raise SequenceAhead
        waiting = _Waiting(state.next_sequence - 1)
        self._waiting.add(waiting)
        self._wakeup.take(device_id, self._randomness(16), waiting)
        try:
            if after >= state.lowest:
                await self._store.ack(device_id, up_to=after)
            polled = await self._read(device_id, after)
            try:
                async with self._clock.timeout(wait_seconds):
                    while not (polled.items or waiting.is_replaced or self._stopping) and wait_seconds:
                        await waiting.news.wait()
                        waiting.news.clear()
                        polled = await self._read(device_id, after)
            except TimeoutError:
                pass  # nothing came: that is an answer too
            if waiting.is_replaced:
                raise Replaced
            return polled
        finally:
            self._waiting.discard(waiting)
            self._wakeup.release(device_id, waiting)

    async def _read(self, device_id: bytes, after: int) -> Polled:
        """One page; its lowest envelope counts as delivered once more, and is left out when that is too often."""
        while True:
            page = await self._store.read(
                device_id,
                after=after,
                max_envelopes=limits.MAX_LONG_POLL_ENVELOPES,
                max_bytes=limits.MAX_UNREAD_BYTES,
                now_ms=self._clock.now_ms(),
            )
            lowest = page.items[0] if page.items else None
            if not isinstance(lowest, StoredEnvelope):
                break
            if not await self._store.count_attempt(device_id, lowest.sequence):
                break
            after = lowest.sequence  # quarantined now: what comes behind it
        state = await self._store.state(device_id)
        return Polled(page.items, state.next_sequence, page.more)
