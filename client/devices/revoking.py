"""Takes devices out of the account, by the user's wish or because they were silent too long; what they knew is changed.

Peers drop a device's sessions when they see the list without it, the relay its mailbox and sockets. What is left to it are
the delivery tokens it was told: those of the account are replaced. docs/protocol.md, "Revoking".
"""

from collections.abc import Awaitable, Callable

from client.account import Account, load_account
from client.account_requests import own_devices
from client.errors import Refused, RelayUnreachable
from client.message import Warned
from client.store import facts, notices
from client.store.database import Database, Transaction
from client.store.facts import known_token
from client.store.group_tokens import rotate_all_now
from client.store.peers import CONTACT, LINK, PUBLIC
from client.store.token_changes import begin_change
from client.system import System
from client.transport import Transport
from relay.wire.links import encode_id

from .device_names import device_name
from .own_manifest import DeviceChange, change_devices
from .settings import silence_days


async def revoke_devices(
    transport: Transport,
    database: Database,
    account: Account,
    system: System,
    device_ids: frozenset[bytes],
    *,
    settle_tokens: Callable[[], Awaitable[None]],
) -> None:
    """Take these out of the list, and change what they knew: the account's delivery tokens.

    Cut off after the list was changed, the tokens are changed once the client runs again. Raises what `change_devices`
    raises.
    """
    await change_devices(transport, database, account, system, DeviceChange(remove=device_ids))
    await database.run(lambda tx: change_due_tokens(tx, system))
    try:
        await settle_tokens()
    except (RelayUnreachable, Refused):
        return  # begun and kept: it goes on while the client listens


def change_due_tokens(tx: Transaction, system: System) -> None:
    """Begin to change them, if this device took another one out and has not done so yet."""
    if facts.number(tx, facts.OWN_TOKENS_DUE):
        change_own_tokens(tx, system)
        facts.set_number(tx, facts.OWN_TOKENS_DUE, 0)


def change_own_tokens(tx: Transaction, system: System) -> None:
    """Begin to change all delivery tokens that devices of the account know, those of groups too; what was begun goes on by
    itself.
    """
    for token_class in (CONTACT, LINK, PUBLIC):
        if known_token(tx, token_class) is not None:
            begin_change(tx, token_class, system.random)
    rotate_all_now(tx, system.now_ms())


async def remove_silent_devices(
    transport: Transport,
    database: Database,
    account: Account,
    system: System,
    *,
    settle_tokens: Callable[[], Awaitable[None]],
) -> bool:
    """A manager removes the devices that were not connected for as long as the account's setting says, and tells the user;
    whether there was one. Raises RelayUnreachable, Refused, DevicesForked.
    """
    days = await database.read(silence_days)
    own = (await database.read(load_account)).own
    is_manager = any(one.device_id == account.device_id and one.manager for one in own.manifest.devices)
    others = [one for one in own.manifest.devices if one.device_id != account.device_id]
    if not days or not is_manager or not others:
        return False
    now_ms = system.now_ms()
    seen = {one.device_id: one.silent_days(now_ms) for one in await own_devices(transport)}
    silent = [one for one in others if seen.get(one.device_id, 0) > days]
    if not silent:
        return False
    await revoke_devices(
        transport,
        database,
        account,
        system,
        frozenset(one.device_id for one in silent),
        settle_tokens=settle_tokens,
    )

    def tell(tx: Transaction) -> None:
        for one in silent:
            detail = (
                f"the device {device_name(tx, one.device_id)} ({encode_id(one.device_id)}) was removed from your"
                f" account: it was not connected for more than {days} days"
            )
            notices.tell(tx, Warned("device_removed", detail, encode_id(account.account_id)))

    await database.run(tell)
    return True
