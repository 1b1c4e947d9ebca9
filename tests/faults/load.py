"""Senders, recipients and askers for prekeys that go on as if nothing had happened, and note all they see in a Ledger."""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import aiohttp

from relay.wire.frames import (
    Accepted,
    Ack,
    CaughtUp,
    Deliver,
    Missed,
    Notice,
    NoticeKind,
    Outcome,
    Refused,
    RelayFrame,
    Resume,
    Submit,
)
from relay.wire.limits import MAX_FRAMES_PER_MESSAGE
from relay.wire.links import decode_bytes, encode_bytes, encode_id
from relay.wire.prekeys import PrekeyClass, PrekeyKind, parse_prekey
from tests.faults.checker import Ledger
from tests.faults.wire_client import (
    GONE,
    Device,
    Disconnected,
    Refusal,
    Socket,
    connected,
    noise,
    request,
    submit_of,
)

ACK_AFTER = 16
RETRY_REFUSED_SECONDS = 0.1
WAIT_FOR_ROOM = frozenset({"storage_full", "unavailable", "shutting_down", "rate_limited"})


class Unexpected(Exception):
    """The relay answered what it must not."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One recipient: its device, and the name it has in the ledger."""

    name: str
    device: Device = field(repr=False)


class Sender:
    """Submits envelopes to one or many mailboxes over anonymous connections, a window at a time.

    What went unanswered it submits again first, the same bytes in the same order, as docs/protocol.md asks.
    """

    def __init__(
        self,
        name: str,
        targets: Sequence[Mailbox],
        ledger: Ledger,
        random: Random,
        *,
        window: int = 32,
        largest_bytes: int = 2048,
        limit: int | None = None,
    ) -> None:
        self.name = name
        self.targets = targets
        self.unanswered: dict[bytes, bytes] = {}  # envelope id → ciphertext, in the order of submission
        self.stop = asyncio.Event()
        self.accepted = 0
        self.refusals: Counter[str] = Counter()
        self._ledger = ledger
        self._random = random
        self._window = window
        self._largest_bytes = largest_bytes
        self._left = limit
        self._requests: dict[int, bytes] = {}
        self._next_request = 1

    def send_more(self, count: int) -> None:
        """So many new ones with the next run."""
        self.stop.clear()
        self._left = count

    def _new_envelope(self) -> bytes:
        envelope_id = self._random.randbytes(16)
        self.unanswered[envelope_id] = noise(envelope_id, self._random.randint(16, self._largest_bytes))
        if self._left is not None:
            self._left -= 1
        return envelope_id

    def _submit(self, envelope_id: bytes) -> Submit:
        ciphertext = self.unanswered[envelope_id]
        for mailbox in self.targets:
            self._ledger.submitted(self.name, mailbox.name, envelope_id, hashlib.sha256(ciphertext).digest())
        number, self._next_request = self._next_request, self._next_request % (2**32 - 1) + 1
        self._requests[number] = envelope_id
        return submit_of(number, envelope_id, ciphertext, [mailbox.device for mailbox in self.targets])

    def forget_unanswered(self) -> None:
        """Give up what has no answer: it may be there or not."""
        self.unanswered.clear()

    @property
    def finished(self) -> bool:
        """Nothing is to be sent and nothing waits for an answer."""
        return not self.unanswered and (self.stop.is_set() or self._left == 0)

    async def run(self, http: aiohttp.ClientSession, origin: str) -> None:
        """Until told to stop and all is answered, or until the connection is gone."""
        self._requests.clear()
        tried = False
        try:
            async with connected(http, origin) as socket:
                tried = True
                await self._converse(socket)
        except GONE:
            pass  # what is unanswered stays, for the next connection
        finally:
            if tried:
                for envelope_id in self.unanswered:
                    for mailbox in self.targets:
                        self._ledger.went_unanswered(mailbox.name, envelope_id)

    async def _converse(self, socket: Socket) -> None:
        again = deque(self.unanswered)
        waiting_for_room = False
        while not self.finished:
            frames: list[Submit] = []
            while (
                not waiting_for_room
                and len(self._requests) < self._window
                and len(frames) < MAX_FRAMES_PER_MESSAGE
            ):
                if again:
                    frames.append(self._submit(again.popleft()))
                elif self.stop.is_set() or self._left == 0:
                    break
                else:
                    frames.append(self._submit(self._new_envelope()))
            if frames:
                await socket.send(frames)
            waiting_for_room |= self._take(await socket.receive())
            if waiting_for_room and not self._requests:  # all in flight is answered: begin again, in order
                await asyncio.sleep(RETRY_REFUSED_SECONDS)
                self._refuse(*self.unanswered)
                again = deque(self.unanswered)
                waiting_for_room = False

    def _refuse(self, *envelope_ids: bytes) -> None:
        for envelope_id in envelope_ids:
            for mailbox in self.targets:
                self._ledger.refused(mailbox.name, envelope_id)

    def _take(self, frame: RelayFrame) -> bool:
        """Note an answer; whether the relay has no room at the moment."""
        match frame:
            case Accepted(request_id=number, outcomes=outcomes):
                envelope_id = self._requests.pop(number)
                del self.unanswered[envelope_id]
                for mailbox, outcome in zip(self.targets, outcomes, strict=True):
                    if outcome is Outcome.STORED:
                        self._ledger.accepted(mailbox.name, envelope_id)
                        self.accepted += 1
                    elif outcome is Outcome.MAILBOX_FULL:
                        self._ledger.refused(mailbox.name, envelope_id)
                        self.refusals["mailbox_full"] += 1
                    else:
                        raise Unexpected(f"{outcome.name} for an envelope of {self.name}")
                return False
            case Refused(request_id=0, code=code) if code in WAIT_FOR_ROOM:
                raise Disconnected(None)  # the connection as a whole: it is closed next
            case Refused(request_id=number, code=code) if code in WAIT_FOR_ROOM:
                self.refusals[code] += 1
                self._refuse(self._requests.pop(number))
                return True
            case Notice(kind=NoticeKind.SHUTTING_DOWN):
                return False
            case _:
                raise Unexpected(f"{self.name} got {frame}")


