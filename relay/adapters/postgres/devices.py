"""Devices come and go with a manifest, inside its transaction, and take what was theirs with them.

The caller has locked the account's row.
"""

from collections.abc import Sequence
from typing import Final

from relay.wire.errors import Conflict
from relay.wire.manifests import ManifestDevice

from .database import Transaction, hot
from .mailbox_rows import add_devices as add_mailboxes
from .mailbox_rows import remove_devices as remove_mailboxes

_COLUMNS: Final = "device_id, account_id, signing_key, identity_key, flags, added_at_ms"
OF_ACCOUNT: Final = f"SELECT {_COLUMNS} FROM devices WHERE account_id = $1 ORDER BY device_id"  # noqa: S608
ONE: Final = hot(
    "account_id",
    f"SELECT {_COLUMNS} FROM devices WHERE account_id = $1 AND device_id = $2",  # noqa: S608
)
OWNER: Final = hot("device_id", "SELECT account_id FROM device_owners WHERE device_id = $1")


def _marked(device: ManifestDevice) -> tuple[bytes, bytes]:
    """Its keys as device_keys has them: a letter before each says which of the two it is."""
    return b"s" + device.signing_key, b"i" + device.identity_key


async def add_devices(transaction: Transaction, account_id: bytes, devices: Sequence[ManifestDevice]) -> None:
    """New devices with empty mailboxes; raises Conflict if an id or key belongs to another device."""
    if not devices:
        return
    ordered = sorted(devices, key=lambda device: device.device_id)
    device_ids = [device.device_id for device in ordered]
    keys = sorted((key, device.device_id) for device in ordered for key in _marked(device))
    owned = await transaction.rows(
        """INSERT INTO device_owners (device_id, account_id) SELECT device_id, $2 FROM unnest($1::bytea[]) AS new(device_id)
           ON CONFLICT DO NOTHING RETURNING 1""",
        device_ids,
        account_id,
    )
    kept = await transaction.rows(
        """INSERT INTO device_keys SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING RETURNING 1""",
        [key for key, _ in keys],
        [device_id for _, device_id in keys],
    )
    if len(owned) < len(device_ids) or len(kept) < len(keys):
        raise Conflict("a device id or key of this manifest belongs to another device")
    await transaction.execute_many(
        f"INSERT INTO devices ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)",  # noqa: S608
        [
            (
                device.device_id,
                account_id,
                device.signing_key,
                device.identity_key,
                device.flags,
                device.added_at_ms,
            )
            for device in ordered
        ],
    )
    await add_mailboxes(transaction, device_ids)


async def replace_devices(
    transaction: Transaction, account_id: bytes, devices: Sequence[ManifestDevice]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Make these the account's devices; the ids added and removed. Raises Conflict; a device never changes its keys."""
    rows = await transaction.rows(OF_ACCOUNT, account_id)
    current = {row["device_id"]: (row["signing_key"], row["identity_key"], row["flags"]) for row in rows}
    wanted = {device.device_id for device in devices}
    removed = tuple(device_id for device_id in current if device_id not in wanted)
    await remove_devices(transaction, account_id, removed)
    added = tuple(device for device in devices if device.device_id not in current)
    for device in devices:
        if device.device_id not in current:
            continue
        signing_key, identity_key, flags = current[device.device_id]
        if (signing_key, identity_key) != (device.signing_key, device.identity_key):
            raise Conflict("a device of this manifest comes back with other keys: give it a new id")
        if flags != device.flags:
            await transaction.execute(
                "UPDATE devices SET flags = $1 WHERE account_id = $2 AND device_id = $3",
                device.flags,
                account_id,
                device.device_id,
            )
    await add_devices(transaction, account_id, added)
    return tuple(device.device_id for device in added), removed


async def remove_devices(transaction: Transaction, account_id: bytes, device_ids: Sequence[bytes]) -> None:
    """The devices and their mailboxes, prekeys, nonces, registrations for wakeups."""
    if not device_ids:
        return
    gone = sorted(device_ids)
    await remove_mailboxes(transaction, gone)
    for statement in (
        "DELETE FROM nonces WHERE device_id = ANY($1::bytea[])",
        "DELETE FROM device_keys WHERE device_id = ANY($1::bytea[])",
        "DELETE FROM device_owners WHERE device_id = ANY($1::bytea[])",  # prekeys and the like hang on it
    ):
        await transaction.execute(statement, gone)
    await transaction.execute(
        "DELETE FROM devices WHERE account_id = $1 AND device_id = ANY($2::bytea[])", account_id, gone
    )
