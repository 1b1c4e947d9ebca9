"""Sealed logs: lists of entries that only grow at their end, in an order that the relay keeps and contents it cannot read.

An account's logs are its devices'. A group's log is nobody's: whoever shows the write key's signature appends, whoever
shows the read token reads, and nothing in it says who that was. The caller has verified signatures and tokens.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry: its place, its bytes, and the relay's time when it came."""

    index: int
    entry: bytes = field(repr=False)
    at_ms: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in order, without a gap; the log's oldest kept index, and the index of what comes next (both 0: nothing yet)."""

    entries: tuple[LogEntry, ...]
    first_index: int
    next_index: int


@dataclass(frozen=True, slots=True)
class LogQuota:
    """What fits: entries and their bytes; of all logs of an account together, or of one group log."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PageSize:
    """What one answer holds at most: entries, and their bytes (never under those of the largest entry)."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Appended:
    """The entry stands at the index since `at_ms`; `is_new` False: the same bytes stood there already."""

    at_ms: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class GroupAppend:
    """An append to the group log of a 32 B id, as it was signed; keys and hashes 32 B, None where nothing changes.

    `digest` is SHA-256 of the signed transcript: the same one again is the same append.
    """

    log_id: bytes
    index: int
    entry: bytes = field(repr=False)
    digest: bytes
    next_write_key: bytes | None = None
    next_read_token_hash: bytes | None = None


class AccountLogStore(Protocol):
    """The logs of accounts. Every change is one transaction and durable when the method returns; a raise changed nothing."""

    async def append(
        self,
        account_id: bytes,
        name: str,
        index: int,
        entry: bytes,
        *,
        now_ms: int,
        quota: LogQuota,
        max_logs: int,
    ) -> Appended:
        """Put the entry at the end of the account's log, which is made by its entry 0.

        The same bytes at the same index again: the same answer. Raises Conflict (another entry stands there, or `index`
        is not the end), QuotaExceeded, NotFound (no such account).
        """

    async def read(self, account_id: bytes, name: str, *, from_index: int, size: PageSize) -> LogPage:
        """The entries from this index on; a log that nobody has written to is an empty one."""

    async def trim(self, account_id: bytes, name: str, *, before: int, limit: int) -> int:
        """Remove at most `limit` entries below `before`, oldest first; how many it were. Raises Conflict above the end."""


class GroupLogStore(Protocol):
    """The logs of groups. Every change is one transaction and durable when the method returns; a raise changed nothing."""

    async def create(self, first: GroupAppend, *, now_ms: int) -> Appended:
        """Make a log with its entry 0; `first` names its write key and read token.

        The same `first` again: the same answer, whatever came after it. Raises Conflict: another log has this id.
        """

    async def write_key(self, log_id: bytes, index: int, *, used_since_day: int) -> bytes | None:
        """The key by which an append at `index` is signed: the one of that time if an entry stands there, else the present.

        None if there is no such log, or it was last used before that day, or the entry is not kept any more.
        """

    async def append(
        self, append: GroupAppend, *, signed_by: bytes, now_ms: int, quota: LogQuota, kept_since_ms: int
    ) -> Appended:
        """Put the entry at the end, and the next write key and read token, if it names any, in place in the same commit.

        `signed_by` is the write key under which the signature holds. The same append again: the same answer. In a full
        log the oldest entries make room, but none that came at `kept_since_ms` or later. Raises NotAllowed (no such log,
        or a key that is not the present one), Conflict (another entry stands there, or `index` is not the end),
        QuotaExceeded.
        """

    async def read_token_hash(self, log_id: bytes, *, used_since_day: int) -> bytes | None:
        """SHA-256 of the present read token; None if there is no such log, or it was last used before that day."""

    async def read(
        self, log_id: bytes, read_token_hash: bytes, *, from_index: int, size: PageSize
    ) -> LogPage | None:
        """The entries from this index on, as they stood at one moment at which this was the token; else None."""

    async def mark_used(self, log_id: bytes, *, day: int) -> None:
        """Note the day (days since 1970) of a use; writes once a day, nothing finer is kept."""

    async def remove_idle(self, *, used_before_day: int, limit: int) -> int:
        """Remove at most `limit` entries of logs last used before that day, and such logs once empty; how many of both."""
