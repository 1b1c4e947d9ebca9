"""What one transaction does to mailboxes: all appends, then all attempts and acknowledgements, in few statements."""

from collections.abc import Iterable, Sequence, Set
from typing import Any, Final

from relay.adapters.mailbox_calls import Acknowledgement, Append, Attempt, Call
from relay.ports.clock import Randomness
from relay.ports.mailboxes import Appended, AppendResult, MailboxLevel, Quotas, Submission
from relay.wire import limits
from relay.wire.errors import NotFound, SequenceAhead
from relay.wire.frames import Outcome

from . import mailbox_counters, missed
from .database import Transaction, hot
from .mailbox_counters import Counters
from .mailbox_rows import let_go
from .mailbox_writes import MailboxWrites

TARGETS_A_TURN: Final = 1_000
"""So many targets of a fan-out are placed before the event loop's other tasks have their turn."""
SHARED_ID_BYTES: Final = 16

_RECORDS: Final = hot(
    "device_id",
    """SELECT r.device_id, r.envelope_id, r.digest
       FROM unnest($1::bytea[], $2::bytea[]) AS asked(device_id, envelope_id)
       JOIN records AS r ON r.device_id = asked.device_id AND r.envelope_id = asked.envelope_id""",
)
_DELETE_SINGLES: Final = hot(
    "device_id",
    """WITH gone AS (
           DELETE FROM envelopes AS e
           USING unnest($1::bytea[], $2::bigint[]) AS one(device_id, sequence)
           WHERE e.device_id = one.device_id AND e.sequence = one.sequence
           RETURNING e.device_id, e.bytes, e.shared_id)
       SELECT device_id, count(*), sum(bytes), array_agg(shared_id) FILTER (WHERE shared_id IS NOT NULL)
       FROM gone GROUP BY device_id""",
)
_LOWEST: Final = hot(
    "device_id",
    "SELECT min(sequence) FROM envelopes WHERE device_id = $1 AND NOT quarantined",
)


