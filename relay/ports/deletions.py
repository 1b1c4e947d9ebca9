"""Accounts that go for ever. Two commits with work between them: after a kill at any step the rest can be done again."""

from typing import Protocol

from .accounts import Account
from .audit import AuditEntry


class DeletionStore(Protocol):
    """Each change is one transaction and durable when the method returns."""

    async def begin(self, account_id: bytes, *, owner: str, audited: AuditEntry | None = None) -> Account:
        """Mark the account: it is suspended, and `begun` tells it until `finish`. Once more: nothing new happens.

        `audited` is appended in that transaction. Raises NotFound, LastOwner (of those with role `owner` that are not
        suspended one stays).
        """

    async def begun(self, *, limit: int) -> tuple[bytes, ...]:
        """At most `limit` 32 B ids of accounts whose deletion has begun and is not finished, nor held up by a hold."""

    async def finish(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """Forget a marked account and all that hangs on it; a last leaf of the transparency log says that it is gone.

        Its handle is kept from everybody until then.

        Its blobs are the caller's to remove before. Without effect on an account that is not marked, and on one that is held.
        """

    async def erase_traces(self) -> bool:
        """Take what `finish` deleted out of free pages and the write-ahead log; True if there may be some left.

        False: it is done, or there was nothing to do. Another call goes on.
        """
