"""Wakes devices that are not connected, and tells nobody anything else; docs/protocol.md, "Push wakeups".

Hears from the bus that something waits, after its commit: the way of a message knows nothing of it. One wakeup for a device
until it connects. What came in the last tenth of a second is written to the outbox together, then sent.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from relay.config import PushSettings
from relay.observe.figures import Figures
from relay.observe.logs import EventLog
from relay.ports.bus import (
    Announcement,
    AnnouncementsLost,
    Bus,
    DeviceRevoked,
    MailboxLeft,
    MailboxTaken,
    NewMail,
    PrekeysLow,
    PushChanged,
)
from relay.ports.clock import Clock, Randomness
from relay.ports.leadership import Leadership, Work
from relay.ports.mailboxes import MailboxStore
from relay.ports.pusher import Outcome, PushAddress, PushAnswer, PushServices
from relay.ports.pushes import PushRegistration, PushStore
from relay.wire import limits
from relay.wire.errors import MalformedRequest, NotFound, RelayError
from relay.wire.push_resources import PushKind

from .beside import beside, while_leading
from .push_book import PAGE_ROWS, Begun, PushBook
from .push_doubt import Missed
from .push_lanes import ONE_DOOR, Lane, back_off_seconds, is_paused, share_of
from .wakeup import Wakeup

GATHER_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 60.0
LEFT_SECONDS: Final = 20.0
"""After a connection went that may have been dead for a while: if something waits then, it did not arrive."""
ANSWER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class PushTest:
    """What came back of a wakeup that an operator asked for."""

    device_id: bytes
    kind: PushKind
    answer: PushAnswer
    seconds: float


class Push:
    """The wakeups of one relay."""

    def __init__(
        self,
        store: PushStore,
        mailboxes: MailboxStore,
        services: PushServices,
        wakeup: Wakeup,
        settings: PushSettings,
        *,
        bus: Bus,
        clock: Clock,
        randomness: Randomness,
        figures: Figures,
        log: EventLog,
    ) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._pushers = {pusher.kind: pusher for pusher in services.pushers}
        self.vapid_key = services.vapid_key
        self._wakeup = wakeup
        self._settings = settings
        self._clock = clock
        self._randomness = randomness
        self._figures = figures
        self._log = log
        self._book = PushBook(store, clock)
        self._heard: dict[bytes, bool] = {}
        """Registered devices that are to be woken from the next round on; whether by something urgent."""
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bus = bus
        self._runs = False
        self._missed = Missed()
        self._changed: set[bytes] = set()
        """Devices that registered anew, or no more, at another node."""
        self._elsewhere: set[bytes] = set()
        """Registered devices whose mailbox somebody has at another node, as far as this one was told."""
        if self._pushers:
            for kind in (NewMail, PrekeysLow, MailboxTaken, MailboxLeft, DeviceRevoked, PushChanged):
                bus.subscribe(kind, self._hear)
            bus.subscribe(AnnouncementsLost, self._miss)

    # Registrations

    @property
    def kinds(self) -> tuple[PushKind, ...]:
        """What devices may register at."""
        return tuple(self._pushers)

    async def register(self, device_id: bytes, address: PushAddress) -> bytes:
        """The token (16 B) of the device's wakeups from now on; what it had before is forgotten. Raises MalformedRequest."""
        if address.kind not in self._pushers:
            raise MalformedRequest(
                "kind: this relay does not wake that way; /.well-known/tokenim tells how it does"
            )
        if not self._pushers[address.kind].takes(address):
            raise MalformedRequest(
                "target: this relay reaches out to https at public hosts, and to those that its operator allows"
                if address.kind not in ONE_DOOR
                else "target: that is no token of this push service"
            )
        made = PushRegistration(
            device_id, self._randomness(16), address, self._randomness(limits.WAKE_TOKEN_BYTES)
        )
        await self._store.register(made)
        if self._runs:
            self._book.take_up(made, LEFT_SECONDS)
        self._bus.publish(PushChanged(device_id))
        return made.token

    async def unregister(self, device_id: bytes) -> None:
        """Wake it no more; without effect if it was not registered."""
        self._book.forget(device_id)
        await self._store.unregister(device_id)
        self._bus.publish(PushChanged(device_id))

    async def test(self, device_ids: Sequence[bytes]) -> tuple[PushTest, ...]:
        """Wake those of them that are registered, connected or not, and tell what came back. Raises NotFound if none is."""
        tested = []
        for device_id in device_ids:
            registration = await self._store.registration(device_id)
            if registration is not None and registration.address.kind in self._pushers:
                began = self._clock.monotonic_seconds()
                answer = await self._push(registration, urgent=True)
                seconds = self._clock.monotonic_seconds() - began
                tested.append(PushTest(device_id, registration.address.kind, answer, seconds))
        if not tested:
            raise NotFound("no such device is registered at a push service that this relay uses")
        return tuple(tested)

    # What happens

    def _hear(self, announcement: Announcement) -> None:
        if not self._runs:  # another process wakes
            return
        match announcement:
            case NewMail(device_ids, urgent):
                known, hurried = self._book.known, frozenset(urgent)
                self._wake(
                    [one for one in device_ids if one in known and one not in self._elsewhere], hurried
                )
                for device_id in self._elsewhere.intersection(device_ids):
                    self._book.look_later(device_id, LEFT_SECONDS)
            case PrekeysLow(device_id=device_id):
                if device_id in self._book.known and not self._wakeup.is_here(device_id):
                    self._wake([device_id])
            case MailboxTaken(device_id=device_id):
                self._heard.pop(device_id, None)
                self._book.end(device_id)
                if device_id in self._book.known and not self._wakeup.is_here(device_id):
                    self._elsewhere.add(device_id)
            case MailboxLeft(device_id=device_id):
                self._elsewhere.discard(device_id)
                if device_id in self._book.known:
                    self._book.look_later(device_id, LEFT_SECONDS)
            case DeviceRevoked(device_id):
                self._elsewhere.discard(device_id)
                self._changed.discard(device_id)
                self._book.forget(device_id)
            case PushChanged(device_id):
                self._changed.add(device_id)
                self._book.news.set()
            case _:
                raise TypeError(f"not subscribed to {type(announcement).__name__}")

    def _miss(self, _lost: Announcement) -> None:
        self._elsewhere.clear()
        self._missed.happened(self._clock.monotonic_seconds())
        self._book.news.set()

    def _wake(self, device_ids: Sequence[bytes], urgent: Collection[bytes] = ()) -> None:
        """Of a fan-out these are thousands, and its sender waits: no more than to remember them."""
        for device_id in device_ids:
            self._heard[device_id] = device_id in urgent or self._heard.get(device_id, False)
        if self._heard:
            self._book.news.set()

    async def _begin_heard(self) -> None:
        """A page at a time, so that others come in between."""
        while self._heard:
            for _ in range(min(len(self._heard), PAGE_ROWS)):
                device_id, urgent = self._heard.popitem()
                if device_id in self._book.known:
                    self._book.begin(device_id, urgent=urgent, seconds=self._jitter())
            await self._clock.sleep(0)

    def _jitter(self) -> float:
        longest = self._settings.jitter_seconds
        return longest and longest * int.from_bytes(self._randomness(4), "big") / 2**32

    # At work

    async def run(self, failed: Callable[[BaseException], None]) -> None:
        """Until cancelled; `failed` is told what a round raises."""
        self._runs = True
        try:
            await self._book.load()
        except RelayError as error:
            failed(error)
        try:
            while True:
                try:
                    wait = await self._round()
                except Exception as error:  # noqa: BLE001  (whatever it is: the next round tries again)
                    failed(error)
                    wait = 1.0
                if wait > GATHER_SECONDS:
                    with suppress(TimeoutError):
                        async with self._clock.timeout(wait):
                            await self._book.news.wait()
                self._book.news.clear()
                await self._clock.sleep(GATHER_SECONDS)
        finally:
            self._runs = False
            await self.stop()
            self._book.clear()

    async def _round(self) -> float:
        """Write what has changed, begin what is due; seconds until the next has to be looked at."""
        now = self._clock.monotonic_seconds()
        if self._missed.next_look(len(self._book.known)) <= now:
            self._changed |= await self._book.look_again(LEFT_SECONDS)
            self._missed.looked(now)
        await self._book.reload(self._changed, LEFT_SECONDS)
        await self._begin_heard()
        await self._book.write()
        now = self._clock.monotonic_seconds()
        for device_id, begun in self._book.take_due(now):
            self._lanes.setdefault(begun.known.lane, Lane()).waiting.append(device_id)
        self._go_on(now)
        paused = [lane.paused_until for lane in self._lanes.values() if is_paused(lane, now)]
        self._figures.set("push_paused", len(paused))
        self._figures.set("push_waiting", self._book.waiting)
        self._figures.set("push_registrations", len(self._book.known))
        waits = [lane.paused_until for lane in self._lanes.values() if lane.waiting and is_paused(lane, now)]
        look = self._missed.next_look(len(self._book.known))
        return min([*waits, self._book.next_due, look, now + LOOK_SECONDS]) - now

    def _go_on(self, now: float) -> None:
        """Begin as many as there is room for, of each lane in turn."""
        most = self._settings.concurrency
        for name in tuple(self._lanes):
            lane = self._lanes.pop(name)
            while lane.waiting and len(self._tasks) < most and lane.room(now, share_of(name, most)):
                self._start(lane.waiting.popleft(), lane)
            if not lane.is_idle(now):
                self._lanes[name] = lane  # who had its turn comes last

    def _start(self, device_id: bytes, lane: Lane) -> None:
        begun = self._book.begun.get(device_id)
        if begun is None or not begun.may_start:
            return  # what stood here was another one
        begun.is_sending = True
        lane.active += 1
        task = asyncio.create_task(self._send(device_id, begun, lane), name="push")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, device_id: bytes, begun: Begun, lane: Lane) -> None:
        try:
            registration = await self._store.registration(device_id)
            if self._book.begun.get(device_id) is not begun:
                return
            if registration is None or not await self._is_needed(device_id, begun):
                self._book.end(device_id)
                return
            answer = await self._push(registration, urgent=begun.urgent)
            self._judge_lane(lane, answer)
            await self._settle(device_id, begun, answer)
        except RelayError as error:
            self._log.failure("push_failed", error)
            if self._book.begun.get(device_id) is begun:
                self._again(device_id, begun, None)
        finally:
            begun.is_sending = False
            lane.active -= 1
            self._book.news.set()

    async def _is_needed(self, device_id: bytes, begun: Begun) -> bool:
        if begun.only_if_waiting:
            state = await self._mailboxes.state(device_id)
            if state.envelopes == state.quarantined:
                return False
            self._elsewhere.discard(device_id)  # whoever had its mailbox there does not take it
            self._book.is_wanted(device_id, begun)
        return not self._wakeup.is_here(device_id)

    async def _push(self, registration: PushRegistration, *, urgent: bool) -> PushAnswer:
        """One try, whatever comes of it."""
        address = registration.address
        began = self._clock.monotonic_seconds()
        try:
            async with self._clock.timeout(ANSWER_SECONDS):
                answer = await self._pushers[address.kind].push(address, registration.token, urgent)
        except TimeoutError:
            answer = PushAnswer(Outcome.RETRY, "silent")
        except Exception as error:  # noqa: BLE001  (a bug of an adapter must not end the others)
            self._log.failure("push_failed", error, source=address.kind)
            answer = PushAnswer(Outcome.RETRY, "failing")
        self._figures.took(f"push_{address.kind}_seconds", self._clock.monotonic_seconds() - began)
        self._figures.add("push_tries_total", label=f"{address.kind} {answer.detail}")
        return answer

    def _judge_lane(self, lane: Lane, answer: PushAnswer) -> None:
        if answer.outcome is Outcome.RETRY:
            lane.failed(self._clock.monotonic_seconds())
        else:
            lane.answered()

    async def _settle(self, device_id: bytes, begun: Begun, answer: PushAnswer) -> None:
        """What the answer means for the wakeup; nothing, if the device came or registered anew meanwhile."""
        kind = begun.known.kind
        match answer.outcome:
            case Outcome.SENT:
                self._figures.add("push_sent_total", label=kind)
            case Outcome.GONE:
                self._figures.add("push_removed_total", label=kind)
                if self._book.known.get(device_id) is begun.known:
                    self._book.forget(device_id)
                await self._store.unregister(device_id, begun.known.registration_id)
                return
            case Outcome.REFUSED:
                self._log.warning("push_refused", source=kind, code=answer.detail)
        if self._book.begun.get(device_id) is not begun:
            return
        if answer.outcome is Outcome.SENT:
            self._book.sent(device_id, begun)
        elif answer.outcome is Outcome.REFUSED:
            self._drop(device_id, begun)
        else:
            self._again(device_id, begun, answer.retry_after_s)

    def _again(self, device_id: bytes, begun: Begun, retry_after_s: float | None) -> None:
        """Later, if that is not too late."""
        begun.attempts += 1
        wait = max(back_off_seconds(begun.attempts), retry_after_s or 0.0)
        if self._clock.now_ms() + wait * 1_000 > begun.begun_at_ms + limits.PUSH_SECONDS * 1_000:
            self._drop(device_id, begun)
            return
        self._figures.add("push_retried_total", label=begun.known.kind)
        self._book.schedule(device_id, begun, wait)

    def _drop(self, device_id: bytes, begun: Begun) -> None:
        self._figures.add("push_dropped_total", label=begun.known.kind)
        self._book.give_up(device_id, begun)

    async def stop(self) -> None:
        """What is on its way is given up, and stands in the outbox for the next start."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RelayError):
            await self._book.write()


@asynccontextmanager
async def open_push(
    push: Push, leadership: Leadership, failed: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Wakeups go out until the block ends, where this process is the one that wakes; nothing happens where no service is on."""
    if not push.kinds:
        yield
        return
    async with beside(while_leading(leadership, Work.PUSH, lambda: push.run(failed)), "push"):
        yield
