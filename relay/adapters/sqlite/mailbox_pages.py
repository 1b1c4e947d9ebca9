"""Reading mailboxes: pages of what waits, in order, with missed ranges between; damaged rows are never given out."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from relay.adapters.missed_ranges import page_of
from relay.ports.mailboxes import (
    MailboxState,
    MissedRange,
    Page,
    QuarantinedEnvelope,
    StoredEnvelope,
)
from relay.wire import limits
from relay.wire.errors import NotFound
from relay.wire.frames import MissedReason

from .reader import Reader

_CIPHERTEXT = """coalesce(e.ciphertext,
    (SELECT s.ciphertext FROM shared_ciphertexts AS s WHERE s.shared_number = e.shared_number))"""

# The running sum comes from the index alone; a ciphertext that does not fit is not fetched.
_PAGE = f"""
    WITH next AS (
        SELECT envelope_number, sequence, sum(bytes) OVER (ORDER BY sequence) AS filled, bytes
        FROM (SELECT envelope_number, sequence, bytes FROM envelopes INDEXED BY envelopes_by_mailbox
              WHERE device_number = ?1 AND sequence > ?2 AND quarantined = 0 ORDER BY sequence LIMIT ?3 + 1))
    SELECT next.sequence, e.envelope_id, e.received_at_ms, e.expires_at_ms, e.digest,
           next.filled <= ?4 OR next.filled = next.bytes,
           CASE WHEN next.filled <= ?4 OR next.filled = next.bytes THEN {_CIPHERTEXT} END,
           EXISTS (SELECT 1 FROM missed WHERE device_number = ?1)
    FROM next CROSS JOIN envelopes AS e ON e.envelope_number = next.envelope_number
    ORDER BY next.sequence"""  # noqa: S608  # a constant


@dataclass(frozen=True, slots=True)
class Unfit:
    """A page cannot be given before the writer has replaced these by missed ranges."""

    expired: bool
    damaged: tuple[int, ...]


def _is_whole(ciphertext: bytes | None, digest: bytes) -> bool:
    return ciphertext is not None and sha256(ciphertext).digest()[: limits.DIGEST_BYTES] == digest


class MailboxPages:
    """The read side of the mailboxes."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._numbers: dict[bytes, int] = {}

    def forget(self, device_ids: Iterable[bytes]) -> None:
        """These devices are removed."""
        for device_id in device_ids:
            self._numbers.pop(device_id, None)

    async def _number(self, device_id: bytes) -> int:
        number = self._numbers.get(device_id)
        if number is None:
            found = await self._reader.one(
                "SELECT device_number FROM devices WHERE device_id = ?", (device_id,)
            )
            if found is None:
                raise NotFound("there is no such device")
            if len(self._numbers) >= 65_536:
                self._numbers.clear()
            self._numbers[device_id] = number = int(found[0])
        return number

    async def read(
        self, device_id: bytes, *, after: int, max_envelopes: int, max_bytes: int, now_ms: int
    ) -> Page | Unfit:
        """The page, or what stands in its way."""
        number = await self._number(device_id)
        rows = await self._reader.rows(_PAGE, (number, after, max_envelopes, max_bytes))
        missed: list[MissedRange] = []
        if not rows or rows[0][-1]:
            missed = await self._missed(number, after, max_envelopes + 1)
        more = len(rows) > max_envelopes
        envelopes: list[StoredEnvelope] = []
        expired, damaged = False, []
        for sequence, envelope_id, received_at_ms, expires_at_ms, digest, fits, ciphertext, _ in rows[
            :max_envelopes
        ]:
            if not fits:
                more = True
                break
            if expires_at_ms <= now_ms:
                expired = True
            elif not _is_whole(ciphertext, digest):
                damaged.append(sequence)
            else:
                envelopes.append(StoredEnvelope(sequence, envelope_id, received_at_ms, ciphertext))
        if expired or damaged:
            return Unfit(expired, tuple(damaged))
        if not missed:
            return Page(tuple(envelopes), more)
        return page_of(envelopes, missed, more=more, max_items=max_envelopes)

    async def _missed(self, number: int, after: int, limit: int) -> list[MissedRange]:
        rows = await self._reader.rows(
            """SELECT from_sequence, to_sequence, reason FROM missed
               WHERE device_number = ? AND to_sequence > ? ORDER BY from_sequence LIMIT ?""",
            (number, after, limit),
        )
        return [
            MissedRange(max(first, after + 1), last, MissedReason(reason)) for first, last, reason in rows
        ]

    async def state(self, device_id: bytes) -> MailboxState:
        """Where the mailbox stands, as one snapshot."""
        number = await self._number(device_id)
        found = await self._reader.one(
            """SELECT max(m.given_up_to, coalesce(e.highest, 0), coalesce(g.highest, 0)) + 1,
                      e.lowest, g.lowest, e.envelopes, e.bytes, e.quarantined
               FROM mailboxes AS m,
                    (SELECT count(*) AS envelopes, coalesce(sum(bytes), 0) AS bytes, max(sequence) AS highest,
                            coalesce(sum(quarantined), 0) AS quarantined,
                            min(CASE quarantined WHEN 0 THEN sequence END) AS lowest
                     FROM envelopes INDEXED BY envelopes_by_mailbox WHERE device_number = ?1) AS e,
                    (SELECT min(from_sequence) AS lowest, max(to_sequence) AS highest
                     FROM missed WHERE device_number = ?1) AS g
               WHERE m.device_number = ?1""",
            (number,),
        )
        if found is None:
            raise NotFound("there is no such device")
        next_sequence, lowest, lowest_missed, envelopes, size, quarantined = found
        unsettled = [each for each in (lowest, lowest_missed) if each is not None]
        return MailboxState(
            next_sequence, min(unsettled, default=next_sequence), envelopes, size, quarantined
        )

    async def newest(self, device_ids: Collection[bytes]) -> Mapping[bytes, int]:
        """What each has given; a single process hears of all that comes, and asks for few."""
        found = {}
        for device_id in device_ids:
            with suppress(NotFound):
                found[device_id] = (await self.state(device_id)).next_sequence - 1
        return found

    async def quarantined(self, device_id: bytes) -> tuple[QuarantinedEnvelope, ...]:
        """All quarantined ones, ascending."""
        rows = await self._reader.rows(
            """SELECT sequence, envelope_id, received_at_ms, bytes FROM envelopes
               WHERE device_number = ? AND quarantined = 1 ORDER BY sequence""",
            (await self._number(device_id),),
        )
        return tuple(QuarantinedEnvelope(*row) for row in rows)

    async def fetch_quarantined(self, device_id: bytes, sequence: int) -> StoredEnvelope:
        """One of them; raises NotFound, for a damaged one too."""
        found: tuple[Any, ...] | None = await self._reader.one(
            f"""SELECT e.sequence, e.envelope_id, e.received_at_ms, e.digest, {_CIPHERTEXT} FROM envelopes AS e
                WHERE e.device_number = ? AND e.sequence = ? AND e.quarantined = 1""",  # noqa: S608
            (await self._number(device_id), sequence),
        )
        if found is None or not _is_whole(found[4], found[3]):
            raise NotFound
        return StoredEnvelope(found[0], found[1], found[2], found[4])
