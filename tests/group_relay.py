"""What a relay keeps of groups, in memory: their logs, and the delivery tokens of their members."""

from client.errors import Refused
from client.logs import LogEntry, LogKeys, LogPage
from relay.wire.links import decode_bytes
from relay.wire.resources import DeliveryTokenRequest


class LogsInMemory:
    """What the relay keeps of groups' logs, with its rules for keys, tokens and places."""

    def __init__(self) -> None:
        self.logs: dict[bytes, list[bytes]] = {}
        self.keys: dict[bytes, list[LogKeys]] = {}
        self.reads = 0

    async def create(self, log_id: bytes, keys: LogKeys, entry: bytes) -> None:
        if self.logs.get(log_id, [entry])[0] != entry:
            raise Refused("conflict", "another log")
        self.logs.setdefault(log_id, [entry])
        self.keys.setdefault(log_id, [keys])

    async def append(
        self, log_id: bytes, index: int, entry: bytes, write_seed: bytes, following: LogKeys | None
    ) -> None:
        entries, keys = self.logs[log_id], self.keys[log_id]
        if index < len(entries) and entries[index] == entry:
            return
        if write_seed != keys[min(index, len(keys)) - 1].write_seed:
            raise Refused("not_allowed", "another key")
        if index != len(entries):
            raise Refused("conflict", "not the end")
        entries.append(entry)
        keys.append(following or keys[-1])

    async def read(self, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
        self.reads += 1
        if log_id not in self.logs or self.keys[log_id][-1].read_token != read_token:
            raise Refused("not_allowed", "another token")
        entries = self.logs[log_id]
        part = [LogEntry(index, entries[index], 0) for index in range(from_index, len(entries))][:3]
        return LogPage(tuple(part), 0, len(entries))


class TokenDoor:
    """What the relay keeps of one account's delivery tokens; stands where a Transport would."""

    def __init__(self, tokens: dict[bytes, int | None]) -> None:
        self._tokens = tokens

    async def ask(
        self, method: str, path: str, *, body: DeliveryTokenRequest | None = None, signed: bool
    ) -> None:
        if body is not None:
            self._tokens[body.token_hash] = body.expires_at_ms
        elif self._tokens.pop(decode_bytes(path.removeprefix("/v1/delivery-tokens/")), b"") == b"":
            raise Refused("not_found", "no such token")