class MailboxGroup:
    """Applies calls in one transaction; their futures are not its business."""

    def __init__(self, quotas: Quotas, randomness: Randomness) -> None:
        self._randomness = randomness
        self.change_quotas(quotas)

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas for what is appended from now on."""
        self._quotas = quotas
        self._nearly_envelopes = quotas.envelopes * quotas.nearly_full_percent // 100
        self._nearly_bytes = quotas.bytes * quotas.nearly_full_percent // 100

    async def apply(self, transaction: Transaction, calls: Sequence[Call[Any]]) -> None:
        """Set the result or error of each, in order; a retry of the transaction begins anew."""
        appends = [call for call in calls if isinstance(call, Append)]
        acks = [call for call in calls if isinstance(call, Acknowledgement)]
        attempts = [call for call in calls if isinstance(call, Attempt)]
        for call in calls:
            call.error = None
        known = await mailbox_counters.lock_briefly(transaction, devices_of(calls))
        changed: dict[bytes, Counters] = {}
        writes = MailboxWrites(await _records_of(transaction, appends, known))
        await self._append(transaction, appends, writes, known, changed)
        if attempts:
            await writes.flush(transaction)
        for attempt in attempts:
            await _count(transaction, attempt, known, changed)
        up_to, copies = await _acknowledge(transaction, acks, writes, known, changed)
        if changed:
            for shared_id, count in (await writes.write(transaction, changed.values(), up_to)).items():
                copies[shared_id] = copies.get(shared_id, 0) + count
        await let_go(transaction, copies)

    async def apply_free(
        self, transaction: Transaction, calls: Sequence[Call[Any]], *, await_one: bytes | None = None
    ) -> tuple[list[Call[Any]], set[bytes]]:
        """Only those that are not behind a mailbox which another transaction holds; the others, and these mailboxes.

        `await_one` is waited for first, while nothing else is held: who waits in this order is in nobody's way.
        """
        if await_one is not None:
            await mailbox_counters.lock_briefly(transaction, [await_one])
        held = await mailbox_counters.lock_free(transaction, devices_of(calls))
        kept = those_behind(calls, held, set()) if held else []
        if len(kept) < len(calls):
            waits = set(kept)
            await self.apply(transaction, [call for call in calls if call not in waits])
        return kept, held

    async def _append(
        self,
        transaction: Transaction,
        appends: Sequence[Append],
        writes: MailboxWrites,
        known: dict[bytes, Counters],
        changed: dict[bytes, Counters],
    ) -> None:
        for append in appends:
            levels: dict[bytes, MailboxLevel] = {}
            answers = [
                await self._place(
                    transaction, submission, digests, append.now_ms, writes, levels, known, changed
                )
                for submission, digests in zip(append.submissions, append.digests, strict=True)
            ]
            append.result = AppendResult(tuple(answers), tuple(levels.values()))

    async def _place(
        self,
        transaction: Transaction,
        submission: Submission,
        digests: Sequence[bytes],
        now_ms: int,
        writes: MailboxWrites,
        levels: dict[bytes, MailboxLevel],
        known: dict[bytes, Counters],
        changed: dict[bytes, Counters],
    ) -> Appended:
        """Decide for each target of one submission, and note the rows."""
        envelope_id, ciphertexts = submission.envelope_id, submission.ciphertexts
        outcomes: list[Outcome] = []
        sequences: list[int] = []
        taken: list[tuple[bytes, int, int]] = []
        for number, (device_id, index) in enumerate(submission.targets):
            if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await transaction.let_others()
            counters = known.get(device_id)
            sequence = 0
            if counters is None:
                outcome = Outcome.UNKNOWN_DEVICE
            elif (record := writes.records.get((device_id, envelope_id))) is not None:
                outcome = Outcome.STORED if record == digests[index] else Outcome.CONFLICT
            else:
                size = len(ciphertexts[index])
                if not self._fits(counters, size):  # a full mailbox may hold expired envelopes
                    await writes.flush(transaction)
                    changed[device_id] = counters
                    await missed.expire(transaction, counters, now_ms)
                if not self._fits(counters, size):
                    outcome = Outcome.MAILBOX_FULL
                    levels[device_id] = MailboxLevel(device_id, counters.envelopes, counters.bytes, full=True)
                else:
                    outcome = Outcome.STORED
                    counters.given_up_to = sequence = counters.given_up_to + 1
                    was_nearly = self._is_nearly_full(counters)
                    counters.envelopes += 1
                    counters.bytes += size
                    changed[device_id] = counters
                    writes.records[device_id, envelope_id] = digests[index]
                    taken.append((device_id, index, sequence))
                    if not was_nearly and self._is_nearly_full(counters):
                        levels[device_id] = MailboxLevel(
                            device_id, counters.envelopes, counters.bytes, full=False
                        )
            outcomes.append(outcome)
            sequences.append(sequence)
        self._note(submission, digests, now_ms, taken, writes)
        return Appended(tuple(outcomes), tuple(sequences), now_ms)

    def _fits(self, counters: Counters, size: int) -> bool:
        return counters.envelopes < self._quotas.envelopes and counters.bytes + size <= self._quotas.bytes

    def _is_nearly_full(self, counters: Counters) -> bool:
        return counters.envelopes >= self._nearly_envelopes or counters.bytes >= self._nearly_bytes

    def _note(
        self,
        submission: Submission,
        digests: Sequence[bytes],
        now_ms: int,
        taken: Sequence[tuple[bytes, int, int]],
        writes: MailboxWrites,
    ) -> None:
        """The rows of one submission; a ciphertext that goes to several mailboxes is stored once."""
        targets: dict[int, int] = {}
        for _, index, _ in taken:
            targets[index] = targets.get(index, 0) + 1
        copies: dict[int, bytes] = {}
        for index, count in targets.items():
            if count > 1:
                copies[index] = shared_id = self._randomness(SHARED_ID_BYTES)
                writes.shared[shared_id] = (submission.ciphertexts[index], count)
        expires_at_ms = now_ms + submission.ttl_seconds * 1_000
        for device_id, index, sequence in taken:
            ciphertext = submission.ciphertexts[index]
            shared = copies.get(index)
            writes.device_ids.append(device_id)
            writes.sequences.append(sequence)
            writes.expiries.append(expires_at_ms)
            writes.arrivals.append(now_ms)
            writes.sizes.append(len(ciphertext))
            writes.envelope_ids.append(submission.envelope_id)
            writes.digests.append(digests[index])
            writes.shared_ids.append(shared)
            writes.ciphertexts.append(ciphertext if shared is None else None)


def devices_of(calls: Iterable[Call[Any]]) -> set[bytes]:
    """Whose mailboxes these need."""
    device_ids: set[bytes] = set()
    for call in calls:
        if isinstance(call, Append):
            for submission in call.submissions:
                device_ids.update(device_id for device_id, _ in submission.targets)
        elif isinstance(call, Acknowledgement | Attempt):
            device_ids.add(call.device_id)
    return device_ids


def those_behind(calls: Iterable[Call[Any]], held: Set[bytes], appending: set[bytes]) -> list[Call[Any]]:
    """Who has to wait as these mailboxes are held: who needs one, and appends to a mailbox to which one that waits appends.

    So what somebody sends to one mailbox comes in its order, whoever else some of it goes to. `appending`: the mailboxes
    of appends that wait already; those of more are added.
    """
    behind: list[Call[Any]] = []
    for call in calls:
        device_ids = devices_of([call])
        is_append = isinstance(call, Append)
        if held.isdisjoint(device_ids) and not (is_append and not appending.isdisjoint(device_ids)):
            continue
        behind.append(call)
        if is_append:
            appending |= device_ids
    return behind


async def _records_of(
    transaction: Transaction, appends: Sequence[Append], known: dict[bytes, Counters]
) -> dict[tuple[bytes, bytes], bytes]:
    """The digests that stand for these targets and envelopes; asked for after the locks, so none is overlooked."""
    device_ids: list[bytes] = []
    envelope_ids: list[bytes] = []
    for append in appends:
        for submission in append.submissions:
            for device_id, _ in submission.targets:
                if device_id in known:
                    device_ids.append(device_id)
                    envelope_ids.append(submission.envelope_id)
    if not device_ids:
        return {}
    return {(row[0], row[1]): row[2] for row in await transaction.rows(_RECORDS, device_ids, envelope_ids)}


async def _count(
    transaction: Transaction, attempt: Attempt, known: dict[bytes, Counters], changed: dict[bytes, Counters]
) -> None:
    """One more delivery of the lowest envelope; quarantined if it was too many."""
    attempt.result = False
    counters = known.get(attempt.device_id)
    if counters is None:
        attempt.error = NotFound("there is no such device")
        return
    ((lowest,),) = await transaction.rows(_LOWEST, attempt.device_id)
    if lowest != attempt.sequence:
        return
    if counters.attempt_sequence != attempt.sequence:
        counters.attempt_sequence, counters.attempts = attempt.sequence, 0
    counters.attempts += 1
    changed[attempt.device_id] = counters
    if counters.attempts > limits.MAX_DELIVERY_ATTEMPTS:
        await transaction.execute(
            "UPDATE envelopes SET quarantined = true WHERE device_id = $1 AND sequence = $2",
            attempt.device_id,
            attempt.sequence,
        )
        attempt.result = True


async def _acknowledge(
    transaction: Transaction,
    acks: Sequence[Acknowledgement],
    writes: MailboxWrites,
    known: dict[bytes, Counters],
    changed: dict[bytes, Counters],
) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """Delete what is acknowledged singly, and deduct it; up to where which mailboxes are to be emptied."""
    up_to: dict[bytes, int] = {}
    singles: set[tuple[bytes, int]] = set()
    copies: dict[bytes, int] = {}
    for ack in acks:
        counters = known.get(ack.device_id)
        if counters is None:
            ack.error = NotFound("there is no such device")
        elif max(ack.up_to, *ack.also, 0) > counters.given_up_to:
            ack.error = SequenceAhead()
        else:
            changed[ack.device_id] = counters
            if ack.up_to:
                up_to[ack.device_id] = max(ack.up_to, up_to.get(ack.device_id, 0))
            singles.update((ack.device_id, single) for single in ack.also)
            if counters.has_missed:
                await missed.acknowledge(transaction, counters, ack.up_to, ack.also)
    if singles or writes.holds_up_to(up_to):
        await writes.flush(transaction)
    if singles:
        device_ids, sequences = zip(*sorted(singles), strict=True)
        for device_id, envelopes, size, shared in await transaction.rows(
            _DELETE_SINGLES, device_ids, sequences
        ):
            known[device_id].envelopes -= envelopes
            known[device_id].bytes -= size
            for shared_id in shared or ():
                copies[shared_id] = copies.get(shared_id, 0) + 1
    return dict(sorted(up_to.items())), copies
