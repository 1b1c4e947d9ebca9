"""Accounts that go for ever, in memory."""

from relay.ports.accounts import Account
from relay.ports.audit import AuditEntry
from relay.wire.errors import NotFound
from relay.wire.log_leaves import account_gone_leaf

from .accounts import account_of, check_an_owner_stays, remove_device, unbind
from .audit import append_entry
from .image import Gate
from .invites import forget_invites
from .transparency import append_leaf


class MemoryDeletions:
    """DeletionStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def begin(self, account_id: bytes, *, owner: str, audited: AuditEntry | None = None) -> Account:
        """Mark it and suspend it."""

        def change() -> Account:
            if account_id not in self._image.accounts:
                raise NotFound("there is no such account")
            check_an_owner_stays(self._image, account_id, owner)
            self._image.accounts[account_id].suspended = True
            self._image.deletions.add(account_id)
            append_entry(self._image, audited)
            return account_of(self._image, account_id)

        return await self._gate.commit(change)

    async def begun(self, *, limit: int) -> tuple[bytes, ...]:
        """Those that are marked."""
        self._gate.check()
        return tuple(sorted(self._image.deletions - self._image.holds.keys())[:limit])

    async def finish(self, account_id: bytes, *, kept_until_ms: int = 0) -> None:
        """Forget it."""
        image = self._image

        def change() -> None:
            if account_id not in image.deletions or account_id in image.holds:
                return
            account = account_of(image, account_id)
            unbind(image, account_id, kept_until_ms=kept_until_ms)
            for handle, (owner_id, until_ms) in image.kept_handles.items():
                if owner_id == account_id:
                    image.kept_handles[handle] = None, until_ms
            for device in account.devices:
                remove_device(image, device.device_id)
            for nonce in [each for each in image.nonces if each[0] == account_id]:
                del image.nonces[nonce]
            for blob in [each for each in image.blobs.values() if each.owner_id == account_id]:
                del image.blobs[blob.blob_id]
            for log in [each for each in image.account_logs if each[0] == account_id]:
                del image.account_logs[log]
            image.held_envelopes[:] = [one for one in image.held_envelopes if one.account_id != account_id]
            image.profiles.pop(account_id, None)
            forget_invites(image, account_id)
            image.tokens.pop(account_id, None)
            append_leaf(image, account_gone_leaf(account_id, account.manifest_version + 1))
            image.deletions.discard(account_id)
            del image.accounts[account_id]

        await self._gate.commit(change)

    async def erase_traces(self) -> bool:
        """Memory keeps none."""
        self._gate.check()
        return False
