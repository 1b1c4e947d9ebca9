"""Mailboxes in memory; shared copies are shared by Python itself."""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256

from relay.ports.mailboxes import (
    RESTORE_GAP,
    Appended,
    AppendResult,
    MailboxItem,
    MailboxLevel,
    MailboxState,
    MissedRange,
    Page,
    QuarantinedEnvelope,
    Quotas,
    StoredEnvelope,
    Submission,
)
from relay.wire import limits
from relay.wire.errors import NotFound, SequenceAhead
from relay.wire.frames import MissedReason, Outcome

from .image import Gate, HeldEnvelope, Image, Mailbox, Record, Waiting


def jump(image: Image) -> None:
    """A new epoch in every mailbox."""
    for mailbox in image.mailboxes.values():
        first = mailbox.given_up_to + 1
        mailbox.given_up_to += RESTORE_GAP
        mailbox.missed.append(MissedRange(first, mailbox.given_up_to, MissedReason.RESTORED))


def _bytes(mailbox: Mailbox) -> int:
    return sum(len(each.envelope.ciphertext) for each in mailbox.waiting.values())


def _settle(mailbox: Mailbox, sequences: Sequence[int], now_ms: int | None) -> None:
    """Take these out; their records age from `now_ms` on, or from the next housekeeping (None)."""
    for sequence in sequences:
        envelope = mailbox.waiting.pop(sequence).envelope
        mailbox.records[envelope.envelope_id].settled_at_ms = now_ms


def _replace_by_missed(
    mailbox: Mailbox, gone: Callable[[Waiting], bool], reason: MissedReason, now_ms: int | None = None
) -> int:
    sequences = [sequence for sequence, waiting in mailbox.waiting.items() if gone(waiting)]
    _settle(mailbox, sequences, now_ms)
    ranges = [*mailbox.missed, *(MissedRange(sequence, sequence, reason) for sequence in sequences)]
    mailbox.missed = []
    for each in sorted(ranges, key=lambda missed: missed.from_sequence):
        last = mailbox.missed[-1] if mailbox.missed else None
        if last is not None and last.to_sequence == each.from_sequence - 1 and last.reason is each.reason:
            mailbox.missed[-1] = MissedRange(last.from_sequence, each.to_sequence, each.reason)
        else:
            mailbox.missed.append(each)
    return len(sequences)


def _expire(image: Image, device_id: bytes, now_ms: int) -> int:
    mailbox, account_id = image.mailboxes[device_id], image.devices[device_id].account_id
    if account_id in image.holds:
        image.held_envelopes += [
            HeldEnvelope(
                account_id, device_id, one.envelope.received_at_ms, one.expires_at_ms, one.envelope.ciphertext
            )
            for one in mailbox.waiting.values()
            if one.expires_at_ms <= now_ms
        ]
    return _replace_by_missed(
        mailbox, lambda waiting: waiting.expires_at_ms <= now_ms, MissedReason.EXPIRED, now_ms
    )


def _parts(missed: MissedRange, up_to: int, also: frozenset[int]) -> list[MissedRange]:
    """What remains of a missed range after an acknowledgement."""
    cuts = sorted(single for single in also if missed.from_sequence <= single <= missed.to_sequence)
    parts: list[MissedRange] = []
    first = max(missed.from_sequence, up_to + 1)
    for cut in [*(cut for cut in cuts if cut >= first), missed.to_sequence + 1]:
        if first < cut:
            parts.append(MissedRange(first, cut - 1, missed.reason))
        first = cut + 1
    return parts


