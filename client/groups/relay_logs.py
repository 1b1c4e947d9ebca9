"""The relay's group logs as the care of groups asks for them: over connections on which nothing is signed.

What the relay took is kept as it was sent: one that comes back from a backup gets it again. docs/protocol.md, "A relay that
came back".
"""

from functools import partial

from client.errors import Refused
from client.logs import (
    LogKeys,
    LogPage,
    group_append_request,
    group_create_request,
    read_group_log,
    send_group_append,
    send_group_create,
)
from client.store.database import Database
from client.store.own_appends import keep_append, own_appends
from client.system import System
from client.transport import Transport
from relay.wire.log_resources import GroupLogAppendRequest, GroupLogRequest


class RelayLogs:
    """`GroupLogs` at a relay."""

    def __init__(self, transport: Transport, database: Database, system: System) -> None:
        self._transport = transport
        self._database = database
        self._system = system

    async def create(self, log_id: bytes, keys: LogKeys, entry: bytes) -> None:
        """Make a log with entry 0; signed by the device, so that it can be counted."""
        request = group_create_request(log_id, keys, entry)
        await send_group_create(self._transport, request)
        await self._keep(log_id, 0, request)

    async def append(
        self, log_id: bytes, index: int, entry: bytes, write_seed: bytes, following: LogKeys | None
    ) -> None:
        """Put an entry at the end."""
        request = group_append_request(log_id, index, entry, write_seed, following)
        await send_group_append(self._transport, log_id, request)
        await self._keep(log_id, index, request)

    async def read(self, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
        """What is there from an index on."""
        return await read_group_log(self._transport, log_id, read_token, from_index)

    async def _keep(
        self, log_id: bytes, index: int, request: GroupLogRequest | GroupLogAppendRequest
    ) -> None:
        kept = request.model_dump_json().encode()
        now_ms = self._system.now_ms()
        await self._database.run(
            partial(keep_append, log_id=log_id, index=index, request=kept, now_ms=now_ms)
        )


async def give_back_logs(transport: Transport, database: Database) -> bool:
    """Send again what this device put into logs; whether the relay has all of it now.

    What it has already is harmless. An entry whose predecessor another device has to give back first is refused until then.
    Raises RelayUnreachable, and Refused if the relay has no time.
    """
    is_whole = True
    for log_id, index, kept in await database.read(own_appends):
        try:
            if index == 0:
                await send_group_create(transport, GroupLogRequest.model_validate_json(kept))
            else:
                await send_group_append(transport, log_id, GroupLogAppendRequest.model_validate_json(kept))
        except Refused as refused:
            if refused.reason not in ("conflict", "not_allowed"):
                raise
            is_whole = False
    return is_whole
