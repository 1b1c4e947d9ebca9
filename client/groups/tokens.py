"""The own delivery token of each group at the relay: there while this account is in the group, gone afterwards."""

import hashlib

from client.errors import Refused
from client.store.database import Database
from client.store.group_tokens import (
    known_own_token,
    own_group_token,
    own_token_registered,
    own_token_removed,
)
from client.store.groups import Status
from client.system import System
from client.transport import Transport
from relay.wire.links import encode_bytes
from relay.wire.resources import DeliveryTokenRequest


async def put_group_token(transport: Transport, token: bytes, *, expires_at_ms: int | None = None) -> None:
    """The relay takes envelopes by this 16 B token of class `group`, until then (ms) if a time is given; again is no harm.

    Raises RelayUnreachable, Refused.
    """
    request = DeliveryTokenRequest(
        token_hash=hashlib.sha256(token).digest(),
        token_class="group",  # noqa: S106  # a class
        expires_at_ms=expires_at_ms,
    )
    await transport.ask("POST", "/v1/delivery-tokens", body=request, signed=True)


async def drop_group_token(transport: Transport, token: bytes) -> None:
    """The relay takes nothing by this token any more. Raises RelayUnreachable, Refused."""
    token_hash = encode_bytes(hashlib.sha256(token).digest())
    try:
        await transport.ask("DELETE", f"/v1/delivery-tokens/{token_hash}", signed=True)
    except Refused as refused:
        if refused.reason != "not_found":
            raise


async def register_group_token(
    transport: Transport, database: Database, system: System, group_id: bytes
) -> bytes:
    """The own token of this group, known to the relay; also before this account is in. Raises RelayUnreachable, Refused."""
    token, is_registered = await database.run(lambda tx: own_group_token(tx, group_id, system.random))
    if not is_registered:
        await put_group_token(transport, token)
        await database.run(lambda tx: own_token_registered(tx, group_id))
    return token


async def remove_group_token(transport: Transport, database: Database, group_id: bytes) -> None:
    """Nobody reaches this account by the token of this group any more. Raises RelayUnreachable, Refused."""
    known = await database.read(lambda tx: known_own_token(tx, group_id))
    if known is None:
        return
    token, is_registered = known
    if is_registered:
        await drop_group_token(transport, token)
    await database.run(lambda tx: own_token_removed(tx, group_id))


async def care_for_token(
    transport: Transport, database: Database, system: System, group_id: bytes, status: Status
) -> None:
    """The token is at the relay if, and only if, this account is in the group. Raises RelayUnreachable, Refused."""
    if status is Status.OUT:
        await remove_group_token(transport, database, group_id)
    else:
        await register_group_token(transport, database, system, group_id)
