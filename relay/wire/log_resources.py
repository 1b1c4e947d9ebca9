"""The bodies of requests about sealed logs; docs/protocol.md, "Sealed logs". What they are made of is in resources.py."""

from typing import Annotated

from pydantic import Field

from . import limits
from .resources import Answer, Base64Url, Bytes32, Bytes64, Counter, Request

SealedEntry = Annotated[Base64Url, Field(min_length=1, max_length=limits.MAX_LOG_ENTRY_BYTES)]


class LogEntry(Answer):
    """One entry of a sealed log: its place, its bytes, and the relay's time when it came."""

    index: Counter
    entry: Base64Url
    at_ms: Counter


class LogAnswer(Answer):
    """A part of a sealed log, in order and without a gap: more follows if its last index + 1 is below `next_index`."""

    entries: list[LogEntry]
    first_index: Counter
    """Oldest entry that is kept; 0 for a log that nobody has written to."""
    next_index: Counter
    """What the next entry gets."""


class LogAppendRequest(Request):
    """POST /v1/logs/{name}: put the entry at the end, at the index that the sender takes for it."""

    index: Counter
    entry: SealedEntry


class LogAppendAnswer(Answer):
    """The entry stands at this index since `at_ms`; the same append again gets the same answer."""

    index: Counter
    at_ms: Counter


class GroupLogRequest(Request):
    """POST /v1/group-logs: a new group log with its entry 0. The relay does not note who made it."""

    log_id: Bytes32
    write_key: Bytes32
    """Ed25519 public key that signs the next append."""
    read_token_hash: Bytes32
    """SHA-256 of the read token, 32 B."""
    entry: SealedEntry


class GroupLogAppendRequest(Request):
    """POST /v1/group-logs/{log_id}/entries. Not signed by a device: `signature` is by the present write key."""

    index: Counter
    entry: SealedEntry
    signature: Bytes64
    next_write_key: Bytes32 | None = None
    """From this entry on, this key signs instead of the present one."""
    next_read_token_hash: Bytes32 | None = None
    """From this entry on, this token reads instead of the present one."""