class Recipient:
    """Takes a mailbox from where it stands, notes what comes, acknowledges, and goes on after each end."""

    def __init__(self, mailbox: Mailbox, ledger: Ledger, *, ack_after: int = ACK_AFTER) -> None:
        self.mailbox = mailbox
        self.committed = 0
        self.caught_up = asyncio.Event()
        self.received = 0
        self._ledger = ledger
        self._ack_after = ack_after

    async def run(self, http: aiohttp.ClientSession, origin: str) -> None:
        """Until the connection is gone or the task is cancelled."""
        self.caught_up.clear()
        try:
            while True:
                async with connected(http, origin, self.mailbox.device) as socket:
                    await self._converse(socket)
        except GONE:
            return

    async def _converse(self, socket: Socket) -> None:
        """Returns if the relay knows nothing of what it has delivered before."""
        await socket.send([Resume(self.committed)])
        unacknowledged = 0
        while True:
            frame = await socket.receive()
            match frame:
                case Deliver():
                    self._note(frame)
                    unacknowledged += 1
                case Missed(from_sequence=first, to_sequence=last):
                    self._ledger.missed(self.mailbox.name, first, last)
                    self.committed = max(self.committed, last)
                    unacknowledged += 1
                case CaughtUp():
                    self.caught_up.set()
                case Refused(code="sequence_ahead"):
                    self._ledger.forgotten(self.mailbox.name, self.committed)
                    self.committed = 0
                    return
                case Refused(code=code) if code in WAIT_FOR_ROOM:
                    raise Disconnected(None)
                case Notice():
                    pass
                case _:
                    raise Unexpected(f"{self.mailbox.name} got {frame}")
            if unacknowledged and (unacknowledged >= self._ack_after or not socket.more_at_hand):
                await socket.send([Ack(self.committed)])
                unacknowledged = 0

    def _note(self, frame: Deliver) -> None:
        digest = hashlib.sha256(frame.ciphertext).digest()
        if self._ledger.delivered(self.mailbox.name, frame.sequence, frame.envelope_id, digest):
            self.received += 1
        self.committed = max(self.committed, frame.sequence)

    async def quarantined(self, http: aiohttp.ClientSession, origin: str, random: Random) -> int:
        """Take what was put aside after too many deliveries without ack; how many."""
        answer = await request(
            http,
            "GET",
            "/v1/mailbox/quarantine",
            origin=origin,
            device=self.mailbox.device,
            nonce=random.randbytes(16),
        )
        for envelope in answer["envelopes"]:
            digest = hashlib.sha256(decode_bytes(envelope["ciphertext"])).digest()
            envelope_id = decode_bytes(envelope["envelope_id"])
            self._ledger.delivered(self.mailbox.name, envelope["sequence"], envelope_id, digest)
        return len(answer["envelopes"])


