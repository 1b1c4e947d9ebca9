"""The logs of groups in memory."""

from typing import Final

from relay.ports.sealed_logs import Appended, GroupAppend, LogEntry, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotAllowed, QuotaExceeded

from .account_logs import fitting
from .image import Gate, GroupLog, SignedEntry

_DAY_MS: Final = 86_400_000


class MemoryGroupLogs:
    """GroupLogStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._logs = gate.image.group_logs

    async def create(self, first: GroupAppend, *, now_ms: int) -> Appended:
        """Make a log with its entry 0."""

        def change() -> Appended:
            log = self._logs.get(first.log_id)
            if log is not None:
                standing = log.entries.get(0)
                if standing is None or standing.digest != first.digest:
                    raise Conflict("another log has this id")
                return Appended(standing.entry.at_ms, is_new=False)
            log = GroupLog(first.next_write_key or b"", first.next_read_token_hash or b"")
            self._logs[first.log_id] = log
            _put(log, first, log.write_key, now_ms)
            return Appended(now_ms, is_new=True)

        return await self._gate.commit(change)

    async def write_key(self, log_id: bytes, index: int, *, used_since_day: int) -> bytes | None:
        """The key that signs at `index`."""
        self._gate.check()
        log = self._logs.get(log_id)
        if log is None or log.used_day < used_since_day:
            return None
        if index >= log.next_index:
            return log.write_key
        standing = log.entries.get(index)
        return None if standing is None else standing.signed_by

    async def append(
        self, append: GroupAppend, *, signed_by: bytes, now_ms: int, quota: LogQuota, kept_since_ms: int
    ) -> Appended:
        """Put the entry at the end."""

        def change() -> Appended:
            log = self._logs.get(append.log_id)
            if log is None:
                raise NotAllowed
            if append.index < log.next_index:
                standing = log.entries.get(append.index)
                if standing is None or standing.digest != append.digest:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing.entry.at_ms, is_new=False)
            if log.write_key != signed_by:
                raise NotAllowed
            if append.index > log.next_index:
                raise Conflict("this log is not that long: read where it ends")
            for index in _in_the_way(log, append, quota, kept_since_ms):
                del log.entries[index]
                log.first_index = index + 1
            _put(log, append, signed_by, now_ms)
            return Appended(now_ms, is_new=True)

        return await self._gate.commit(change)

    async def read_token_hash(self, log_id: bytes, *, used_since_day: int) -> bytes | None:
        """The hash."""
        self._gate.check()
        log = self._logs.get(log_id)
        return log.read_token_hash if log is not None and log.used_day >= used_since_day else None

    async def read(
        self, log_id: bytes, read_token_hash: bytes, *, from_index: int, size: PageSize
    ) -> LogPage | None:
        """The entries from this index on."""
        self._gate.check()
        log = self._logs.get(log_id)
        if log is None or log.read_token_hash != read_token_hash:
            return None
        entries = {index: signed.entry for index, signed in log.entries.items()}
        return LogPage(fitting(entries, from_index, size), log.first_index, log.next_index)

    async def mark_used(self, log_id: bytes, *, day: int) -> None:
        """Note the day."""

        def change() -> None:
            log = self._logs.get(log_id)
            if log is not None:
                log.used_day = max(log.used_day, day)

        await self._gate.commit(change)

    async def remove_idle(self, *, used_before_day: int, limit: int) -> int:
        """Remove entries of idle logs, then the logs."""

        def change() -> int:
            removed = 0
            for log_id, log in tuple(self._logs.items()):
                if log.used_day >= used_before_day:
                    continue
                for index in tuple(log.entries)[: limit - removed]:
                    del log.entries[index]
                    removed += 1
                if not log.entries and removed < limit:
                    del self._logs[log_id]
                    removed += 1
            return removed

        return await self._gate.commit(change)


def _put(log: GroupLog, append: GroupAppend, signed_by: bytes, now_ms: int) -> None:
    entry = LogEntry(append.index, append.entry, now_ms)
    log.entries[append.index] = SignedEntry(entry, signed_by, append.digest)
    log.write_key = append.next_write_key or log.write_key
    log.read_token_hash = append.next_read_token_hash or log.read_token_hash
    log.next_index += 1
    log.used_day = max(log.used_day, now_ms // _DAY_MS)


def _in_the_way(log: GroupLog, append: GroupAppend, quota: LogQuota, kept_since_ms: int) -> list[int]:
    """The oldest entries that must go for this one; raises QuotaExceeded if one of them came too lately."""
    entries = len(log.entries) + 1
    size = sum(len(signed.entry.entry) for signed in log.entries.values()) + len(append.entry)
    gone = []
    for index, signed in log.entries.items():
        if entries <= quota.entries and size <= quota.bytes:
            break
        if signed.entry.at_ms >= kept_since_ms:
            raise QuotaExceeded("the log is full, and what is in it came too lately to make room")
        entries, size = entries - 1, size - len(signed.entry.entry)
        gone.append(index)
    return gone
