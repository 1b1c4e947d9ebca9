"""One device's mailbox on its way to one connection: in order, within the window, again if not acknowledged.

docs/protocol.md, "Delivery", 4 to 7. Fresh mail of a device that is up to date goes straight from memory; a device that
is behind is fed from the store, a window at a time. Knows no socket and no sender.
"""

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Final, Protocol, TypeAlias

from relay.ports.clock import Clock, Timer
from relay.ports.mailboxes import MailboxStore, StoredEnvelope
from relay.services.read_only import NotedUnlessReadOnly, is_read_only
from relay.wire import limits
from relay.wire.codec import deliver_head, deliver_tail, encode_frame
from relay.wire.errors import NotFound, RelayError, SequenceAhead
from relay.wire.frames import CaughtUp, EnvelopeClass, Missed, MissedReason, Notice, NoticeKind

_ROOM_FOR_ONE_BYTES: Final = limits.MAX_ENVELOPE_BYTES + 64
"""An envelope is sent only while this much more may be held for the peer, so the bound holds with it."""

EPHEMERAL_UNREAD_BYTES: Final = limits.MAX_UNREAD_BYTES // 4
"""Beyond this much unread, ephemeral envelopes are dropped."""


class Outlet(Protocol):
    """Where a delivery puts its frames: a session."""

    def put(self, frame: bytes) -> None:
        """Queue an encoded frame."""

    def put_all(self, frames: Sequence[bytes]) -> None:
        """Queue encoded frames, in order."""

    def unread_bytes(self) -> int:
        """What is held in memory for the peer to read."""

    def end(self, code: str) -> None:
        """Refuse and close."""


class Begin(Protocol):
    """Starts work that the relay finishes before it stops."""

    def __call__(self, work: Coroutine[object, object, None], /) -> object:
        """Start it; raises nothing."""


_Unacknowledged: TypeAlias = tuple[int, int, int, int]
"""First and last sequence (the same but for a missed range), bytes, when it was sent. Plain: there is one for each envelope."""

Fresh: TypeAlias = tuple[int, bytes]
"""Sequence, and the rest of the `deliver` frame."""


