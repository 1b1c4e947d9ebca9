"""The audit log in SQLite: a row costs one read and two writes in the commit of what it records, at any size."""

from typing import Final

from relay.ports.audit import AuditEntry
from relay.wire.audit_rows import AuditRow, Details, KeptParty, PartyKind, Tip, day_of

from .reader import Reader
from .writer import Row, Transaction, Writer

ROW_COLUMNS: Final = """row_index, at_ms, leaf_hash, signature, action, outcome, detail,
    actor_kind, actor_id, actor_salt, actor_hash, subject_kind, subject_id, subject_salt, subject_hash"""
TIP: Final = "SELECT size, peaks, signature FROM audit_log"
_ROWS: Final = f"SELECT {ROW_COLUMNS} FROM audit_rows WHERE row_index >= ? ORDER BY row_index LIMIT ?"  # noqa: S608
_FIRST: Final = """coalesce((SELECT min(row_index) FROM audit_rows INDEXED BY audit_rows_by_time
    WHERE action IS NOT NULL AND {}), 9223372036854775807)"""
# The index finds where rows of this time or of its day begin, so that only rows from there on are looked at.
_NEWEST: Final = f"""SELECT {ROW_COLUMNS} FROM audit_rows
    WHERE row_index >= min({_FIRST.format("at_ms >= ?1")}, {_FIRST.format("at_ms = ?2")})
        AND row_index < ?3 AND action IS NOT NULL AND (at_ms >= ?1 OR at_ms = ?2)
    ORDER BY row_index DESC LIMIT ?4"""  # noqa: S608
_NEWEST_OF_ALL: Final = f"""SELECT {ROW_COLUMNS} FROM audit_rows WHERE row_index < ? AND action IS NOT NULL
    ORDER BY row_index DESC LIMIT ?"""  # noqa: S608
_NO_ROW: Final = 2**63 - 1
_HASH_BYTES: Final = 32


def tip_of(size: int, peaks: bytes, signature: bytes) -> Tip:
    """What the row of `audit_log` says."""
    return Tip(
        size, tuple(peaks[at : at + _HASH_BYTES] for at in range(0, len(peaks), _HASH_BYTES)), signature
    )


def row_of(row: Row) -> AuditRow:
    """What a row with ROW_COLUMNS says."""
    index, at_ms, leaf_hash, signature, action, outcome, detail, *parties = row
    details = None
    if action is not None:
        details = Details(action, KeptParty(*parties[:4]), KeptParty(*parties[4:]), outcome, detail)
    return AuditRow(index, at_ms, details, leaf_hash, signature)


class SqliteAudit:
    """AuditStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def tip(self) -> Tip:
        """Where the log stands."""
        ((size, peaks, signature),) = await self._reader.rows(TIP)
        return tip_of(size, peaks, signature)

    async def append(self, entry: AuditEntry) -> None:
        """A row in a commit of its own; on a full disk too, where the reserve has room for it."""

        async def operation(transaction: Transaction) -> None:
            await append_entry(transaction, entry)

        await self._writer.run(operation, frees=True)

    async def rows(self, first: int, limit: int) -> tuple[AuditRow, ...]:
        """Rows from this one on."""
        return tuple(row_of(row) for row in await self._reader.rows(_ROWS, (first, limit)))

    async def newest(self, *, since_ms: int, before: int | None, limit: int) -> tuple[AuditRow, ...]:
        """Rows with details, newest first."""
        end = _NO_ROW if before is None else before
        if since_ms == 0:
            return tuple(row_of(row) for row in await self._reader.rows(_NEWEST_OF_ALL, (end, limit)))
        found = await self._reader.rows(_NEWEST, (since_ms, day_of(since_ms), end, limit))
        return tuple(row_of(row) for row in found)

    async def erase(self, account_id: bytes, entry: AuditEntry, *, limit: int) -> int:
        """Erase an account's id."""

        async def operation(transaction: Transaction) -> int:
            erased = 0
            for party in ("actor", "subject"):
                erased += await _erase(transaction, party, account_id, limit - erased)
            if erased:
                await append_entry(transaction, entry.telling(erased))
            return erased

        return await self._writer.run(operation, frees=True)

    async def drop_details(self, *, before_ms: int, entry: AuditEntry, limit: int) -> int:
        """Drop the details of old rows."""

        async def operation(transaction: Transaction) -> int:
            ((kept_from,),) = await transaction.rows("SELECT kept_from FROM audit_log")
            first = kept_from
            for index, at_ms in await transaction.rows(
                "SELECT row_index, at_ms FROM audit_rows WHERE row_index >= ? ORDER BY row_index LIMIT ?",
                (kept_from, limit),
            ):
                if at_ms >= before_ms:
                    break
                first = index + 1
            if first > kept_from:
                _drop(transaction, kept_from, first)
                await append_entry(transaction, entry.telling(first))
            return int(first - kept_from)

        return await self._writer.run(operation, frees=True)


async def append_entry(transaction: Transaction, entry: AuditEntry | None) -> None:
    """Append a row, in the transaction of what it records; None: nothing is recorded."""
    if entry is None:
        return
    ((size, peaks, signature),) = await transaction.rows(TIP)
    row, tip = entry.append(tip_of(size, peaks, signature))
    details = row.details
    if details is None:
        raise ValueError("an entry has details")
    # REPLACE: what somebody put in the row's place by hand has no signature, and must not keep the relay from its work.
    transaction.later(
        f"INSERT OR REPLACE INTO audit_rows ({ROW_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, NULL)",  # noqa: S608
        (
            *(row.index, row.at_ms, row.leaf_hash, row.signature),
            *(details.action, details.outcome, details.detail),
            *(details.actor.kind, details.actor.id, details.actor.salt),
            *(details.subject.kind, details.subject.id, details.subject.salt),
        ),
    )
    transaction.later(
        "UPDATE audit_log SET size = ?, peaks = ?, signature = ?",
        (tip.size, b"".join(tip.peaks), tip.signature),
    )


async def _erase(transaction: Transaction, party: str, account_id: bytes, limit: int) -> int:
    """Take the id out of rows where it is this party; how many."""
    rows = await transaction.rows(
        f"SELECT row_index, {party}_salt FROM audit_rows WHERE {party}_id = ? AND {party}_kind = ? LIMIT ?",  # noqa: S608
        (account_id, PartyKind.ACCOUNT, limit),
    )
    for index, salt in rows:
        transaction.later(
            f"UPDATE audit_rows SET {party}_id = NULL, {party}_salt = NULL, {party}_hash = ? WHERE row_index = ?",  # noqa: S608
            (KeptParty(PartyKind.ACCOUNT, account_id, salt).commitment, index),
        )
    return len(rows)


def _drop(transaction: Transaction, kept_from: int, first: int) -> None:
    """Rows from `kept_from` up to `first` lose their details; time and signature of the last one are still covered by a row."""
    transaction.later(
        """UPDATE audit_rows SET action = NULL, outcome = NULL, detail = NULL,
               actor_kind = NULL, actor_id = NULL, actor_salt = NULL, actor_hash = NULL,
               subject_kind = NULL, subject_id = NULL, subject_salt = NULL, subject_hash = NULL
           WHERE row_index >= ? AND row_index < ?""",
        (kept_from, first),
    )
    transaction.later(
        "UPDATE audit_rows SET at_ms = 0, signature = NULL WHERE row_index >= ? AND row_index < ?",
        (kept_from - 1, first - 1),
    )
    transaction.later("UPDATE audit_log SET kept_from = ?", (first,))
