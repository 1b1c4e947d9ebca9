"""Reading mailboxes: pages of what waits, in order, with missed ranges between; damaged rows are never given out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from relay.adapters.missed_ranges import page_of
from relay.ports.mailboxes import MailboxState, MissedRange, Page, QuarantinedEnvelope, StoredEnvelope
from relay.wire import limits
from relay.wire.errors import NotFound
from relay.wire.frames import MissedReason

from .database import Database, Row, hot
from .page_reads import PageReads

_MISSED: Final = hot(
    "device_id",
    """SELECT from_sequence, to_sequence, reason FROM missed
       WHERE device_id = $1 AND to_sequence > $2 ORDER BY from_sequence LIMIT $3""",
)
_STATE: Final = hot(
    "device_id",
    """SELECT m.given_up_to + 1, m.envelopes, m.bytes,
              (SELECT min(sequence) FROM envelopes WHERE device_id = $1 AND NOT quarantined) AS lowest,
              (SELECT min(from_sequence) FROM missed WHERE device_id = $1) AS lowest_missed,
              (SELECT count(*) FROM envelopes WHERE device_id = $1 AND quarantined) AS quarantined
       FROM mailboxes AS m WHERE m.device_id = $1""",
)
_IS_THERE: Final = "SELECT 1 FROM mailboxes WHERE device_id = $1"
_NEWEST: Final = hot(
    "device_id", "SELECT device_id, given_up_to FROM mailboxes WHERE device_id = ANY($1::bytea[])"
)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A page cannot be given before these are replaced by missed ranges."""

    expired: bool
    damaged: tuple[int, ...]


def _is_whole(ciphertext: bytes | None, digest: bytes) -> bool:
    return ciphertext is not None and sha256(ciphertext).digest()[: limits.DIGEST_BYTES] == digest


class MailboxPages:
    """The read side of the mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads = PageReads(database)

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page | Unfit:
        """The page, or what stands in its way."""
        found = await self._reads.rows(device_id, after, max_envelopes, max_bytes)
        envelopes: list[StoredEnvelope] = []
        expired, damaged, vanished = False, [], False
        for row in found.rows:
            sequence, envelope_id, received_at_ms, expires_at_ms, digest, shared_id, own, *_ = row
            ciphertext = own if shared_id is None else found.copies.get(shared_id)
            if expires_at_ms <= now_ms:
                expired = True
            elif ciphertext is None and shared_id is not None:
                vanished = True
            elif ciphertext is None or not _is_whole(ciphertext, digest):
                damaged.append(sequence)
            else:
                envelopes.append(StoredEnvelope(sequence, envelope_id, received_at_ms, ciphertext))
        if vanished:
            damaged += await self._without_copy(device_id, found.rows)
            if not damaged and not expired:  # acknowledged between the two statements: look again
                return await self.read(
                    device_id, after=after, max_envelopes=max_envelopes, max_bytes=max_bytes, now_ms=now_ms
                )
        if expired or damaged:
            return Unfit(expired, tuple(damaged))
        missed = await self._missed(device_id, after, max_envelopes + 1) if found.has_missed else []
        return page_of(envelopes, missed, more=found.more, max_items=max_envelopes)

    async def _without_copy(self, device_id: bytes, rows: Sequence[Row]) -> list[int]:
        """Those of these envelopes that wait for a shared copy that is not there, both seen at one moment."""
        async with self._database.snapshot() as snapshot:
            found = await snapshot.rows(
                """SELECT e.sequence FROM envelopes AS e
                   WHERE e.device_id = $1 AND e.sequence = ANY($2::bigint[]) AND e.shared_id IS NOT NULL
                       AND NOT EXISTS (SELECT 1 FROM shared_ciphertexts AS s WHERE s.shared_id = e.shared_id)""",
                device_id,
                [row["sequence"] for row in rows],
            )
        return [row[0] for row in found]

    async def _missed(self, device_id: bytes, after: int, limit: int) -> list[MissedRange]:
        rows = await self._database.rows(_MISSED, device_id, after, limit)
        return [
            MissedRange(max(first, after + 1), last, MissedReason(reason)) for first, last, reason in rows
        ]

    async def state(self, device_id: bytes) -> MailboxState:
        """Where the mailbox stands, as one snapshot."""
        found = await self._database.one(_STATE, device_id)
        if found is None:
            raise NotFound("there is no such device")
        next_sequence, envelopes, size, lowest, lowest_missed, quarantined = found
        unsettled = [each for each in (lowest, lowest_missed) if each is not None]
        return MailboxState(
            next_sequence, min(unsettled, default=next_sequence), envelopes, size, quarantined
        )

    async def newest(self, device_ids: Collection[bytes]) -> Mapping[bytes, int]:
        """What each has given."""
        rows = await self._database.rows(_NEWEST, list(device_ids))
        return {row[0]: row[1] for row in rows}

    async def quarantined(self, device_id: bytes) -> tuple[QuarantinedEnvelope, ...]:
        """All quarantined ones, ascending."""
        if await self._database.one(_IS_THERE, device_id) is None:
            raise NotFound("there is no such device")
        rows = await self._database.rows(
            """SELECT sequence, envelope_id, received_at_ms, bytes FROM envelopes
               WHERE device_id = $1 AND quarantined ORDER BY sequence""",
            device_id,
        )
        return tuple(QuarantinedEnvelope(*row) for row in rows)

    async def fetch_quarantined(self, device_id: bytes, sequence: int) -> StoredEnvelope:
        """One of them; raises NotFound, for a damaged one too."""
        row = await self._database.one(
            """SELECT envelope_id, received_at_ms, digest, shared_id, ciphertext FROM envelopes
               WHERE device_id = $1 AND sequence = $2 AND quarantined""",
            device_id,
            sequence,
        )
        if row is None:
            raise NotFound("there is no such device, or no such quarantined envelope")
        envelope_id, received_at_ms, digest, shared_id, own = row
        ciphertext = own if shared_id is None else (await self._reads.copies([row])).get(shared_id)
        if ciphertext is None or not _is_whole(ciphertext, digest):
            raise NotFound
        return StoredEnvelope(sequence, envelope_id, received_at_ms, ciphertext)
