"""Accounts of which nothing is deleted by its age, nor with the account, until somebody says otherwise.

While there is a hold: an envelope that expires leaves its mailbox as always, and a copy stays; expired blobs stay, unreadable
and on nobody's quota; a deletion that has begun is not finished. What the account's own devices remove is gone.
"""

from dataclasses import dataclass
from typing import Protocol

from .audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Hold:
    """On one account (32 B id): a word that says why, when it was made, when it ends, and what is kept because of it."""

    account_id: bytes
    reason: str
    made_at_ms: int
    until_ms: int
    envelopes: int = 0
    """That have expired since."""
    envelope_bytes: int = 0
    is_deleted: bool = False
    """Whether the account goes once the hold ends."""


class HoldStore(Protocol):
    """Each change is one transaction and durable when the method returns. `audited` is appended in that transaction."""

    async def put(self, hold: Hold, *, audited: AuditEntry | None = None) -> None:
        """Hold the account, in the place of an earlier hold. Raises NotFound, Conflict if it is being deleted just now."""

    async def release(self, account_id: bytes, *, audited: AuditEntry | None = None) -> None:
        """The hold is over; what it kept goes by `remove_released`, blobs as they expire. Raises NotFound if there is none."""

    async def find(self, account_id: bytes) -> Hold | None:
        """The account's, or None."""

    async def list(self) -> tuple[Hold, ...]:
        """All, in ascending order of the account ids."""

    async def remove_released(self, *, limit: int) -> int:
        """Forget at most `limit` envelopes that no hold keeps any more; how many it were."""

    async def audited_from_ms(self) -> int | None:
        """The time of the oldest row of the audit log that names a held account; None: there is none."""
