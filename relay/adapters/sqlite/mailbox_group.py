"""What one group commit does to mailboxes: all appends, then all attempts and acknowledgements, in few statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.adapters.mailbox_calls import Acknowledgement, Append, Attempt
from relay.ports.mailboxes import Appended, AppendResult, MailboxLevel, Quotas, Submission
from relay.wire import limits
from relay.wire.errors import NotFound, SequenceAhead
from relay.wire.frames import Outcome

from . import missed, multi_row
from .mailbox_counters import Counters, MailboxCounters
from .records import Fresh, Key, Records, record_value
from .writer import Row, Transaction

_ENVELOPE_COLUMNS = 9
TARGETS_A_TURN: Final = 1_000
"""So many targets of a fan-out are placed before the event loop's other tasks have their turn."""
_STORED = (Outcome.STORED,)


@dataclass(slots=True, eq=False)
class _Rows:
    """Records that a group has to respect, and rows on their way to the file."""

    merged: Fresh
    recent: Fresh
    merging: Fresh
    fresh: Fresh = field(default_factory=dict)
    envelopes: list[object] = field(default_factory=list)
    shared: list[object] = field(default_factory=list)
    waiting: list[object] = field(default_factory=list)

    def record(self, key: Key) -> bytes | None:
        """The record that stands for this key."""
        return self.fresh.get(key) or self.recent.get(key) or self.merging.get(key) or self.merged.get(key)


