"""Takes devices out of the account, by the user's wish or because they were silent too long; what they knew is changed.

Peers drop a device's sessions when they see the list without it, the relay its mailbox and sockets. What is left to it are
the delivery tokens it was told: those of the account are replaced. docs/protocol.md, "Revoking".
"""

from collections.abc import Callable, Mapping
from typing import Final

from client.account import Account, load_account
from client.message import Warned
from client.store import notices
from client.store.database import Database, Transaction
from client.system import System
from client.transport import Transport
from crypto.manifest import DeviceEntry
from relay.wire.links import encode_id
from relay.wire.resources import OwnDevicesAnswer

from .device_names import device_name
from .own_manifest import DeviceChange, change_devices
from .settings import silence_days

_DAY_MS: Final = 86_400_000


async def seen_days(transport: Transport) -> Mapping[bytes, int]:
    """Device id → the day it was last connected, counted from 1970. Raises RelayUnreachable, Refused."""
    answered = await transport.ask("GET", "/v1/accounts/self/devices", signed=True)
    return {one.device_id: one.seen_day for one in answered.read(OwnDevicesAnswer).devices}


async def revoke_devices(
    transport: Transport,
    database: Database,
    account: Account,
    system: System,
    device_ids: frozenset[bytes],
    *,
    wake: Callable[[], None],
) -> None:
    """Take these out of the list, and change what they knew. Safe to call again. Raises what `change_devices` raises."""
    await change_devices(transport, database, account, system, DeviceChange(remove=device_ids))
    wake()


async def remove_silent_devices(
    transport: Transport,
    database: Database,
    account: Account,
    system: System,
    *,
    wake: Callable[[], None],
) -> None:
    """A manager removes the devices that were not connected for as long as the account's setting says, and tells the user.

    Raises RelayUnreachable, Refused, DevicesForked.
    """
    days = await database.read(silence_days)
    own = (await database.read(load_account)).own
    is_manager = any(one.device_id == account.device_id and one.manager for one in own.manifest.devices)
    others = [one for one in own.manifest.devices if one.device_id != account.device_id]
    if not days or not is_manager or not others:
        return
    seen = await seen_days(transport)
    today = system.now_ms() // _DAY_MS
    silent = [one for one in others if today - _last_day(one, seen) > days]
    if not silent:
        return
    await revoke_devices(
        transport,
        database,
        account,
        system,
        frozenset(one.device_id for one in silent),
        wake=wake,
    )

    def tell(tx: Transaction) -> None:
        for one in silent:
            detail = (
                f"the device {device_name(tx, one.device_id)} ({encode_id(one.device_id)}) was removed from your"
                f" account: it was not connected for more than {days} days"
            )
            notices.tell(tx, Warned("device_removed", detail, encode_id(account.account_id)))

    await database.run(tell)


def _last_day(entry: DeviceEntry, seen: Mapping[bytes, int]) -> int:
    """A device that was never connected counts from when it was added."""
    return max(entry.added_at_ms // _DAY_MS, seen.get(entry.device_id, 0))
