"""The own delivery token of each group at the relay: there while this account is in the group, and a week longer."""

from collections.abc import Awaitable, Callable
from typing import Final

from client.own_tokens import OLD_TOKEN_MS, drop_token, hash_of, put_token
from client.store.database import Database
from client.store.group_doors import is_on_way_in
from client.store.group_tokens import (
    known_own_token,
    own_group_token,
    own_token_registered,
    own_token_removed,
)
from client.store.groups import Status
from client.system import System
from client.transport import Transport

GROUP: Final = "group"
"""The class of these tokens."""


async def register_group_token(
    transport: Transport, database: Database, system: System, group_id: bytes
) -> bytes:
    """The own token of this group, known to the relay; also before this account is in. Raises RelayUnreachable, Refused."""
    token, is_registered = await database.run(lambda tx: own_group_token(tx, group_id, system.random))
    if not is_registered:
        await put_token(transport, hash_of(token), GROUP)
        await database.run(lambda tx: own_token_registered(tx, group_id))
    return token


async def end_group_token(transport: Transport, database: Database, system: System, group_id: bytes) -> None:
    """This account is out: the own token ends a week later, as one that another took the place of.

    Until then members who were away fetch by it the device list that tells which device signed, if this account committed.
    Raises RelayUnreachable, Refused.
    """
    ends_at_ms = system.now_ms() + OLD_TOKEN_MS
    await _let_go(
        database, group_id, lambda hashed: put_token(transport, hashed, GROUP, expires_at_ms=ends_at_ms)
    )


async def remove_group_token(transport: Transport, database: Database, group_id: bytes) -> None:
    """Nobody reaches this account by the token of this group any more. Raises RelayUnreachable, Refused."""
    await _let_go(database, group_id, lambda hashed: drop_token(transport, hashed))


async def _let_go(database: Database, group_id: bytes, tell: Callable[[bytes], Awaitable[None]]) -> None:
    """The relay is told first, with the token's hash: whoever is killed in between tells it again."""
    known = await database.read(lambda tx: known_own_token(tx, group_id))
    if known is None:
        return
    token, is_registered = known
    if is_registered:
        await tell(hash_of(token))
    await database.run(lambda tx: own_token_removed(tx, group_id))


async def care_for_token(
    transport: Transport, database: Database, system: System, group_id: bytes, status: Status
) -> None:
    """The token is at the relay while this account is in the group, or on its way in, and a week longer.

    On the way in it was told with the request: who lets this account in again reaches it by that one. Raises
    RelayUnreachable, Refused.
    """
    if status is Status.OUT:
        if not await database.read(lambda tx: is_on_way_in(tx, group_id)):
            await end_group_token(transport, database, system, group_id)
    else:
        await register_group_token(transport, database, system, group_id)
