"""Accounts that go for ever: files, mentions in the audit log, rows, and what is left of them on the disk; in this order.

Only the first step needs to be asked for. A relay that was killed goes on with the rest (`resume`), by its housekeeping.
"""

from collections.abc import Callable
from typing import Final

from relay.ports.accounts import Account
from relay.ports.audit import AuditEntry
from relay.ports.blob_files import BlobFiles
from relay.ports.bus import AccountChanged, Bus, DeviceRevoked
from relay.ports.store import Store
from relay.services.audit import Action, Audit
from relay.services.devices import KnownDevice
from relay.services.roles import Role
from relay.wire.audit_rows import Party
from relay.wire.errors import NotAllowed
from relay.wire.manifests import FLAG_MANAGER

STEP_BLOBS: Final = 100
STEP_GUESTS: Final = 10


class Deletion:
    """Deletes accounts of one relay."""

    def __init__(
        self, store: Store, files: BlobFiles, audit: Audit, *, bus: Bus, kept_until_ms: Callable[[], int]
    ) -> None:
        """`kept_until_ms`: until when nobody gets the handle of an account that is deleted now; 0: it is free."""
        self._store = store
        self._files = files
        self._audit = audit
        self._bus = bus
        self._kept_until_ms = kept_until_ms

    async def delete(self, account_id: bytes, *, audited: AuditEntry) -> Account:
        """It is gone when this returns, with its files; the account as it was. Raises NotFound, LastOwner.

        One that is held is shut out, and goes when the hold ends (`held_until_ms`).
        """
        account = await self._store.deletions.begin(account_id, owner=Role.OWNER, audited=audited)
        if await self._store.holds.find(account_id) is not None:
            self._tell(account)
            return account
        await self._rest(account)
        await self._store.deletions.erase_traces()
        return account

    async def held_until_ms(self, account_id: bytes) -> int | None:
        """When the hold ends that keeps this account from going; None: there is none."""
        hold = await self._store.holds.find(account_id)
        return None if hold is None else hold.until_ms

    async def is_waiting(self, account_id: bytes) -> bool:
        """Whether it is deleted, and a hold alone keeps it from going."""
        hold = await self._store.holds.find(account_id)
        return hold is not None and hold.is_deleted

    async def delete_own(self, signer: KnownDevice) -> bool:
        """The signer's account is gone when this returns True; False: a hold keeps it.

        Raises NotAllowed unless its device may manage it, LastOwner."""
        device = await self._store.accounts.device(signer.device_id)
        if device is None or not device.flags & FLAG_MANAGER:
            raise NotAllowed("only a device that manages the account can delete it")
        audited = self._audit.by_account(Action.ACCOUNT_DELETE, signer.account_id)
        await self.delete(signer.account_id, audited=audited)
        return await self.held_until_ms(signer.account_id) is None

    async def go_on(self, *, now_ms: int) -> int:
        """Guests whose time is over, then what was begun: a piece of it; how many accounts."""
        return await self.end_guests(now_ms=now_ms) + await self.resume()

    async def end_guests(self, *, now_ms: int) -> int:
        """Delete guests whose time is over, a few; how many. One that is held is shut out, and goes when the hold ends."""
        lapsed = await self._store.guests.lapsed(Role.GUEST, now_ms=now_ms, limit=STEP_GUESTS)
        for account_id in lapsed:
            audited = self._audit.by_relay(Action.ACCOUNT_DELETE, subject=Party.account(account_id))
            await self.delete(account_id, audited=audited)
        return len(lapsed)

    async def resume(self) -> int:
        """Finish what was begun, and what is left on the disk; 0 once there is nothing more to do now."""
        begun = await self._store.deletions.begun(limit=1)
        for account_id in begun:
            account = await self._store.accounts.account(account_id)
            if account is not None:
                await self._rest(account)
        if not begun:
            await self._store.deletions.erase_traces()
        return len(begun)

    async def _rest(self, account: Account) -> None:
        account_id = account.account_id
        self._tell(account)
        while blobs := await self._store.blobs.owned(account_id, limit=STEP_BLOBS):
            for blob_id in blobs:
                await self._files.remove(blob_id)
                await self._store.blobs.remove(blob_id)
        await self._audit.erase(account_id)
        await self._store.deletions.finish(account_id, kept_until_ms=self._kept_until_ms())
        self._tell(account)

    def _tell(self, account: Account) -> None:
        """What is remembered of it is stale, and its connections end."""
        self._bus.publish(AccountChanged(account.account_id, suspended=True))
        for device in account.devices:
            self._bus.publish(DeviceRevoked(device.device_id))
