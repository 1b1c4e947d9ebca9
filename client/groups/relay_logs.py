"""The relay's group logs as the care of groups asks for them: over connections on which nothing is signed."""

from client.logs import LogKeys, LogPage, append_group_log, create_group_log, read_group_log
from client.transport import Transport


class RelayLogs:
    """`GroupLogs` at a relay."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, log_id: bytes, keys: LogKeys, entry: bytes) -> None:
        """Make a log with entry 0; signed by the device, so that it can be counted."""
        await create_group_log(self._transport, log_id, keys, entry)

    async def append(
        self, log_id: bytes, index: int, entry: bytes, write_seed: bytes, following: LogKeys | None
    ) -> None:
        """Put an entry at the end."""
        await append_group_log(self._transport, log_id, index, entry, write_seed, following=following)

    async def read(self, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
        """What is there from an index on."""
        return await read_group_log(self._transport, log_id, read_token, from_index)
