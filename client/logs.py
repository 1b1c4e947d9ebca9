"""The relay's sealed logs as a client calls them: own account's by signed requests, groups' without a name on them.

Entries go up and come back as they are: sealing them, and judging what is in them, is the caller's. docs/protocol.md,
"Sealed logs".
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from crypto.primitives import ed25519_keypair, ed25519_sign
from relay.wire.links import encode_bytes, encode_id
from relay.wire.log_resources import (
    GroupLogAppendRequest,
    GroupLogRequest,
    LogAnswer,
    LogAppendAnswer,
    LogAppendRequest,
)
from relay.wire.transcripts import log_append_transcript

from .errors import RelayMisbehaved
from .transport import Answered, Transport

LOG_TOKEN_HEADER: Final = "TokenIM-Log-Token"  # noqa: S105  # a header's name


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: its place, its bytes, and what the relay says when it came."""

    index: int
    entry: bytes = field(repr=False)
    at_ms: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in order, without a gap; the log's oldest kept index; what the next entry gets."""

    entries: tuple[LogEntry, ...]
    first_index: int
    next_index: int


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Of a group log: 32 B seed of the write key (empty: this device only reads), 32 B read token."""

    write_seed: bytes = field(repr=False)
    read_token: bytes = field(repr=False)


# Of the own account


async def append_account_log(transport: Transport, name: str, index: int, entry: bytes) -> int:
    """Put the entry at the end of the account's log (name: 1 to 16 of a-z); the relay's time of it, ms.

    The same again is harmless. Raises Refused (`conflict`: another entry stands there, or `index` is not the end: read on;
    `quota_exceeded`: trim), RelayUnreachable.
    """
    body = LogAppendRequest(index=index, entry=entry)
    return _appended(await transport.ask("POST", f"/v1/logs/{name}", body=body, signed=True), index)


async def read_account_log(transport: Transport, name: str, from_index: int) -> LogPage:
    """A page of the log from this index on, empty at its end. Raises Refused, RelayUnreachable, RelayMisbehaved."""
    answered = await transport.ask("GET", f"/v1/logs/{name}?from={from_index}", signed=True)
    return _page(answered, from_index)


async def trim_account_log(transport: Transport, name: str, before: int) -> None:
    """Remove the entries below `before`. Raises Refused (`conflict`: the log is not that long), RelayUnreachable."""
    await transport.ask("DELETE", f"/v1/logs/{name}?before={before}", signed=True)


def account_log_entries(transport: Transport, name: str, from_index: int = 0) -> AsyncIterator[LogEntry]:
    """Every entry from this index on, page by page. Raises like `read_account_log`."""
    return _every_entry(lambda index: read_account_log(transport, name, index), from_index)


# Of a group


async def create_group_log(transport: Transport, log_id: bytes, keys: LogKeys, entry: bytes) -> int:
    """Make the log of this 32 B random id with its entry 0; the relay's time of it, ms. Signed by the device, and counted.

    The same again is harmless. Raises Refused (`conflict`: another log has this id; `rate_limited`), RelayUnreachable.
    """
    return await send_group_create(transport, group_create_request(log_id, keys, entry))


def group_create_request(log_id: bytes, keys: LogKeys, entry: bytes) -> GroupLogRequest:
    """The request that makes a log; no secret is in it."""
    return GroupLogRequest(
        log_id=log_id,
        write_key=ed25519_keypair(keys.write_seed)[1],
        read_token_hash=hashlib.sha256(keys.read_token).digest(),
        entry=entry,
    )


async def send_group_create(transport: Transport, request: GroupLogRequest) -> int:
    """Send it, for the first time or again; see `create_group_log`."""
    return _appended(await transport.ask("POST", "/v1/group-logs", body=request, signed=True), 0)


async def append_group_log(
    transport: Transport,
    log_id: bytes,
    index: int,
    entry: bytes,
    write_seed: bytes,
    *,
    following: LogKeys | None = None,
) -> int:
    """Put the entry at the end, signed by the log's write key alone; the relay's time of it, ms.

    `following`: from this entry on its keys are good, and the present ones no more. The same again is harmless, also by
    the key that this append has replaced. Raises Refused (`conflict`: another entry stands there, or `index` is not the
    end; `not_allowed`: not the present write key, or no such log; `quota_exceeded`), RelayUnreachable.
    """
    request = group_append_request(log_id, index, entry, write_seed, following)
    return await send_group_append(transport, log_id, request)


def group_append_request(
    log_id: bytes, index: int, entry: bytes, write_seed: bytes, following: LogKeys | None
) -> GroupLogAppendRequest:
    """The request of an append; no secret is in it."""
    next_key = next_hash = None
    if following is not None:
        next_key = ed25519_keypair(following.write_seed)[1]
        next_hash = hashlib.sha256(following.read_token).digest()
    signed = log_append_transcript(
        log_id=log_id, index=index, entry=entry, next_write_key=next_key, next_read_token_hash=next_hash
    )
    return GroupLogAppendRequest(
        index=index,
        entry=entry,
        signature=ed25519_sign(ed25519_keypair(write_seed)[0], signed),
        next_write_key=next_key,
        next_read_token_hash=next_hash,
    )


async def send_group_append(transport: Transport, log_id: bytes, request: GroupLogAppendRequest) -> int:
    """Send it, for the first time or again; see `append_group_log`."""
    answered = await transport.ask("POST", f"{_group_path(log_id)}/entries", body=request)
    return _appended(answered, request.index)


async def read_group_log(transport: Transport, log_id: bytes, read_token: bytes, from_index: int) -> LogPage:
    """A page of the log from this index on, empty at its end; asked for anonymously.

    Raises Refused (`not_allowed`: not the present read token, or no such log), RelayUnreachable, RelayMisbehaved.
    """
    headers = {LOG_TOKEN_HEADER: encode_bytes(read_token)}
    answered = await transport.ask("GET", f"{_group_path(log_id)}?from={from_index}", headers=headers)
    return _page(answered, from_index)


def group_log_entries(
    transport: Transport, log_id: bytes, read_token: bytes, from_index: int = 0
) -> AsyncIterator[LogEntry]:
    """Every entry from this index on, page by page. Raises like `read_group_log`."""
    return _every_entry(lambda index: read_group_log(transport, log_id, read_token, index), from_index)


def _group_path(log_id: bytes) -> str:
    return f"/v1/group-logs/{encode_id(log_id)}"


def _appended(answered: Answered, index: int) -> int:
    answer = answered.read(LogAppendAnswer)
    if answer.index != index:
        raise RelayMisbehaved("the relay put an entry elsewhere than it was told")
    return answer.at_ms


def _page(answered: Answered, from_index: int) -> LogPage:
    answer = answered.read(LogAnswer)
    entries = tuple(LogEntry(one.index, one.entry, one.at_ms) for one in answer.entries)
    begin = max(from_index, answer.first_index)
    in_order = [entry.index for entry in entries] == [*range(begin, begin + len(entries))]
    if not in_order or begin + len(entries) > max(answer.next_index, begin):
        raise RelayMisbehaved("the relay's answer is not a piece of a log")
    if begin < answer.next_index and not entries:
        raise RelayMisbehaved("the relay says that there are entries, and gives none")
    return LogPage(entries, answer.first_index, answer.next_index)


async def _every_entry(read: Callable[[int], Awaitable[LogPage]], from_index: int) -> AsyncIterator[LogEntry]:
    while True:
        page = await read(from_index)
        for entry in page.entries:
            yield entry
        if not page.entries or page.entries[-1].index + 1 >= page.next_index:
            return
        from_index = page.entries[-1].index + 1
