"""Holds in memory."""

from dataclasses import replace

from relay.ports.audit import AuditEntry
from relay.ports.holds import Hold
from relay.wire.audit_rows import PartyKind
from relay.wire.errors import Conflict, NotFound

from .audit import append_entry
from .image import Gate


class MemoryHolds:
    """HoldStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def put(self, hold: Hold, *, audited: AuditEntry | None = None) -> None:
        """Hold the account."""
        image = self._image

        def change() -> None:
            if hold.account_id not in image.accounts:
                raise NotFound("there is no such account")
            if hold.account_id in image.deletions and hold.account_id not in image.holds:
                raise Conflict("this account is being deleted: it is too late for a hold")
            image.holds[hold.account_id] = hold
            append_entry(image, audited)

        await self._gate.commit(change)

    async def release(self, account_id: bytes, *, audited: AuditEntry | None = None) -> None:
        """The hold is over."""

        def change() -> None:
            if account_id not in self._image.holds:
                raise NotFound("there is no hold on this account")
            del self._image.holds[account_id]
            append_entry(self._image, audited)

        await self._gate.commit(change)

    async def find(self, account_id: bytes) -> Hold | None:
        """The account's."""
        self._gate.check()
        hold = self._image.holds.get(account_id)
        return None if hold is None else self._counted(hold)

    async def list(self) -> tuple[Hold, ...]:
        """All."""
        self._gate.check()
        return tuple(self._counted(hold) for _, hold in sorted(self._image.holds.items()))

    def _counted(self, hold: Hold) -> Hold:
        kept = [one for one in self._image.held_envelopes if one.account_id == hold.account_id]
        return replace(
            hold,
            envelopes=len(kept),
            envelope_bytes=sum(len(one.ciphertext) for one in kept),
            is_deleted=hold.account_id in self._image.deletions,
        )

    async def remove_released(self, *, limit: int) -> int:
        """Forget what no hold keeps."""

        def change() -> int:
            image = self._image
            gone = [one for one in image.held_envelopes if one.account_id not in image.holds][:limit]
            for one in gone:
                image.held_envelopes.remove(one)
            return len(gone)

        return await self._gate.commit(change)

    async def audited_from_ms(self) -> int | None:
        """Of the oldest row that names one."""
        self._gate.check()
        times = [
            row.at_ms
            for row in self._image.audit_rows
            if row.details is not None
            and any(
                party.kind == PartyKind.ACCOUNT and party.id in self._image.holds
                for party in (row.details.actor, row.details.subject)
            )
        ]
        return min(times, default=None)