class MailboxGroup:
    """Applies waiting calls in the writer's transaction; their futures are not its business."""

    def __init__(self, counters: MailboxCounters, records: Records, quotas: Quotas) -> None:
        self._counters = counters
        self._records = records
        self.change_quotas(quotas)
        self._next_shared = 0

    def change_quotas(self, quotas: Quotas) -> None:
        """Other quotas for what is appended from now on."""
        self._quotas = quotas
        self._nearly_envelopes = quotas.envelopes * quotas.nearly_full_percent // 100
        self._nearly_bytes = quotas.bytes * quotas.nearly_full_percent // 100

    async def append(self, transaction: Transaction, appends: Sequence[Append]) -> None:
        """Set the result of each, in order."""
        device_ids: set[bytes] = set()
        for append in appends:
            for submission in append.submissions:
                for device_id, _ in submission.targets:
                    device_ids.add(device_id)
        await self._counters.load(transaction, device_ids)
        records = self._records
        merged = await records.find_merged(transaction, lambda: self._keys(appends))
        rows = _Rows(merged=merged, recent=records.recent, merging=records.merging)
        for append in appends:
            levels: dict[bytes, MailboxLevel] = {}
            answers: list[Appended] = []
            while self._place_ones(append, answers, rows) < len(append.submissions):
                one = len(answers)
                submission, digests = append.submissions[one], append.digests[one]
                answers.append(
                    await self._place(transaction, submission, digests, append.now_ms, rows, levels)
                )
            append.result = AppendResult(tuple(answers), tuple(levels.values()))
        self._insert(transaction, rows)
        if rows.fresh:
            records.note(transaction, rows.fresh)

    def _keys(self, appends: Sequence[Append]) -> list[object]:
        """Device number and envelope id of every target, one after the other."""
        known = self._counters.known
        keys: list[object] = []
        for append in appends:
            for submission in append.submissions:
                for device_id, _ in submission.targets:
                    if (counters := known.get(device_id)) is not None:
                        keys += (counters.number, submission.envelope_id)
        return keys

    def _place_ones(self, append: Append, answers: list[Appended], rows: _Rows) -> int:
        """Answer on, as long as it is the most frequent case: one target, nothing known of it, room enough.

        How many are answered now. One loop with as little as it takes: about 2 µs an envelope.
        """
        now_ms, submissions, all_digests = append.now_ms, append.submissions, append.digests
        known, fresh, envelopes = self._counters.known, rows.fresh, rows.envelopes
        recent, merging, merged = rows.recent, rows.merging, rows.merged
        for number in range(len(answers), len(submissions)):
            submission = submissions[number]
            if len(submission.targets) != 1:
                break
            device_id, index = submission.targets[0]
            counters = known.get(device_id)
            if counters is None:
                break
            key = counters.number_bytes + submission.envelope_id
            if key in fresh or key in recent or key in merging or key in merged:
                break
            ciphertext = submission.ciphertexts[index]
            size = len(ciphertext)
            count, filled = counters.envelopes + 1, counters.bytes + size
            if count >= self._nearly_envelopes or filled >= self._nearly_bytes:
                break
            counters.envelopes, counters.bytes = count, filled
            counters.given_up_to = sequence = counters.given_up_to + 1
            digest = all_digests[number][index]
            fresh[key] = record_value(digest, sequence)
            envelopes += (
                counters.number,
                sequence,
                now_ms + submission.ttl_seconds * 1_000,
                size,
                now_ms,
                submission.envelope_id,
                digest,
                None,
                ciphertext,
            )
            answers.append(Appended(_STORED, (sequence,), now_ms))
        return len(answers)

    async def _place(
        self,
        transaction: Transaction,
        submission: Submission,
        digests: Sequence[bytes],
        now_ms: int,
        rows: _Rows,
        levels: dict[bytes, MailboxLevel],
    ) -> Appended:
        """Decide for each target of one submission, and note the rows."""
        known = self._counters.known
        quota_envelopes, quota_bytes = self._quotas.envelopes, self._quotas.bytes
        envelope_id, ciphertexts = submission.envelope_id, submission.ciphertexts
        outcomes: list[Outcome] = []
        sequences: list[int] = []
        taken: list[tuple[Counters, int, int]] = []
        for number, (device_id, index) in enumerate(submission.targets):
            if number % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await transaction.let_others()
            counters = known.get(device_id)
            sequence = 0
            if counters is None:
                outcome = Outcome.UNKNOWN_DEVICE
            elif (record := rows.record(key := counters.number_bytes + envelope_id)) is not None:
                outcome = Outcome.STORED if record.startswith(digests[index]) else Outcome.CONFLICT
            else:
                size = len(ciphertexts[index])
                if counters.envelopes >= quota_envelopes or counters.bytes + size > quota_bytes:
                    await self._make_room(transaction, counters, now_ms, rows)
                if counters.envelopes >= quota_envelopes or counters.bytes + size > quota_bytes:
                    outcome = Outcome.MAILBOX_FULL
                    levels[device_id] = MailboxLevel(device_id, counters.envelopes, counters.bytes, full=True)
                else:
                    outcome = Outcome.STORED
                    counters.given_up_to = sequence = counters.given_up_to + 1
                    counters.envelopes += 1
                    counters.bytes += size
                    rows.fresh[key] = record_value(digests[index], sequence)
                    taken.append((counters, index, sequence))
                    if (
                        counters.envelopes >= self._nearly_envelopes or counters.bytes >= self._nearly_bytes
                    ) and (
                        counters.envelopes - 1 < self._nearly_envelopes
                        and counters.bytes - size < self._nearly_bytes
                    ):
                        levels[device_id] = MailboxLevel(
                            device_id, counters.envelopes, counters.bytes, full=False
                        )
            outcomes.append(outcome)
            sequences.append(sequence)
        if taken:
            await self._note(transaction, submission, digests, now_ms, taken, rows)
        return Appended(tuple(outcomes), tuple(sequences), now_ms)

    async def _note(
        self,
        transaction: Transaction,
        submission: Submission,
        digests: Sequence[bytes],
        now_ms: int,
        taken: Sequence[tuple[Counters, int, int]],
        rows: _Rows,
    ) -> None:
        """The rows of one submission; a ciphertext that goes to several mailboxes is stored once."""
        expires_at_ms = now_ms + submission.ttl_seconds * 1_000
        copies: dict[int, int | None] = {}
        if len(taken) > 1:
            targets: dict[int, int] = {}
            for _, index, _ in taken:
                targets[index] = targets.get(index, 0) + 1
            for index, count in targets.items():
                if count > 1:
                    copies[index] = number = await self._new_shared_number(transaction)
                    rows.shared += (number, submission.ciphertexts[index])
                    rows.waiting += (number, count)
        for place, (counters, index, sequence) in enumerate(taken):
            if place % TARGETS_A_TURN == TARGETS_A_TURN - 1:
                await transaction.let_others()
            ciphertext = submission.ciphertexts[index]
            shared_number = copies.get(index)
            rows.envelopes += (
                counters.number,
                sequence,
                expires_at_ms,
                len(ciphertext),
                now_ms,
                submission.envelope_id,
                digests[index],
                shared_number,
                ciphertext if shared_number is None else None,
            )

    async def _new_shared_number(self, transaction: Transaction) -> int:
        if not self._next_shared:
            ((highest,),) = await transaction.rows(
                "SELECT coalesce(max(shared_number), 0) FROM shared_ciphertexts"
            )
            self._next_shared = highest + 1
        self._next_shared += 1
        return self._next_shared - 1

    async def _make_room(
        self, transaction: Transaction, counters: Counters, now_ms: int, rows: _Rows
    ) -> None:
        """A full mailbox may hold expired envelopes: look before refusing. What was placed so far has to be in the file."""
        self._insert(transaction, rows)
        await missed.expire(transaction, counters, now_ms)

    @staticmethod
    def _insert(transaction: Transaction, rows: _Rows) -> None:
        for count, parameters in multi_row.chunks(rows.shared, 2):
            transaction.later(
                f"INSERT INTO shared_ciphertexts SELECT * FROM {multi_row.values(count, 2)} WHERE column1 NOT NULL",  # noqa: S608
                parameters,
            )
        for count, parameters in multi_row.chunks(rows.waiting, 2):
            transaction.later(
                f"INSERT INTO shared_waiting SELECT * FROM {multi_row.values(count, 2)} WHERE column1 NOT NULL",  # noqa: S608
                parameters,
            )
        for count, parameters in multi_row.chunks(rows.envelopes, _ENVELOPE_COLUMNS):
            transaction.later(
                f"""INSERT INTO envelopes (device_number, sequence, expires_at_ms, bytes, received_at_ms, envelope_id, digest,
                                           shared_number, ciphertext)
                    SELECT * FROM {multi_row.values(count, _ENVELOPE_COLUMNS)} WHERE column1 NOT NULL""",  # noqa: S608
                parameters,
            )
        rows.shared, rows.waiting, rows.envelopes = [], [], []

    async def settle(
        self, transaction: Transaction, acks: Sequence[Acknowledgement], attempts: Sequence[Attempt]
    ) -> None:
        """Count attempts, then delete what is acknowledged; sets `error` or `result` of each."""
        await self._counters.load(
            transaction, [*(ack.device_id for ack in acks), *(attempt.device_id for attempt in attempts)]
        )
        changed: dict[int, Counters] = {}
        for attempt in attempts:
            await self._count(transaction, attempt, changed)
        up_to: dict[int, int] = {}
        singles: set[tuple[int, int]] = set()
        for ack in acks:
            counters = self._counters.known.get(ack.device_id)
            if counters is None:
                ack.error = NotFound("there is no such device")
            elif max(ack.up_to, *ack.also, 0) > counters.given_up_to:
                ack.error = SequenceAhead()
            else:
                number = counters.number
                changed[number] = counters
                up_to[number] = max(ack.up_to, up_to.get(number, 0))
                singles.update((number, single) for single in ack.also)
                if counters.has_missed:
                    await missed.acknowledge(transaction, counters, ack.up_to, ack.also)
        ranges = [part for number, last in up_to.items() for part in (number, 0, last)]
        self._delete(transaction, changed, ranges, quarantined=0)
        ones = [part for number, single in singles for part in (number, single, single)]
        self._delete(transaction, changed, ones, quarantined=1)
        self._counters.save(transaction, changed.values())

    @staticmethod
    def _delete(
        transaction: Transaction, changed: Mapping[int, Counters], ranges: Sequence[int], *, quarantined: int
    ) -> None:
        """Delete what lies in these (device number, first, last sequence), none of which overlap, and deduct it.

        Quarantined envelopes only where it is 1. (Summed up before: RETURNING makes a row of each envelope, which costs more.)
        """

        def deduct(rows: list[Row]) -> None:
            for number, envelopes, size in rows:
                changed[number].envelopes -= envelopes
                changed[number].bytes -= size

        for count, parameters in multi_row.chunks(ranges, 3):
            within = f"""{multi_row.values(count, 3)} AS range
                CROSS JOIN envelopes AS e INDEXED BY envelopes_by_mailbox
                    ON e.device_number = range.column1 AND e.sequence BETWEEN range.column2 AND range.column3
                    AND e.quarantined <= {quarantined}"""
            transaction.later(
                f"SELECT e.device_number, count(*), sum(e.bytes) FROM {within} GROUP BY e.device_number",  # noqa: S608
                parameters,
                deduct,
            )
            transaction.later(
                f"DELETE FROM envelopes WHERE envelope_number IN (SELECT e.envelope_number FROM {within})",  # noqa: S608
                parameters,
            )

    async def _count(self, transaction: Transaction, attempt: Attempt, changed: dict[int, Counters]) -> None:
        counters = self._counters.known.get(attempt.device_id)
        if counters is None:
            attempt.error = NotFound("there is no such device")
            return
        ((lowest,),) = await transaction.rows(
            "SELECT min(sequence) FROM envelopes WHERE device_number = ? AND quarantined = 0",
            (counters.number,),
        )
        if lowest != attempt.sequence:
            return
        if counters.attempt_sequence != attempt.sequence:
            counters.attempt_sequence, counters.attempts = attempt.sequence, 0
        counters.attempts += 1
        changed[counters.number] = counters
        if counters.attempts > limits.MAX_DELIVERY_ATTEMPTS:
            await transaction.rows(
                "UPDATE envelopes SET quarantined = 1 WHERE device_number = ? AND sequence = ?",
                (counters.number, attempt.sequence),
            )
            attempt.result = True
