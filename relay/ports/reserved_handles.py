"""Handles that operators keep back: nobody gets them, or one account alone."""

from dataclasses import dataclass
from typing import Protocol

from .audit import AuditEntry


@dataclass(frozen=True, slots=True)
class ReservedHandle:
    """A handle, and the 32 B id of the account that may take it; None: nobody."""

    handle: str
    account_id: bytes | None


class ReservedHandleStore(Protocol):
    """Every method is durable when it returns. Who takes a handle is asked by `AccountStore`, in its transaction.

    `audited` is appended to the audit log in the commit of the change.
    """

    async def reserve(self, reserved: ReservedHandle, *, audited: AuditEntry | None = None) -> None:
        """In the place of an earlier word about this handle; whoever has it already keeps it."""

    async def release(self, handle: str, *, audited: AuditEntry | None = None) -> None:
        """It is like every other again; raises NotFound for one that is not reserved."""

    async def list(self, *, after: str, limit: int) -> tuple[ReservedHandle, ...]:
        """Those above `after`, in their order."""
