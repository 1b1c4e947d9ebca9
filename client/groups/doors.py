"""What groups need of the relay beside their logs: the way in, the way back, and the tokens. Repeated after any crash."""

from collections.abc import Awaitable, Callable
from functools import partial

from client.store import group_doors
from client.store.database import Database
from client.store.group_doors import JoinState
from client.store.group_returns import given_up
from client.system import System
from client.transport import Transport

from .invitations import ask_to_join
from .returning import ask_back
from .rotation import rotate_due_tokens
from .tokens import register_group_token, remove_group_token


async def tend_doors(transport: Transport, database: Database, system: System) -> bool:
    """Ask to be let in where the user wants in, and where this device has to come back in; then the tokens. Whether
    something was put on its way, or there is something to tell. Raises RelayUnreachable, Refused.
    """
    asked = await knock(database, system, register=partial(register_group_token, transport, database, system))
    asked |= await database.run(partial(ask_back, system=system))
    for group_id in await database.read(given_up):
        await remove_group_token(transport, database, group_id)
    return await rotate_due_tokens(transport, database, system) or asked


async def knock(
    database: Database,
    system: System,
    *,
    register: Callable[[bytes], Awaitable[bytes]],
) -> bool:
    """The own token goes to the relay first, then the request to be let in; whether something was put on its way.

    Raises RelayUnreachable, Refused.
    """
    asked = False
    for join in await database.read(lambda tx: group_doors.joins(tx, JoinState.WANTED)):
        await register(join.group_id)
        asked |= await database.run(partial(ask_to_join, join=join, system=system))
    return asked
