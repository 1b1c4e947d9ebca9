"""Which devices are to be woken, in memory and in the outbox. Sends nothing.

Everything of a tenth of a second is written in one commit, after the envelopes' own: what a kill leaves out is found at the next
start by what waits in the mailboxes.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from relay.ports.clock import Clock
from relay.ports.pushes import PendingWakeup, PushRegistration, PushStore
from relay.wire.errors import RelayError
from relay.wire.push_resources import PushKind

from .push_lanes import back_off_seconds, lane_of

KEPT_SECONDS: Final = 86_400
"""So long push services keep a wakeup; after that a new cause begins another one."""
GIVEN_UP_SECONDS: Final = 4_096.0
"""As long as between two tries of one that fails."""
PAGE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Known:
    """A registered device, without what wakes it."""

    registration_id: bytes
    kind: PushKind
    lane: str


@dataclass(slots=True, eq=False)
class Begun:
    """The wakeup of a device. `due` is a monotonic time in seconds, infinite while it is on its way or was sent."""

    known: Known
    begun_at_ms: int
    urgent: bool
    due: float = inf
    attempts: int = 0
    sent_at_ms: int | None = None
    rests_until: float | None = None
    """A monotonic time in seconds: it was given up, and until then nothing tries again."""
    is_sending: bool = False
    only_if_waiting: bool = False
    """It hangs on what its mailbox holds when it is due; it stands in no outbox."""

    @property
    def is_under_way(self) -> bool:
        """Whether no service has taken it yet."""
        return self.sent_at_ms is None and self.rests_until is None and not self.only_if_waiting

    @property
    def may_start(self) -> bool:
        """Whether its time has come, and it is not on its way already."""
        return self.due == inf and not self.is_sending and (self.is_under_way or self.only_if_waiting)


class PushBook:
    """Of one relay. `news` is set when something is to be written, or may be due earlier than what was due next."""

    def __init__(self, store: PushStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.known: Final[dict[bytes, Known]] = {}
        self.begun: Final[dict[bytes, Begun]] = {}
        self.news: Final = asyncio.Event()
        self._due: list[tuple[float, bytes]] = []
        self._under_way: set[bytes] = set()
        self._changed: set[bytes] = set()
        self._ended: set[bytes] = set()

    def know(self, registration: PushRegistration) -> None:
        """The device is woken there from now on."""
        address = registration.address
        self.known[registration.device_id] = Known(
            registration.registration_id, address.kind, lane_of(address)
        )

    def clear(self) -> None:
        """Another process has the outbox now."""
        for kept in (self.known, self.begun, self._due, self._under_way, self._changed, self._ended):
            kept.clear()

    def forget(self, device_id: bytes) -> None:
        """It is woken no more; its row goes with the registration's."""
        self.known.pop(device_id, None)
        self.begun.pop(device_id, None)
        self._under_way.discard(device_id)

    def begin(self, device_id: bytes, *, urgent: bool, seconds: float = 0.0) -> None:
        """A wakeup after `seconds`, unless one is under way; that is urgent from now on if this is."""
        begun = self.begun.get(device_id)
        if begun is not None and begun.is_under_way:
            if urgent and not begun.urgent:
                begun.urgent = True
                self.note(device_id)
        elif begun is None or begun.only_if_waiting or self._is_lost(begun):
            made = Begun(self.known[device_id], self._clock.now_ms(), urgent)
            self.schedule(device_id, made, seconds)

    def look_later(self, device_id: bytes, seconds: float) -> None:
        """A wakeup after `seconds`, if something waits for the device by then."""
        if device_id not in self.begun:
            made = Begun(self.known[device_id], self._clock.now_ms(), False, only_if_waiting=True)
            self.schedule(device_id, made, seconds)

    def _is_lost(self, begun: Begun) -> bool:
        """Whether it was sent so long ago that the service keeps it no more, or given up so long ago that another try is fair."""
        if begun.rests_until is not None:
            return self._clock.monotonic_seconds() >= begun.rests_until
        sent_at_ms = begun.sent_at_ms
        return sent_at_ms is not None and self._clock.now_ms() >= sent_at_ms + KEPT_SECONDS * 1_000

    def schedule(self, device_id: bytes, begun: Begun, seconds: float) -> None:
        """It is due after `seconds`."""
        begun.due = self._clock.monotonic_seconds() + max(seconds, 0.0)
        self._put(device_id, begun)
        self.note(device_id)
        heapq.heappush(self._due, (begun.due, device_id))

    def is_wanted(self, device_id: bytes, begun: Begun) -> None:
        """Something waits: what hung on that does so no more."""
        begun.only_if_waiting = False
        self._put(device_id, begun)

    def sent(self, device_id: bytes, begun: Begun) -> None:
        """A service has taken it."""
        begun.sent_at_ms = self._clock.now_ms()
        self._put(device_id, begun)
        self.note(device_id)

    def give_up(self, device_id: bytes, begun: Begun) -> None:
        """Nobody will wake it: it stands in the outbox no more.

        A new cause begins another one, but not at once: each message would be a request to a service that said no.
        """
        self.end(device_id)
        begun.rests_until = self._clock.monotonic_seconds() + GIVEN_UP_SECONDS
        self._put(device_id, begun)

    def _put(self, device_id: bytes, begun: Begun) -> None:
        self.begun[device_id] = begun
        if begun.is_under_way:
            self._under_way.add(device_id)
        else:
            self._under_way.discard(device_id)

    def note(self, device_id: bytes) -> None:
        """Its wakeup changed: the outbox gets to know."""
        self._changed.add(device_id)
        self._ended.discard(device_id)
        self.news.set()

    def end(self, device_id: bytes) -> None:
        """It is here, or nobody will wake it: nothing is under way any more."""
        if self.begun.pop(device_id, None) is not None:
            self._under_way.discard(device_id)
            self._changed.discard(device_id)
            self._ended.add(device_id)
            self.news.set()

    def take_due(self, now: float) -> Iterator[tuple[bytes, Begun]]:
        """What is due, each once."""
        while self._due and self._due[0][0] <= now:
            due, device_id = heapq.heappop(self._due)
            begun = self.begun.get(device_id)
            if begun is not None and begun.due == due:
                begun.due = inf
                yield device_id, begun

    @property
    def next_due(self) -> float:
        """When something is due again."""
        return self._due[0][0] if self._due else inf

    @property
    def waiting(self) -> int:
        """Wakeups that no service has taken."""
        return len(self._under_way)

    async def load(self) -> None:
        """What the outbox holds, and whom a kill left without a wakeup."""
        async for registration in self._registrations():
            self.know(registration)
        await self._load_outbox()
        await self._end_woken()
        async for device_id in self._unwoken():
            self.begin(device_id, urgent=False)

    async def look_again(self, seconds: float) -> set[bytes]:
        """What was not heard of other nodes: who was here since it was woken, and for whom something came.

        Those are woken after `seconds`, if it waits still: this node does not know who is at another one. Returned are the
        devices whose registration may be another one than this node knows.
        """
        found: dict[bytes, bytes] = {}
        async for registration in self._registrations():
            found[registration.device_id] = registration.registration_id
        await self._end_woken()
        async for device_id in self._unwoken():
            self.look_later(device_id, seconds)
        known = {device_id: one.registration_id for device_id, one in self.known.items()}
        return {device_id for device_id, _ in known.items() ^ found.items()}

    async def reload(self, changed: set[bytes], seconds: float) -> None:
        """What other nodes were told of registrations; of what this one was told, nothing is new. Takes out of `changed`."""
        while changed:
            device_id = changed.pop()
            try:
                registration = await self._store.registration(device_id)
            except RelayError:
                changed.add(device_id)  # asked again in the next round
                raise
            known = self.known.get(device_id)
            if registration is None:
                self.forget(device_id)
            elif known is None or known.registration_id != registration.registration_id:
                self.take_up(registration, seconds)

    def take_up(self, registration: PushRegistration, seconds: float) -> None:
        """What woke it at its old place may not have arrived: who registers does not always come."""
        self.forget(registration.device_id)
        self.know(registration)
        self.look_later(registration.device_id, seconds)

    async def _registrations(self) -> AsyncIterator[PushRegistration]:
        after = b""
        while page := await self._store.registrations(after=after, limit=PAGE_ROWS):
            for registration in page:
                yield registration
            after = page[-1].device_id

    async def _end_woken(self) -> None:
        """Whom a service woke, and who has read all since: the next message wakes it again."""
        after = b""
        while page := await self._store.woken(after=after, limit=PAGE_ROWS):
            for device_id in page:
                self._end_sent(device_id)
            after = page[-1]

    async def _unwoken(self) -> AsyncIterator[bytes]:
        """For whom something waits, and nothing is begun that would wake them."""
        after = b""
        while page := await self._store.unwoken(after=after, limit=PAGE_ROWS):
            for device_id in page:
                self._end_sent(device_id)
                if device_id in self.known and device_id not in self.begun:
                    yield device_id
            after = page[-1]

    def _end_sent(self, device_id: bytes) -> None:
        begun = self.begun.get(device_id)
        if begun is not None and begun.sent_at_ms is not None:
            self.end(device_id)

    async def _load_outbox(self) -> None:
        after, now_ms = b"", self._clock.now_ms()
        while page := await self._store.pending(after=after, limit=PAGE_ROWS):
            for one in page:
                known = self.known.get(one.device_id)
                if known is None or one.device_id in self.begun:
                    continue
                begun = Begun(known, one.begun_at_ms, one.urgent, inf, one.attempts, one.sent_at_ms)
                if one.sent_at_ms is None:
                    # By a clock that was set back meanwhile it would be due much later.
                    wait = min((one.due_at_ms - now_ms) / 1_000, float(back_off_seconds(one.attempts + 1)))
                    self.schedule(one.device_id, begun, wait)
                else:
                    self._put(one.device_id, begun)
            after = page[-1].device_id

    async def write(self) -> None:
        """All that changed, so much in a commit that nobody waits for it; if one fails, what was in it is written with the next.

        Raises what the store raises.
        """
        while self._changed or self._ended:
            changed, ended = _taken(self._changed), _taken(self._ended)
            rows = tuple(self._rows(changed))
            if not (rows or ended):
                continue  # what hangs on a look stands in no outbox
            try:
                await self._store.note(rows, tuple(ended))
            except RelayError:
                self._changed |= changed & self.begun.keys()
                self._ended |= ended - self._changed
                raise

    def _rows(self, device_ids: Iterable[bytes]) -> Iterator[PendingWakeup]:
        now_ms, now = self._clock.now_ms(), self._clock.monotonic_seconds()
        for device_id in device_ids:
            begun = self.begun.get(device_id)
            if begun is not None and not begun.only_if_waiting:
                wait = 0.0 if begun.due == inf else begun.due - now
                yield PendingWakeup(
                    device_id,
                    begun.known.registration_id,
                    begun.begun_at_ms,
                    now_ms + round(wait * 1_000),
                    begun.attempts,
                    begun.urgent,
                    begun.sent_at_ms,
                )


def _taken(waiting: set[bytes]) -> set[bytes]:
    """A page of these, which wait no more."""
    return {waiting.pop() for _ in range(min(len(waiting), PAGE_ROWS))}
