"""The own delivery token of a group, made anew after somebody left: who is out can write to nobody a week later.

At a random time within a day, so that the members of a group do not change theirs together. Each step can be repeated.
docs/protocol.md, "Groups", "Joining".
"""

import hashlib
from functools import partial
from typing import Final

from client.account import load_account
from client.store.database import Database, Transaction
from client.store.group_tokens import due_rotations, next_own_token, rotated
from client.system import System
from client.transport import Transport
from crypto.limits import DAY_MS
from relay.wire.resources import DeliveryTokenRequest

from .member_tokens import tell_own_token

ROTATE_WITHIN_MS: Final = DAY_MS
OLD_TOKEN_ENDS_MS: Final = 7 * DAY_MS


async def rotate_due_tokens(transport: Transport, database: Database, system: System) -> bool:
    """Make the tokens anew that are due, let the old ones end in 7 days, and tell; whether something was put on its way.

    Raises RelayUnreachable, Refused.
    """
    told = False
    for group_id in await database.read(lambda tx: due_rotations(tx, system.now_ms())):
        old, new = await database.run(partial(next_own_token, group_id=group_id, random=system.random))
        await _register(transport, new, None)
        await _register(transport, old, system.now_ms() + OLD_TOKEN_ENDS_MS)

        await database.run(partial(_change, group_id=group_id, token=new, system=system))
        told = True
    return told


def _change(tx: Transaction, *, group_id: bytes, token: bytes, system: System) -> None:
    rotated(tx, group_id, token)
    tell_own_token(tx, load_account(tx), group_id, system)


async def _register(transport: Transport, token: bytes, expires_at_ms: int | None) -> None:
    request = DeliveryTokenRequest(
        token_hash=hashlib.sha256(token).digest(),
        token_class="group",  # noqa: S106  # a class
        expires_at_ms=expires_at_ms,
    )
    await transport.ask("POST", "/v1/delivery-tokens", body=request, signed=True)
