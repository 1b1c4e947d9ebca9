"""The audit log in memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from relay.ports.audit import AuditEntry
from relay.wire.audit_rows import AuditRow, Details, KeptParty, PartyKind, Tip, day_of

from .image import Gate, Image


class MemoryAudit:
    """AuditStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def tip(self) -> Tip:
        """Where the log stands."""
        self._gate.check()
        return self._image.audit_tip

    async def append(self, entry: AuditEntry) -> None:
        """A row in a commit of its own."""
        await self._gate.commit(lambda: append_entry(self._image, entry))

    async def rows(self, first: int, limit: int) -> tuple[AuditRow, ...]:
        """Rows from this one on."""
        self._gate.check()
        start = max(first, 0)
        return tuple(self._image.audit_rows[start : start + limit])

    async def newest(self, *, since_ms: int, before: int | None, limit: int) -> tuple[AuditRow, ...]:
        """Rows with details, newest first."""
        self._gate.check()
        end = len(self._image.audit_rows) if before is None else before
        listed = [
            row
            for row in self._image.audit_rows[:end]
            if row.details is not None and (row.at_ms >= since_ms or row.at_ms == day_of(since_ms))
        ]
        return tuple(listed[::-1][:limit])

    async def erase(self, account_id: bytes, entry: AuditEntry, *, limit: int) -> int:
        """Erase an account's id."""

        def change() -> int:
            count = 0
            for party in _PARTIES:
                for index, row in enumerate(self._image.audit_rows):
                    if count < limit and row.details is not None and _is(party(row.details), account_id):
                        self._image.audit_rows[index] = replace(row, details=_without(row.details, party))
                        count += 1
            if count:
                append_entry(self._image, entry.telling(count))
            return count

        return await self._gate.commit(change)

    async def drop_details(self, *, before_ms: int, entry: AuditEntry, limit: int) -> int:
        """Drop the details of old rows."""

        def change() -> int:
            rows = self._image.audit_rows
            start = next((index for index, row in enumerate(rows) if row.details is not None), len(rows))
            first = start
            while first < min(start + limit, len(rows)) and rows[first].at_ms < before_ms:
                first += 1
            if first == start:
                return 0
            for index in range(start, first):
                rows[index] = replace(rows[index], details=None)
            for index in range(max(start - 1, 0), first - 1):
                rows[index] = replace(rows[index], at_ms=0, signature=None)
            append_entry(self._image, entry.telling(first))
            return first - start

        return await self._gate.commit(change)


def _actor(details: Details) -> KeptParty:
    return details.actor


def _subject(details: Details) -> KeptParty:
    return details.subject


_PARTIES: Final = (_actor, _subject)


def _is(party: KeptParty, account_id: bytes) -> bool:
    return (party.kind, party.id) == (PartyKind.ACCOUNT, account_id)


def _without(details: Details, party: Callable[[Details], KeptParty]) -> Details:
    erased = party(details).erase()
    return replace(details, actor=erased) if party is _actor else replace(details, subject=erased)


def append_entry(image: Image, entry: AuditEntry | None) -> None:
    """Append a row; None: nothing is recorded."""
    if entry is not None:
        row, image.audit_tip = entry.append(image.audit_tip)
        image.audit_rows.append(row)
