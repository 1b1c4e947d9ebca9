"""The logs of accounts in memory."""

from itertools import takewhile

from relay.ports.sealed_logs import Appended, LogEntry, LogPage, LogQuota, PageSize
from relay.wire.errors import Conflict, NotFound, QuotaExceeded

from .image import AccountLog, Gate


class MemoryAccountLogs:
    """AccountLogStore in memory."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._accounts = gate.image.accounts
        self._logs = gate.image.account_logs

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
        """Put the entry at the end."""

        def change() -> Appended:
            log = self._logs.get((account_id, name), AccountLog())
            if index < log.next_index:
                standing = log.entries.get(index)
                if standing is None or standing.entry != entry:
                    raise Conflict("another entry stands at this index: read on from it")
                return Appended(standing.at_ms, is_new=False)
            if index > log.next_index:
                raise Conflict("this log is not that long: read where it ends")
            if account_id not in self._accounts:
                raise NotFound("there is no such account")
            others = [each for (owner, _), each in self._logs.items() if owner == account_id]
            if (account_id, name) not in self._logs and len(others) >= max_logs:
                raise QuotaExceeded(f"an account has at most {max_logs} logs")
            kept = [each.entry for one in others for each in one.entries.values()]
            if len(kept) >= quota.entries or sum(map(len, kept)) + len(entry) > quota.bytes:
                raise QuotaExceeded("the account's logs are full: trim one of them")
            log.entries[index] = LogEntry(index, entry, now_ms)
            log.next_index += 1
            self._logs[account_id, name] = log
            return Appended(now_ms, is_new=True)

        return await self._gate.commit(change)

    async def read(self, account_id: bytes, name: str, *, from_index: int, size: PageSize) -> LogPage:
        """The entries from this index on."""
        self._gate.check()
        log = self._logs.get((account_id, name), AccountLog())
        return LogPage(fitting(log.entries, from_index, size), log.first_index, log.next_index)

    async def trim(self, account_id: bytes, name: str, *, before: int, limit: int) -> int:
        """Remove the oldest."""

        def change() -> int:
            log = self._logs.get((account_id, name), AccountLog())
            if before > log.next_index:
                raise Conflict("this log is not that long: read where it ends")
            gone = [index for index in log.entries if index < before][:limit]
            for index in gone:
                del log.entries[index]
            log.first_index += len(gone)
            return len(gone)

        return await self._gate.commit(change)


def fitting(entries: dict[int, LogEntry], from_index: int, size: PageSize) -> tuple[LogEntry, ...]:
    """The entries from this index on that fit into a page; `entries` are in order."""
    wanted = [entry for index, entry in entries.items() if index >= from_index][: size.entries]
    totals = {
        entry.index: sum(len(each.entry) for each in wanted[: number + 1])
        for number, entry in enumerate(wanted)
    }
    return tuple(takewhile(lambda entry: totals[entry.index] <= size.bytes, wanted))
