"""The own delivery token of a group, made anew after somebody left: who is out can write to nobody a week later.

After a member is out at a random time within a day, so that the members of a group do not change theirs together; after an
own device is out at once. Each step can be repeated. docs/protocol.md, "Groups", "Joining".
"""

from functools import partial

from client.account import load_account
from client.own_tokens import OLD_TOKEN_MS, drop_token, hash_of, put_token
from client.store.database import Database, Transaction
from client.store.group_tokens import (
    due_rotations,
    ended_tokens,
    next_own_token,
    own_token_told,
    rotated,
    token_ended,
    untold_groups,
)
from client.system import System
from client.transport import Transport

from .member_tokens import tell_own_token
from .tokens import GROUP


async def rotate_due_tokens(transport: Transport, database: Database, system: System) -> bool:
    """Make the tokens anew that are due, let the old ones end in 7 days, and tell; whether something was put on its way.

    Raises RelayUnreachable, Refused.
    """
    told = False
    for group_id in await database.read(lambda tx: due_rotations(tx, system.now_ms())):
        token = await database.run(partial(next_own_token, group_id=group_id, random=system.random))
        if token is None:
            continue
        await put_token(transport, hash_of(token), GROUP)
        told |= await database.run(partial(_change, group_id=group_id, token=token, system=system))
    for ended, ends_at_ms in await database.read(ended_tokens):
        await _end(transport, ended, ends_at_ms, system.now_ms())
        await database.run(partial(token_ended, token=ended))
    return await database.run(partial(_tell_untold, system=system)) or told


def _change(tx: Transaction, *, group_id: bytes, token: bytes, system: System) -> bool:
    if not rotated(tx, group_id, token, system.now_ms() + OLD_TOKEN_MS):
        return False
    tell_own_token(tx, load_account(tx), group_id, system)
    return True


def _tell_untold(tx: Transaction, *, system: System) -> bool:
    """Members may know a token of this device's own making that gave way to that of another own device."""
    groups = untold_groups(tx)
    for group_id in groups:
        tell_own_token(tx, load_account(tx), group_id, system)
        own_token_told(tx, group_id)
    return bool(groups)


async def _end(transport: Transport, token: bytes, ends_at_ms: int, now_ms: int) -> None:
    if ends_at_ms > now_ms:
        await put_token(transport, hash_of(token), GROUP, expires_at_ms=ends_at_ms)
    else:
        await drop_token(transport, hash_of(token))
