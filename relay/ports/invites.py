"""Invites: who may make an account here. Only the SHA-256 of a secret is kept, so a stolen database invites nobody."""

from dataclasses import dataclass
from typing import Protocol

from .audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Invite:
    """One invite: 32 B SHA-256 of its secret, the role it gives, how often it still does, until when (None: no end)."""

    secret_hash: bytes
    role: str
    uses_left: int
    expires_at_ms: int | None
    created_at_ms: int


class InviteStore(Protocol):
    """Every method is durable when it returns. Spending happens in `AccountStore.register`, in its transaction.

    `audited` is appended to the audit log in the commit of the change.
    """

    async def create(self, invite: Invite, *, audited: AuditEntry | None = None) -> None:
        """Keep it; raises Conflict if another one has this hash."""

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent; raises InviteInvalid for an unknown, expired, revoked or used up one."""

    async def list(self) -> tuple[Invite, ...]:
        """All that are kept, oldest first, those that expired too."""

    async def revoke(self, secret_hash: bytes, *, audited: AuditEntry | None = None) -> None:
        """It can no longer be spent; raises NotFound for an unknown one."""

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget at most `limit` expired or used up ones; how many it were."""
