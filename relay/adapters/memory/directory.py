"""Accounts listed, in memory."""

from collections import Counter
from collections.abc import Mapping

from relay.ports.directory import ListedAccount, Wanted

from .image import Gate


class MemoryDirectory:
    """AccountDirectory in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._image = gate.image

    async def page(self, wanted: Wanted, *, after: bytes, limit: int) -> tuple[ListedAccount, ...]:
        """Accounts with ids above `after`."""
        self._gate.check()
        listed = (
            self._listed(account_id) for account_id in sorted(self._image.accounts) if account_id > after
        )
        found = [one for one in listed if _is_wanted(one, wanted)]
        return tuple(found[:limit])

    def _listed(self, account_id: bytes) -> ListedAccount:
        image = self._image
        row = image.accounts[account_id]
        devices = [one.device_id for one in image.devices.values() if one.account_id == account_id]
        waiting = [one.envelope for device in devices for one in image.mailboxes[device].waiting.values()]
        return ListedAccount(
            account_id=account_id,
            role=row.role,
            suspended=row.suspended,
            handle=next((one.handle for one in image.handles.values() if one.account_id == account_id), None),
            created_at_ms=row.created_at_ms,
            devices=len(devices),
            seen_day=max((image.seen_days.get(device, 0) for device in devices), default=0),
            envelopes=len(waiting),
            envelope_bytes=sum(len(one.ciphertext) for one in waiting),
            blob_bytes=sum(one.length for one in image.blobs.values() if one.owner_id == account_id),
        )

    async def roles_in_use(self) -> Mapping[str, int]:
        """Each role with its number of accounts."""
        self._gate.check()
        return Counter(one.role for one in self._image.accounts.values())

    async def ids_between(self, low: bytes, high: bytes, *, limit: int) -> tuple[bytes, ...]:
        """Ids from `low` to `high`."""
        self._gate.check()
        return tuple(sorted(one for one in self._image.accounts if low <= one <= high)[:limit])


def _is_wanted(account: ListedAccount, wanted: Wanted) -> bool:
    return (
        wanted.role in ("", account.role)
        and wanted.suspended in (None, account.suspended)
        and (account.handle or "").startswith(wanted.handle_begins)
    )
