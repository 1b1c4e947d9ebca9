"""What other nodes of this relay do and this one may not have been told of: found in the store, which alone is the truth.

An announcement may be lost. Each second this node asks what the mailboxes that somebody has here have given, in one
statement; so an envelope that was accepted on another node comes within two seconds without any announcement (F17), and who
has a mailbox of a device that is no more is shown out. After announcements were lost, who is connected is judged again, and
the other nodes are told who has which mailbox here: of two connections that each took a mailbox unheard the older one ends.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from relay.ports.bus import AnnouncementsLost, Bus
from relay.ports.clock import Clock
from relay.ports.mailboxes import MailboxStore

from .beside import beside
from .connections import Connections
from .wakeup import Wakeup

LOOK_SECONDS: Final = 1.0
DEVICES_A_LOOK: Final = 5_000
"""Of one statement: 5 ms of the database's time."""
JUDGE_SECONDS: Final = 5.0
"""While the bus is away, each who is connected is judged again after this time."""
TELL_SECONDS: Final = 30.0
"""And so often the others are told who is connected here: 46 B for each, and each node hears it."""


class OtherNodes:
    """Looks for what was not heard."""

    def __init__(
        self, mailboxes: MailboxStore, wakeup: Wakeup, connections: Connections, *, bus: Bus, clock: Clock
    ) -> None:
        self._mailboxes = mailboxes
        self._wakeup = wakeup
        self._connections = connections
        self._bus = bus
        self._clock = clock
        self._is_doubtful = False
        self._judged_at = -JUDGE_SECONDS
        self._has_to_tell = False
        self._told_at = -TELL_SECONDS
        bus.subscribe(AnnouncementsLost, lambda _lost: self._doubt())

    def _doubt(self) -> None:
        self._is_doubtful = self._has_to_tell = True

    async def look(self) -> None:
        """Once."""
        held = self._wakeup.held()
        for first in range(0, len(held), DEVICES_A_LOOK):
            asked = held[first : first + DEVICES_A_LOOK]
            self._wakeup.catch_up(asked, await self._mailboxes.newest(asked))
        now = self._clock.monotonic_seconds()
        if self._is_doubtful and now >= self._judged_at + JUDGE_SECONDS:
            self._is_doubtful, self._judged_at = False, now
            await self._connections.judge_again()
        if self._has_to_tell and self._bus.is_connected and now >= self._told_at + TELL_SECONDS:
            self._has_to_tell, self._told_at = False, now
            await self._wakeup.tell_held()

    async def run(self, failed: Callable[[BaseException], None]) -> None:
        """Again and again, until cancelled; `failed` is told what a look raises."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  (whatever it is: the next look tries again)
                failed(error)
            await self._clock.sleep(LOOK_SECONDS)


@asynccontextmanager
async def open_other_nodes(nodes: OtherNodes, failed: Callable[[BaseException], None]) -> AsyncIterator[None]:
    """It looks until the block ends."""
    async with beside(nodes.run(failed), "other-nodes"):
        yield
