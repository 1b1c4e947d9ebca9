"""What a group changes in mailboxes, gathered in columns and written by one statement at its end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .database import Transaction, hot
from .mailbox_counters import Counters

_WRITE: Final = hot(
    "device_id",
    """WITH new AS MATERIALIZED (
           SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bytea[],
                                $7::bytea[], $8::bytea[], $9::bytea[])
               AS new(device_id, sequence, expires_at_ms, received_at_ms, bytes, envelope_id, digest, shared_id, ciphertext)),
       stored AS (
           INSERT INTO envelopes (device_id, sequence, expires_at_ms, received_at_ms, bytes, envelope_id, digest,
                                  shared_id, ciphertext)
           SELECT * FROM new),
       noted AS (
           INSERT INTO records (device_id, envelope_id, digest, sequence)
           SELECT device_id, envelope_id, digest, sequence FROM new),
       gone AS (
           DELETE FROM envelopes AS e USING unnest($10::bytea[], $11::bigint[]) AS done(device_id, up_to)
           WHERE e.device_id = done.device_id AND e.sequence <= done.up_to
               AND NOT e.quarantined
           RETURNING e.device_id, e.bytes, e.shared_id),
       fewer AS (
           SELECT device_id, count(*) AS envelopes, sum(bytes) AS bytes,
                  array_agg(shared_id) FILTER (WHERE shared_id IS NOT NULL) AS shared_ids
           FROM gone GROUP BY device_id)
       UPDATE mailboxes AS m
       SET given_up_to = n.given_up_to, envelopes = n.envelopes - coalesce(fewer.envelopes, 0),
           bytes = n.bytes - coalesce(fewer.bytes, 0), has_missed = n.has_missed,
           attempt_sequence = n.attempt_sequence, attempts = n.attempts
       FROM unnest($12::bytea[], $13::bigint[], $14::integer[], $15::bigint[], $16::boolean[], $17::bigint[], $18::integer[])
               AS n(device_id, given_up_to, envelopes, bytes, has_missed, attempt_sequence, attempts)
           LEFT JOIN fewer ON fewer.device_id = n.device_id
       WHERE m.device_id = n.device_id AND m.device_id = ANY($12::bytea[])
       RETURNING fewer.shared_ids""",
)
"""All of it, as each statement is a way to the server and back. Its parts see what was there before: no new row is deleted."""
_INSERT_SHARED: Final = hot(
    "shared_id",
    "INSERT INTO shared_ciphertexts (shared_id, ciphertext) SELECT * FROM unnest($1::bytea[], $2::bytea[])",
)
_INSERT_WAITING: Final = hot(
    "shared_id",
    "INSERT INTO shared_waiting (shared_id, waiting) SELECT * FROM unnest($1::bytea[], $2::integer[])",
)


@dataclass(slots=True, eq=False)
class MailboxWrites:
    """Columns of envelopes on their way to the database, and what is known of the idempotency records."""

    records: dict[tuple[bytes, bytes], bytes]
    device_ids: list[bytes] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    expiries: list[int] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    envelope_ids: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    shared_ids: list[bytes | None] = field(default_factory=list)
    ciphertexts: list[bytes | None] = field(default_factory=list)
    shared: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)

    def holds_up_to(self, up_to: Mapping[bytes, int]) -> bool:
        """Whether an envelope that is not written yet lies in one of these ranges."""
        return any(
            sequence <= up_to.get(device_id, 0)
            for device_id, sequence in zip(self.device_ids, self.sequences, strict=True)
        )

    async def flush(self, transaction: Transaction) -> None:
        """Write the envelopes alone, for what has to see them."""
        if self.device_ids:
            await self.write(transaction, (), {})

    async def write(
        self, transaction: Transaction, changed: Iterable[Counters], up_to: Mapping[bytes, int]
    ) -> dict[bytes, int]:
        """Write the envelopes, delete what lies in these ranges and is not quarantined, and write where these mailboxes stand.

        What is deleted is deducted there; all of its mailboxes are among `changed`. How many pointed at each shared copy.
        """
        if self.shared:
            shared_ids = list(self.shared)
            copies = [self.shared[shared_id] for shared_id in shared_ids]
            await transaction.execute(_INSERT_SHARED, shared_ids, [copy for copy, _ in copies])
            await transaction.execute(_INSERT_WAITING, shared_ids, [count for _, count in copies])
        columns = (
            self.device_ids,
            self.sequences,
            self.expiries,
            self.arrivals,
            self.sizes,
            self.envelope_ids,
            self.digests,
            self.shared_ids,
            self.ciphertexts,
        )
        counters = list(changed)
        rows = await transaction.rows(
            _WRITE,
            *columns,
            list(up_to),
            list(up_to.values()),
            [each.device_id for each in counters],
            [each.given_up_to for each in counters],
            [each.envelopes for each in counters],
            [each.bytes for each in counters],
            [each.has_missed for each in counters],
            [each.attempt_sequence for each in counters],
            [each.attempts for each in counters],
        )
        for column in columns:
            column.clear()
        self.shared = {}
        gone: dict[bytes, int] = {}
        for (shared_ids_of_one,) in rows:
            for shared_id in shared_ids_of_one or ():
                gone[shared_id] = gone.get(shared_id, 0) + 1
        return gone
