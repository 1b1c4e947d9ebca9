"""Devices come and go with a manifest, inside its transaction, and take what was theirs with them."""

from collections.abc import Sequence
from typing import Final

from relay.wire.errors import Conflict
from relay.wire.manifests import ManifestDevice

from .writer import Transaction

_COLUMNS: Final = "device_id, account_id, signing_key, identity_key, flags, added_at_ms"
OF_ACCOUNT: Final = f"SELECT {_COLUMNS} FROM devices WHERE account_id = ? ORDER BY device_id"  # noqa: S608
BY_ID: Final = f"SELECT {_COLUMNS} FROM devices WHERE device_id = ?"  # noqa: S608


async def add_devices(transaction: Transaction, account_id: bytes, devices: Sequence[ManifestDevice]) -> None:
    """New devices with empty mailboxes; raises Conflict if an id or key belongs to another device."""
    for device in devices:
        taken = await transaction.rows(
            "SELECT 1 FROM devices WHERE device_id = ? OR signing_key = ? OR identity_key = ?",
            (device.device_id, device.signing_key, device.identity_key),
        )
        if taken:
            raise Conflict("a device id or key of this manifest belongs to another device")
        ((number,),) = await transaction.rows(
            """INSERT INTO devices (device_id, account_id, signing_key, identity_key, flags, added_at_ms)
               VALUES (?, ?, ?, ?, ?, ?) RETURNING device_number""",
            (
                device.device_id,
                account_id,
                device.signing_key,
                device.identity_key,
                device.flags,
                device.added_at_ms,
            ),
        )
        await transaction.rows("INSERT INTO mailboxes (device_number) VALUES (?)", (number,))


async def replace_devices(
    transaction: Transaction, account_id: bytes, devices: Sequence[ManifestDevice]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Make these the account's devices; the ids added and removed. Raises Conflict; a device never changes its keys."""
    rows = await transaction.rows(
        "SELECT device_id, device_number, signing_key, identity_key, flags FROM devices WHERE account_id = ?",
        (account_id,),
    )
    current = {device_id: rest for device_id, *rest in rows}
    wanted = {device.device_id for device in devices}
    removed = tuple(device_id for device_id in current if device_id not in wanted)
    for device_id in removed:
        await _remove_device(transaction, device_id, current[device_id][0])
    added = tuple(device for device in devices if device.device_id not in current)
    for device in devices:
        if device.device_id not in current:
            continue
        _, signing_key, identity_key, flags = current[device.device_id]
        if (signing_key, identity_key) != (device.signing_key, device.identity_key):
            raise Conflict("a device of this manifest comes back with other keys: give it a new id")
        if flags != device.flags:
            await transaction.rows(
                "UPDATE devices SET flags = ? WHERE device_id = ?", (device.flags, device.device_id)
            )
    await add_devices(transaction, account_id, added)
    return tuple(device.device_id for device in added), removed


async def _remove_device(transaction: Transaction, device_id: bytes, number: int) -> None:
    """The device and its mailbox, prekeys, nonces. Its idempotency records name nothing any more: the sweep takes them."""
    await transaction.rows("DELETE FROM envelopes WHERE device_number = ?", (number,))
    await transaction.rows("DELETE FROM nonces WHERE device_id = ?", (device_id,))
    await transaction.rows("DELETE FROM devices WHERE device_number = ?", (number,))  # the rest hangs on it