class Delivery:
    """From `begin` to `stop`: the window of one device. All methods are called on the event loop's thread."""

    __slots__ = (
        "_ack_also",
        "_ack_up_to",
        "_acking",
        "_acknowledged",
        "_backlog_end",
        "_begin_work",
        "_behind",
        "_bytes",
        "_clock",
        "_counting",
        "_highest",
        "_known",
        "_looks",
        "_mailboxes",
        "_outlet",
        "_reading",
        "_rewinds",
        "_sent",
        "_stopped",
        "_timer",
        "_told_caught_up",
        "_window",
        "device_id",
    )

    def __init__(
        self,
        device_id: bytes,
        outlet: Outlet,
        mailboxes: MailboxStore,
        clock: Clock,
        begin_work: Begin,
        acknowledged: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """`acknowledged` is told how many envelopes an acknowledgement was for."""
        self.device_id = device_id
        self._outlet = outlet
        self._mailboxes = mailboxes
        self._clock = clock
        self._begin_work = begin_work
        self._acknowledged = acknowledged
        self._stopped = False

        # What went out. Sequences up to `_sent` were sent or never will be; `_highest` is the most `_sent` ever was.
        self._window: list[_Unacknowledged] = []  # a deque takes ten times the memory, empty as it mostly is
        self._bytes = 0
        self._sent = 0
        self._highest = 0
        self._timer: Timer | None = None  # to deliver again

        # What is still in the store. `_behind`: it holds more than `_sent`, so fresh mail waits its turn there.
        self._behind = True
        self._known = 0
        self._looks = 0
        self._reading = True  # until `begin` says where
        self._rewinds = 0
        self._counting = True  # the next read begins with a delivery that may be a repeated one
        self._backlog_end = 0
        self._told_caught_up = False

        # Acknowledgements that the store has not got yet: a newer one is joined to what waits.
        self._acking = False
        self._ack_up_to = 0
        self._ack_also: list[int] = []

    async def begin(self, after: int) -> int:
        """Start after the client's committed sequence, which acknowledges up to it; the next sequence of the mailbox.

        Raises SequenceAhead if the mailbox never gave `after`. Mail may be offered from the construction on.
        """
        state = await self._mailboxes.state(self.device_id)
        if after >= state.next_sequence:
            raise SequenceAhead
        if after >= state.lowest:
            with NotedUnlessReadOnly():
                await self._mailboxes.ack(self.device_id, up_to=after)
        self._sent = self._highest = max(after, state.lowest - 1)
        self._backlog_end = state.next_sequence - 1
        self._known = max(self._known, self._backlog_end)
        self._behind = self._sent < self._known or self._looks > 0
        self._tell_caught_up()
        self._reading = False
        self._feed()
        return state.next_sequence

    def stop(self) -> None:
        """Deliver no more; acknowledgements under way are finished."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def replaced(self) -> None:
        """A newer connection has the mailbox."""
        self.stop()
        self._outlet.end("replaced")

    def offer(self, envelopes: Sequence[Fresh]) -> None:
        """These were committed, in this order: deliver what is next and has room now, the rest comes from the store."""
        last = envelopes[-1][0]
        if last > self._known:
            self._known = last
        room = self._room_bytes()
        most = limits.WINDOW_ENVELOPES - len(self._window)
        now_ms = self._clock.monotonic_ms()
        sent = self._sent
        frames: list[bytes] = []
        if not self._behind:
            for sequence, tail in envelopes:
                if sequence != sent + 1 or room < 0 or len(frames) == most:
                    break
                sent = sequence
                frame = deliver_head(sequence) + tail
                size = len(frame)
                room -= size
                self._bytes += size
                self._window.append((sequence, sequence, size, now_ms))
                frames.append(frame)
        if frames:
            self._sent = sent
            self._outlet.put_all(frames)
            self._watch()
        if sent < self._known:
            self._behind = True
            self._feed()

    def offer_ephemeral(self, tail: bytes) -> None:
        """Hand on an ephemeral envelope, or drop it when the peer is slow."""
        if not self._stopped and self._outlet.unread_bytes() + len(tail) <= EPHEMERAL_UNREAD_BYTES:
            self._outlet.put(deliver_head(0) + tail)

    def look(self) -> None:
        """Mail was committed on another node: ask the store."""
        self._looks += 1
        self._behind = True
        self._feed()

    def look_past(self, sequence: int) -> None:
        """The mailbox has given sequences up to this one: if some are news, they were committed on another node."""
        if sequence > max(self._known, self._sent):
            self.look()

    def ack(self, up_to: int, also: Collection[int] = ()) -> None:
        """Take an acknowledgement; raises SequenceAhead above what was delivered. The store deletes soon after."""
        highest = max(self._highest, self._sent)
        if up_to > highest or (also and max(also) > highest):
            raise SequenceAhead
        window = self._window
        done = 0
        for entry in window:
            if entry[1] > up_to:
                break
            self._bytes -= entry[2]
            done += 1
        del window[:done]
        before = len(window)
        if also:
            singles = set(also)
            kept = [entry for entry in window if not (entry[0] == entry[1] and entry[1] in singles)]
            if len(kept) != len(window):
                self._window = kept
                self._bytes = sum(entry[2] for entry in kept)
            self._ack_also += also
        if done or len(self._window) < before:
            self._acknowledged(done + before - len(self._window))
        if up_to > self._ack_up_to:
            self._ack_up_to = up_to
            if (
                up_to > self._sent
            ):  # after going back to deliver again: what is acknowledged now need not go out again
                self._sent = up_to
                self._rewinds += 1
        if not self._acking:
            self._acking = True
            self._begin_work(self._write_acks())
        if not self._told_caught_up:
            self._tell_caught_up()
        if self._behind:
            self._feed()

    def has_read(self) -> None:
        """The peer has read: there may be room again."""
        self._feed()

    def _room_bytes(self) -> int:
        """How many bytes of envelopes may go out now, if the last one may go over it; below 0: none."""
        if self._stopped:
            return -1
        window = limits.WINDOW_BYTES - self._bytes
        unread = limits.MAX_UNREAD_BYTES - self._outlet.unread_bytes()
        return min(window, unread) - _ROOM_FOR_ONE_BYTES

    def _watch(self) -> None:
        """Something is unacknowledged: deliver it again in a while."""
        if self._timer is None:
            self._timer = self._clock.call_later(limits.REDELIVERY_SECONDS, self._redeliver)

    def _tell_caught_up(self) -> None:
        if self._sent < self._backlog_end or (self._window and self._window[0][0] <= self._backlog_end):
            return
        self._told_caught_up = True
        self._outlet.put(encode_frame(CaughtUp(self._backlog_end)))

    # From the store

    def _feed(self) -> None:
        """Start reading when a good part of the window is free, so that a slow peer does not cost a read an envelope."""
        if (
            self._behind
            and not self._reading
            and len(self._window) <= limits.WINDOW_ENVELOPES // 2
            and self._bytes <= limits.WINDOW_BYTES // 2
            and self._room_bytes() >= 0
        ):
            self._reading = True
            self._begin_work(self._read())

    async def _read(self) -> None:
        try:
            while self._behind and len(self._window) < limits.WINDOW_ENVELOPES and self._room_bytes() >= 0:
                await self._read_page()
        except RelayError as error:
            self._fail(error)
        finally:
            self._reading = False
        if not self._told_caught_up and not self._stopped:
            self._tell_caught_up()
        self._feed()

    async def _read_page(self) -> None:
        rewinds, known, looks, counting = self._rewinds, self._known, self._looks, self._counting
        page = await self._mailboxes.read(
            self.device_id,
            after=self._sent,
            max_envelopes=limits.WINDOW_ENVELOPES - len(self._window),
            max_bytes=self._room_bytes() + 1,
            now_ms=self._clock.now_ms(),
        )
        items = page.items
        if (
            counting
            and items
            and isinstance(lowest := items[0], StoredEnvelope)
            and await self._is_once_too_often(lowest.sequence)
        ):
            items = items[1:]
            self._outlet.put(encode_frame(Notice(NoticeKind.QUARANTINED, (lowest.sequence,))))
            self._sent = max(self._sent, lowest.sequence)
        if self._stopped or rewinds != self._rewinds:
            return
        self._counting = False
        now_ms = self._clock.monotonic_ms()
        frames: list[bytes] = []
        for item in items:
            if isinstance(item, StoredEnvelope):
                first = last = item.sequence
                tail = deliver_tail(
                    item.envelope_id, item.received_at_ms, EnvelopeClass.DURABLE, item.ciphertext
                )
                frame = deliver_head(first) + tail
            else:
                first, last = item.from_sequence, item.to_sequence
                frame = encode_frame(Missed(first, last, item.reason))
                if item.reason is MissedReason.RESTORED:
                    frames.append(encode_frame(Notice(NoticeKind.RESTORED, ())))
            self._sent = last
            self._window.append((first, last, len(frame), now_ms))
            self._bytes += len(frame)
            frames.append(frame)
        if frames:
            self._outlet.put_all(frames)
            self._watch()
        if not page.more:
            # What was known before the read and did not come is gone for good: quarantined, or acknowledged elsewhere.
            self._sent = max(self._sent, known)
            self._behind = self._sent < self._known or looks != self._looks

    async def _is_once_too_often(self, sequence: int) -> bool:
        """Count a delivery of the lowest envelope; whether it is quarantined now."""
        with NotedUnlessReadOnly():
            return await self._mailboxes.count_attempt(self.device_id, sequence)
        return False

    def _redeliver(self) -> None:
        """Go back to the lowest unacknowledged envelope once it is overdue, and send from there again."""
        self._timer = None
        if self._stopped or not self._window:
            return
        wait_ms = self._window[0][3] + limits.REDELIVERY_SECONDS * 1_000 - self._clock.monotonic_ms()
        if wait_ms <= 0 and self._outlet.unread_bytes():
            wait_ms = 1_000  # it has not read the first delivery: a second one would only pile up
        if wait_ms > 0:
            self._timer = self._clock.call_later(wait_ms / 1_000, self._redeliver)
            return
        self._highest = max(self._highest, self._sent)
        self._sent = self._window[0][0] - 1
        self._window.clear()
        self._bytes = 0
        self._rewinds += 1
        self._counting = True
        self._behind = True
        self._feed()

    # To the store

    async def _write_acks(self) -> None:
        """Hand over what is acknowledged until nothing more came meanwhile."""
        written_up_to = 0
        try:
            while self._ack_also or self._ack_up_to > written_up_to:
                written_up_to, also = self._ack_up_to, self._ack_also
                self._ack_also = []
                await self._mailboxes.ack(self.device_id, up_to=written_up_to, also=also)
        except RelayError as error:
            # What was not deleted comes again; that is all a lost acknowledgement costs.
            if not is_read_only(error):
                self._fail(error)
        finally:
            self._acking = False

    def _fail(self, error: RelayError) -> None:
        self._outlet.end("device_revoked" if isinstance(error, NotFound) else error.code)
