"""Invites: who may make an account here. Only the SHA-256 of a secret is kept, so a stolen database invites nobody."""

from dataclasses import dataclass
from typing import Protocol

from .audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Invite:
    """One invite: 32 B SHA-256 of its secret, the role it gives, how often it still does, until when (None: no end).

    `made_by` is the 32 B id of the account that made it, None for an operator's. One for guests says how long their accounts
    live, and the 32 B ids of those that they may write to.
    """

    secret_hash: bytes
    role: str
    uses_left: int
    expires_at_ms: int | None
    created_at_ms: int
    made_by: bytes | None = None
    stay_seconds: int | None = None
    hosts: tuple[bytes, ...] = ()


class InviteStore(Protocol):
    """Every method is durable when it returns. Spending happens in `AccountStore.register`, in its transaction;
    one of an account that is suspended cannot be spent, and goes with its account.

    `audited` is appended to the audit log in the commit of the change.
    """

    async def create(
        self, invite: Invite, *, audited: AuditEntry | None = None, most: int | None = None
    ) -> None:
        """Keep it; raises Conflict if another one has this hash, NotFound for a host that there is not.

        `most`: QuotaExceeded if its maker has so many that can be spent; what expired meanwhile does not count.
        """

    async def get(self, secret_hash: bytes, *, now_ms: int) -> Invite:
        """The invite as long as it can be spent; raises InviteInvalid for an unknown, expired, revoked or used up one."""

    async def list(self, made_by: bytes | None = None) -> tuple[Invite, ...]:
        """All that are kept, or those of this account; oldest first, those that expired too."""

    async def revoke(self, secret_hash: bytes, *, audited: AuditEntry | None = None) -> None:
        """It can no longer be spent; raises NotFound for an unknown one."""

    async def remove_expired(self, *, now_ms: int, limit: int) -> int:
        """Forget at most `limit` expired or used up ones; how many it were."""
