"""On the way into groups: the own token goes to the relay first, then the request to be let in. Repeated after any crash."""

from collections.abc import Awaitable, Callable
from functools import partial

from client.store import group_doors
from client.store.database import Database
from client.store.group_doors import JoinState
from client.system import System

from .invitations import ask_to_join


async def knock(
    database: Database,
    system: System,
    *,
    register: Callable[[bytes], Awaitable[bytes]],
) -> bool:
    """Ask to be let in wherever the user wants in; whether something was put on its way. Raises RelayUnreachable, Refused."""
    asked = False
    for join in await database.read(lambda tx: group_doors.joins(tx, JoinState.WANTED)):
        await register(join.group_id)
        asked |= await database.run(partial(ask_to_join, join=join, system=system))
    return asked