class PrekeyMarket:
    """Keeps a device stocked with one-time prekeys and lets others take them: no key may be given twice."""

    ONE_TIME = (PrekeyKind.KEM, PrekeyKind.ONE_TIME)

    def __init__(self, target: Device, askers: Sequence[Device], ledger: Ledger, random: Random) -> None:
        self._target = target
        self._askers = askers
        self._ledger = ledger
        self._random = random
        self._next_id = 1

    async def run(self, http: aiohttp.ClientSession, origin: str) -> None:
        """A new stock, then all askers at once; until done or the relay is gone."""
        try:
            try:
                await self.stock(http, origin)
            except Refusal as refusal:
                if refusal.code != "quota_exceeded":  # the stock is full: nobody came for a while
                    raise
            await self.claim(http, origin)
        except GONE:
            return

    async def claim(self, http: aiohttp.ClientSession, origin: str) -> None:
        """All askers at once, twice each."""
        await asyncio.gather(*(self._claim(http, origin, asker) for asker in self._askers for _ in range(2)))

    async def stock(self, http: aiohttp.ClientSession, origin: str) -> None:
        """Four more one-time keys of each kind, and new standing ones."""
        keys = []
        for _ in range(4):
            keys += [self._key(kind, PrekeyClass.ONE_TIME) for kind in self.ONE_TIME]
            self._next_id += 1
        keys.append(self._key(PrekeyKind.SIGNED, PrekeyClass.ROTATING))
        keys.append(self._key(PrekeyKind.SEALING, PrekeyClass.ROTATING))
        keys.append(self._key(PrekeyKind.KEM, PrekeyClass.LAST_RESORT))
        self._next_id += 1
        listed = ",".join(f'"{encode_bytes(key)}"' for key in keys)
        await request(
            http,
            "POST",
            "/v1/prekeys",
            f'{{"keys":[{listed}]}}'.encode(),
            origin=origin,
            device=self._target,
            nonce=self._random.randbytes(16),
        )

    def _key(self, kind: PrekeyKind, key_class: PrekeyClass) -> bytes:
        return self._target.prekey(kind, key_class, self._next_id, self._random)

    async def _claim(self, http: aiohttp.ClientSession, origin: str, asker: Device) -> None:
        try:
            answer = await request(
                http,
                "POST",
                f"/v1/accounts/{encode_id(self._target.account_id)}/bundles",
                f'{{"token":"{encode_bytes(self._target.token)}"}}'.encode(),
                origin=origin,
                device=asker,
                nonce=self._random.randbytes(16),
            )
        except Refusal as refusal:
            if refusal.code != "rate_limited":
                raise
            return
        for bundle in answer["bundles"]:
            for field_name in ("kem_prekey", "one_time_prekey"):
                if bundle[field_name] is None:
                    continue
                key = parse_prekey(decode_bytes(bundle[field_name]))
                if key.key_class is PrekeyClass.ONE_TIME:
                    self._ledger.one_time_key(encode_id(self._target.device_id), key.kind, key.key_id)
