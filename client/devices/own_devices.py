"""The own devices as one object for the library and the command: list, name, link, revoke. Holds no state of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from client.account import Account, load_account
from client.account_requests import delete_account, export_account, own_devices
from client.errors import DeviceRevoked, Refused, RelayUnreachable, UsageError
from client.outbox import Outbox
from client.store import facts
from client.store.database import Database, Transaction
from client.system import System
from client.transport import Transport
from client.trust import refresh
from crypto.limits import DAY_MS
from crypto.manifest import DeviceEntry

from .accepting import LinkedDevice, Wishes, accept_link, parse_device_link
from .device_list import OwnDevice, list_devices, shown_device
from .device_names import choose_device, encode_name, key_of
from .own_manifest import DeviceChange, change_devices
from .revoking import remove_silent_devices, revoke_devices
from .settings import set_silence_days
from .shared_items import put_item

_SEND_SECONDS: Final = 5.0


class OwnDevices:
    """What a user does with the devices of the account."""

    def __init__(
        self,
        account: Account,
        transport: Transport,
        database: Database,
        system: System,
        outbox: Outbox,
        *,
        settle_tokens: Callable[[], Awaitable[None]],
    ) -> None:
        self._account = account
        self._transport = transport
        self._database = database
        self._system = system
        self._outbox = outbox
        self._settle_tokens = settle_tokens

    async def list(self) -> list[OwnDevice]:
        """All devices of the account, the newest list fetched first. Raises RelayUnreachable, DeviceRevoked, DevicesForked."""
        await self._refresh()
        seen = {one.device_id: one.seen_day for one in await own_devices(self._transport)}
        return await self._database.read(lambda tx: list_devices(tx, seen))

    async def export_account(self, file: Path) -> int:
        """Write all that the relay holds about the account into a new file, as JSON; its length in bytes.

        Raises UsageError if the file cannot be made, Refused, RelayUnreachable, RelayMisbehaved.
        """
        return await export_account(self._transport, file)

    async def delete_account(self) -> bool:
        """Delete the account at the relay for ever, with all its devices; what is kept here stays.

        False: an operator's hold keeps it for a while; it is shut out at once.

        Raises Refused (`not_allowed`: this device does not manage it, `last_owner`), RelayUnreachable.
        """
        return await delete_account(self._transport)

    async def _refresh(self) -> None:
        try:
            await refresh(
                self._transport,
                self._database,
                self._account,
                self._account.account_id,
                self._system.now_ms(),
            )
        except Refused as refused:
            if refused.reason != "unauthenticated":
                raise
            raise DeviceRevoked(
                "the relay does not know this device: it was removed from its account"
            ) from refused

    async def accept(self, link: str, wishes: Wishes) -> LinkedDevice:
        """Take the device of a link into the account; see `accept_link` for what it raises."""
        parsed = parse_device_link(link, self._account.origin)
        return await accept_link(
            self._transport,
            self._database,
            self._account,
            parsed,
            wishes,
            self._system,
            send=self._send,
        )

    async def _send(self) -> None:
        """Send what waits; what the relay does not take within a moment goes out later."""
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await self._outbox.send_out(_SEND_SECONDS)
        except (TimeoutError, RelayUnreachable):
            return

    async def rename(self, wanted: str, name: str) -> OwnDevice:
        """Call a device (by its name or id) so, on all own devices. Raises UsageError."""

        def put(tx: Transaction) -> OwnDevice:
            account = load_account(tx)
            entry = choose_device(tx, account.own.manifest.devices, wanted)
            put_item(tx, key_of(entry.device_id), encode_name(name), self._system)
            return shown_device(tx, entry, None, is_this=entry.device_id == account.device_id)

        renamed = await self._database.run(put)
        await self._send()
        return renamed

    async def find(self, wanted: str) -> OwnDevice:
        """A listed device by its name or id. Raises UsageError."""

        def show(tx: Transaction) -> OwnDevice:
            account = load_account(tx)
            entry = choose_device(tx, account.own.manifest.devices, wanted)
            return shown_device(tx, entry, None, is_this=entry.device_id == account.device_id)

        return await self._database.read(show)

    async def revoke(self, wanted: str) -> OwnDevice:
        """Take another device out of the account: it reads and sends nothing any more.

        Raises UsageError, NotManager, DeviceRevoked, DevicesForked, RelayUnreachable, Refused.
        """
        entry = await self._chosen(wanted)
        if entry.device_id == self._account.device_id:
            raise UsageError("this is the device you are on: revoke it from another one")
        shown = await self.find(wanted)
        await revoke_devices(
            self._transport,
            self._database,
            self._account,
            self._system,
            frozenset((entry.device_id,)),
            settle_tokens=self._settle_tokens,
        )
        return shown

    async def remove_silent(self) -> bool:
        """Once a day, on a manager: revoke the devices that were silent too long. Whether one was."""
        now_ms = self._system.now_ms()
        looked_at_ms = await self._database.read(lambda tx: facts.number(tx, facts.DEVICES_LOOKED_AT_MS))
        if looked_at_ms <= now_ms < looked_at_ms + DAY_MS:
            return False
        removed = await remove_silent_devices(
            self._transport,
            self._database,
            self._account,
            self._system,
            settle_tokens=self._settle_tokens,
        )
        await self._database.run(lambda tx: facts.set_number(tx, facts.DEVICES_LOOKED_AT_MS, now_ms))
        return removed

    async def set_manager(self, wanted: str, manager: bool) -> OwnDevice:
        """Let a device manage the others, or no longer. Raises what `revoke` raises."""
        entry = await self._chosen(wanted)
        change = DeviceChange(managers={entry.device_id: manager})
        await change_devices(self._transport, self._database, self._account, self._system, change)
        return await self.find(wanted)

    async def _chosen(self, wanted: str) -> DeviceEntry:
        await self._refresh()
        return await self._database.read(
            lambda tx: choose_device(tx, load_account(tx).own.manifest.devices, wanted)
        )

    async def set_silence_days(self, days: int) -> None:
        """After so many days without a connection a device is removed; 0: never. Raises UsageError."""
        if await self._database.run(lambda tx: set_silence_days(tx, days, self._system)):
            await self._send()