class MemoryMailboxes:
    """MailboxStore in memory."""

    def __init__(self, gate: Gate, quotas: Quotas) -> None:
        self._gate = gate
        self._image = gate.image
        self._quotas = quotas

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas from now on."""
        self._quotas = quotas

    def _mailbox(self, device_id: bytes) -> Mailbox:
        mailbox = self._image.mailboxes.get(device_id)
        if mailbox is None:
            raise NotFound("there is no such device")
        return mailbox

    async def append(self, submissions: Sequence[Submission], *, now_ms: int) -> AppendResult:
        """Store what these say, at one moment."""

        def change() -> AppendResult:
            levels: dict[bytes, MailboxLevel] = {}
            answers = []
            for submission in submissions:
                placed = [self._place(submission, target, now_ms, levels) for target in submission.targets]
                outcomes, sequences = zip(*placed, strict=True) if placed else ((), ())
                answers.append(Appended(tuple(outcomes), tuple(sequences), now_ms))
            return AppendResult(tuple(answers), tuple(levels.values()))

        return await self._gate.commit(change)

    def _place(
        self,
        submission: Submission,
        target: tuple[bytes, int],
        now_ms: int,
        levels: dict[bytes, MailboxLevel],
    ) -> tuple[Outcome, int]:
        device_id, index = target
        ciphertext = submission.ciphertexts[index]
        mailbox = self._image.mailboxes.get(device_id)
        if mailbox is None:
            return Outcome.UNKNOWN_DEVICE, 0
        digest = sha256(ciphertext).digest()[: limits.DIGEST_BYTES]
        record = mailbox.records.get(submission.envelope_id)
        if record is not None:
            return (Outcome.STORED if record.digest == digest else Outcome.CONFLICT), 0
        if self._is_full(mailbox, ciphertext):
            _expire(self._image, device_id, now_ms)
        if self._is_full(mailbox, ciphertext):
            levels[device_id] = MailboxLevel(device_id, len(mailbox.waiting), _bytes(mailbox), full=True)
            return Outcome.MAILBOX_FULL, 0
        before = self._is_nearly_full(mailbox)
        mailbox.given_up_to += 1
        envelope = StoredEnvelope(mailbox.given_up_to, submission.envelope_id, now_ms, ciphertext)
        mailbox.waiting[envelope.sequence] = Waiting(envelope, now_ms + submission.ttl_seconds * 1_000)
        mailbox.records[submission.envelope_id] = Record(digest)
        if not before and self._is_nearly_full(mailbox):
            levels[device_id] = MailboxLevel(device_id, len(mailbox.waiting), _bytes(mailbox), full=False)
        return Outcome.STORED, envelope.sequence

    def _is_full(self, mailbox: Mailbox, ciphertext: bytes) -> bool:
        return (
            len(mailbox.waiting) >= self._quotas.envelopes
            or _bytes(mailbox) + len(ciphertext) > self._quotas.bytes
        )

    def _is_nearly_full(self, mailbox: Mailbox) -> bool:
        percent = self._quotas.nearly_full_percent
        return (
            len(mailbox.waiting) >= self._quotas.envelopes * percent // 100
            or _bytes(mailbox) >= self._quotas.bytes * percent // 100
        )

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page:
        """What stands above `after`."""
        self._gate.check()
        mailbox = self._mailbox(device_id)
        if any(each.expires_at_ms <= now_ms for each in mailbox.waiting.values()):
            await self._gate.commit(lambda: _expire(self._image, device_id, now_ms))
        standing: list[tuple[int, MailboxItem]] = [
            (sequence, each.envelope) for sequence, each in mailbox.waiting.items() if not each.quarantined
        ]
        standing += [
            (
                max(each.from_sequence, after + 1),
                MissedRange(max(each.from_sequence, after + 1), each.to_sequence, each.reason),
            )
            for each in mailbox.missed
            if each.to_sequence > after
        ]
        standing = sorted((each for each in standing if each[0] > after), key=lambda each: each[0])
        items: list[MailboxItem] = []
        filled = 0
        for _, item in standing[:max_envelopes]:
            if isinstance(item, StoredEnvelope):
                if filled and filled + len(item.ciphertext) > max_bytes:
                    break
                filled += len(item.ciphertext)
            items.append(item)
        return Page(tuple(items), len(items) < len(standing))

    async def ack(self, device_id: bytes, *, up_to: int, also: Sequence[int] = ()) -> None:
        """Delete what is acknowledged."""

        def change() -> None:
            mailbox = self._mailbox(device_id)
            if max(up_to, *also, 0) > mailbox.given_up_to:
                raise SequenceAhead
            singles = frozenset(also)
            gone = [
                sequence
                for sequence, waiting in mailbox.waiting.items()
                if sequence in singles or (sequence <= up_to and not waiting.quarantined)
            ]
            _settle(mailbox, gone, None)
            mailbox.missed = [part for each in mailbox.missed for part in _parts(each, up_to, singles)]

        await self._gate.commit(change)

    async def state(self, device_id: bytes) -> MailboxState:
        """Where the mailbox stands."""
        self._gate.check()
        mailbox = self._mailbox(device_id)
        unsettled = [sequence for sequence, each in mailbox.waiting.items() if not each.quarantined]
        unsettled += [each.from_sequence for each in mailbox.missed]
        return MailboxState(
            next_sequence=mailbox.given_up_to + 1,
            lowest=min(unsettled, default=mailbox.given_up_to + 1),
            envelopes=len(mailbox.waiting),
            bytes=_bytes(mailbox),
            quarantined=sum(each.quarantined for each in mailbox.waiting.values()),
        )

    async def newest(self, device_ids: Collection[bytes]) -> Mapping[bytes, int]:
        """What each has given."""
        self._gate.check()
        known = self._gate.image.mailboxes
        return {each: known[each].given_up_to for each in device_ids if each in known}

    async def count_attempt(self, device_id: bytes, sequence: int) -> bool:
        """Note a delivery of the lowest unacknowledged envelope."""

        def change() -> bool:
            mailbox = self._mailbox(device_id)
            lowest = min(
                (each for each, waiting in mailbox.waiting.items() if not waiting.quarantined), default=0
            )
            if lowest != sequence or not lowest:
                return False
            if mailbox.attempt_sequence != sequence:
                mailbox.attempt_sequence, mailbox.attempts = sequence, 0
            mailbox.attempts += 1
            if mailbox.attempts > limits.MAX_DELIVERY_ATTEMPTS:
                mailbox.waiting[sequence].quarantined = True
            return mailbox.waiting[sequence].quarantined

        return await self._gate.commit(change)

    async def quarantined(self, device_id: bytes) -> tuple[QuarantinedEnvelope, ...]:
        """All quarantined ones, ascending."""
        self._gate.check()
        return tuple(
            QuarantinedEnvelope(
                sequence,
                each.envelope.envelope_id,
                each.envelope.received_at_ms,
                len(each.envelope.ciphertext),
            )
            for sequence, each in self._mailbox(device_id).waiting.items()
            if each.quarantined
        )

    async def fetch_quarantined(self, device_id: bytes, sequence: int) -> StoredEnvelope:
        """One of them."""
        self._gate.check()
        waiting = self._mailbox(device_id).waiting.get(sequence)
        if waiting is None or not waiting.quarantined:
            raise NotFound
        return waiting.envelope

    async def remove(self, device_id: bytes, *, up_to: int) -> None:
        """Replace every envelope up to `up_to` by missed ranges."""

        def change() -> None:
            _replace_by_missed(
                self._mailbox(device_id),
                lambda waiting: waiting.envelope.sequence <= up_to,
                MissedReason.REMOVED,
            )

        await self._gate.commit(change)

    async def expire(self, *, now_ms: int, limit: int) -> int:
        """Replace expired envelopes; memory looks at all of them each time."""
        return await self._gate.commit(
            lambda: sum(_expire(self._image, device_id, now_ms) for device_id in self._image.mailboxes)
        )

    async def remove_old_records(self, *, now_ms: int, limit: int) -> int:
        """Date what was settled since the last call, and forget what was settled long enough ago."""

        def change() -> int:
            count = 0
            for mailbox in self._image.mailboxes.values():
                pending = {each.envelope.envelope_id for each in mailbox.waiting.values()}
                for envelope_id, record in list(mailbox.records.items()):
                    if envelope_id in pending:
                        continue
                    if record.settled_at_ms is None:
                        record.settled_at_ms = now_ms
                    elif record.settled_at_ms + limits.IDEMPOTENCY_SECONDS * 1_000 < now_ms and count < limit:
                        del mailbox.records[envelope_id]
                        count += 1
            return count

        return await self._gate.commit(change)

    async def begin_epoch(self) -> None:
        """Every sequence jumps by RESTORE_GAP."""
        await self._gate.commit(lambda: jump(self._image))
