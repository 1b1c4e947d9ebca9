"""The whole state of a relay behind one door: what app.py opens and hands to the services."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from .accounts import AccountStore
from .audit import AuditEntry, AuditStore
from .blobs import BlobStore
from .deletions import DeletionStore
from .delivery_tokens import DeliveryTokenStore
from .directory import AccountDirectory
from .exports import ExportStore
from .guests import GuestStore
from .holds import HoldStore
from .invites import InviteStore
from .mailboxes import MailboxStore
from .prekeys import PrekeyStore
from .profiles import ProfileStore
from .pushes import PushStore
from .reserved_handles import ReservedHandleStore
from .sealed_logs import AccountLogStore, GroupLogStore
from .sealing import Sealing
from .transparency import LogStore
from .usage import UsageStore


@dataclass(frozen=True, slots=True)
class Levels:
    """How full a store is. Sizes in bytes; 0 where there is no file."""

    accounts: int
    waiting: int
    """Envelopes in all mailboxes."""
    oldest_received_at_ms: int | None
    """Of the envelope that waits longest; None: none waits."""
    file_bytes: int
    log_bytes: int
    """Of the write-ahead log."""
    disk_bytes: int
    disk_free_bytes: int
    full: bool
    """Envelopes are refused, because the disk was full at the last try."""
    unreplicated: int = 0
    """Commits since the start that a failover may take back, as they were not waited for; who asked was told `unavailable`."""
    clock_ahead_seconds: float | None = None
    """Of this process before that of the database; None: they have one clock."""


class Store(Protocol):
    """The stores of one relay. They commit in one order; a change is seen by each read that begins after it returned."""

    @property
    def accounts(self) -> AccountStore:
        """Accounts, devices, manifests, handles, nonces."""

    @property
    def deletions(self) -> DeletionStore:
        """Accounts that go for ever."""

    @property
    def directory(self) -> AccountDirectory:
        """Accounts as their operator sees them."""

    @property
    def exports(self) -> ExportStore:
        """All that is kept about one account."""

    @property
    def holds(self) -> HoldStore:
        """Accounts of which nothing is deleted for a while."""

    @property
    def profiles(self) -> ProfileStore:
        """What accounts say of themselves, sealed."""

    @property
    def pushes(self) -> PushStore:
        """Where devices are woken, and the wakeups under way."""

    @property
    def invites(self) -> InviteStore:
        """Invites."""

    @property
    def guests(self) -> GuestStore:
        """Accounts that came by a link to somebody, and go after a while."""

    @property
    def reserved_handles(self) -> ReservedHandleStore:
        """Handles that operators keep back."""

    @property
    def delivery_tokens(self) -> DeliveryTokenStore:
        """Delivery tokens."""

    @property
    def prekeys(self) -> PrekeyStore:
        """Prekeys."""

    @property
    def mailboxes(self) -> MailboxStore:
        """Mailboxes."""

    @property
    def blobs(self) -> BlobStore:
        """What is known of blobs."""

    @property
    def account_logs(self) -> AccountLogStore:
        """The sealed logs of accounts."""

    @property
    def group_logs(self) -> GroupLogStore:
        """The sealed logs of groups, which are nobody's."""

    @property
    def transparency(self) -> LogStore:
        """The transparency log."""

    @property
    def audit(self) -> AuditStore:
        """The audit log."""

    @property
    def usage(self) -> UsageStore:
        """How much the relay was used, by day."""

    @property
    def sealing(self) -> Sealing:
        """What is sealed under keys of a file of their own."""

    @property
    def failed(self) -> asyncio.Event:
        """Set once a commit has failed: nothing is accepted from then on; readiness says no, and the process should end."""

    async def levels(self) -> Levels:
        """How full it is; counting takes a while in a store of millions, and holds up nobody who writes."""

    async def check(self) -> None:
        """Raise Unavailable unless the store can read and has not failed (readiness)."""

    async def reclaim(self) -> None:
        """Give a bounded piece of freed room back to the file system (housekeeping calls it again and again)."""

    async def mark_restored(self, *, audited: AuditEntry | None = None) -> None:
        """After a restore from a backup, in one transaction: a new epoch in every mailbox, unused one-time keys dropped,
        a new id for the transparency log, a row of the audit log.
        """
