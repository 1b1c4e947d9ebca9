"""The whole store in memory. `crash` gives what was committed; opening that image again is a restart."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from relay.adapters.system_clock import system_randomness
from relay.ports.audit import AuditEntry
from relay.ports.clock import Randomness
from relay.ports.mailboxes import Quotas
from relay.ports.store import Levels
from relay.wire import limits

from .account_logs import MemoryAccountLogs
from .accounts import MemoryAccounts
from .audit import MemoryAudit, append_entry
from .blobs import MemoryBlobs
from .deletions import MemoryDeletions
from .delivery_tokens import MemoryDeliveryTokens
from .directory import MemoryDirectory
from .exports import MemoryExports
from .group_logs import MemoryGroupLogs
from .guests import MemoryGuests
from .holds import MemoryHolds
from .image import Gate, Image
from .invites import MemoryInvites
from .mailboxes import MemoryMailboxes, jump
from .prekeys import MemoryPrekeys, drop_one_time_keys
from .profiles import MemoryProfiles
from .pushes import MemoryPushes
from .reserved_handles import MemoryReservedHandles
from .sealing import MemorySealing
from .transparency import MemoryLog
from .usage import MemoryUsage


async def _at_once() -> None:
    """No delay."""


class MemoryStore:
    """Store in memory. Open it by `open_memory_store`."""

    def __init__(self, gate: Gate, quotas: Quotas, randomness: Randomness) -> None:
        self._gate = gate
        self._randomness = randomness
        self.failed = asyncio.Event()
        self.accounts = MemoryAccounts(gate)
        self.deletions = MemoryDeletions(gate)
        self.directory = MemoryDirectory(gate)
        self.exports = MemoryExports(gate)
        self.holds = MemoryHolds(gate)
        self.profiles = MemoryProfiles(gate)
        self.pushes = MemoryPushes(gate)
        self.invites = MemoryInvites(gate)
        self.guests = MemoryGuests(gate)
        self.reserved_handles = MemoryReservedHandles(gate)
        self.delivery_tokens = MemoryDeliveryTokens(gate)
        self.prekeys = MemoryPrekeys(gate)
        self.mailboxes = MemoryMailboxes(gate, quotas)
        self.blobs = MemoryBlobs(gate)
        self.account_logs = MemoryAccountLogs(gate)
        self.group_logs = MemoryGroupLogs(gate)
        self.transparency = MemoryLog(gate)
        self.audit = MemoryAudit(gate)
        self.usage = MemoryUsage(gate)
        self.sealing = MemorySealing()

    async def levels(self) -> Levels:
        """Counted as it stands; there is no file."""
        self._gate.check()
        waiting = [
            one.envelope.received_at_ms
            for mailbox in self._gate.image.mailboxes.values()
            for one in mailbox.waiting.values()
        ]
        accounts = len(self._gate.image.accounts)
        return Levels(accounts, len(waiting), min(waiting, default=None), 0, 0, 0, 0, full=False)

    async def check(self) -> None:
        """Raise Unavailable after a crash."""
        self._gate.check()

    async def reclaim(self) -> None:
        """Memory is given back by itself."""

    async def mark_restored(self, *, audited: AuditEntry | None = None) -> None:
        """A new epoch in every mailbox, unused one-time keys dropped, a new log id."""

        def change() -> None:
            jump(self._gate.image)
            drop_one_time_keys(self._gate.image)
            self._gate.image.log_id = self._randomness(limits.LOG_ID_BYTES)
            append_entry(self._gate.image, audited)

        await self._gate.commit(change)

    def crash(self) -> Image:
        """End as a kill would: calls that wait get Unavailable. What was committed, for `open_memory_store`."""
        self.failed.set()
        return self._gate.crash()


@asynccontextmanager
async def open_memory_store(
    image: Image | None = None,
    *,
    quotas: Quotas | None = None,
    before_commit: Callable[[], Awaitable[None]] = _at_once,
    after_commit: Callable[[], Awaitable[None]] = _at_once,
    randomness: Randomness = system_randomness,
) -> AsyncIterator[MemoryStore]:
    """A store, empty or with what `crash` gave; the two hooks stand for the time a commit and its answer take."""
    image = image or Image(log_id=randomness(limits.LOG_ID_BYTES), handle_key=randomness(32))
    gate = Gate(image, before_commit, after_commit)
    default = Quotas(limits.MAILBOX_ENVELOPES, limits.MAILBOX_BYTES, limits.MAILBOX_NEARLY_FULL_PERCENT)
    try:
        yield MemoryStore(gate, quotas or default, randomness)
    finally:
        gate.closed = True
