"""A content that was opened, on its way to who handles its type; and what a handler is."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .account import Account
from .contents import Content
from .mailbox_batch import Batch
from .store.database import Transaction


@dataclass(frozen=True, slots=True)
class Incoming:
    """One content of another device, in the transaction that keeps it.

    A sender may encrypt the same content again, and a store may be asked twice: a handler does the same thing twice
    without harm. It raises InvalidEncoding for a body that is none of its type: nothing of the content stays then.
    """

    tx: Transaction
    batch: Batch
    account_id: bytes
    """32 B: the author, proved by the session or chain. The own account's other devices write too."""
    device_id: bytes
    content: Content
    encoded: bytes = field(repr=False)
    """The content as it was encrypted."""
    received_at_ms: int
    was_absent: bool
    """It was jumped over, and waited for: it stands before what its device sent after it."""

    @property
    def account(self) -> Account:
        """The own account."""
        return self.batch.account

    @property
    def is_own(self) -> bool:
        """Whether another device of the own account wrote it."""
        return self.account_id == self.account.account_id

    @property
    def body(self) -> bytes:
        """The encoded body."""
        return bytes(self.content.body)


Handler = Callable[[Incoming], None]
