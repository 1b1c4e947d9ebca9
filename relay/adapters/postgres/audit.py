"""The audit log in PostgreSQL: a row costs one read and two writes in the commit of what it records, at any size.

Whoever appends holds the log's row until the commit; it is the last that a transaction locks, so others wait for a commit.
"""

from typing import Final

from relay.ports.audit import AuditEntry
from relay.wire.audit_rows import AuditRow, Details, KeptParty, PartyKind, Tip, day_of

from .database import Database, Row, Transaction

ROW_COLUMNS: Final = """row_index, at_ms, leaf_hash, signature, action, outcome, detail,
    actor_kind, actor_id, actor_salt, actor_hash, subject_kind, subject_id, subject_salt, subject_hash"""
TIP: Final = "SELECT size, peaks, signature FROM audit_log"
_LOCKED_TIP: Final = TIP + " FOR UPDATE"
_ROWS: Final = f"SELECT {ROW_COLUMNS} FROM audit_rows WHERE row_index >= $1 ORDER BY row_index LIMIT $2"  # noqa: S608
# The index finds where rows of this time or of its day begin, so that only rows from there on are looked at.
_FIRST: Final = """coalesce((SELECT min(row_index) FROM audit_rows
    WHERE action IS NOT NULL AND {}), 9223372036854775807)"""
_NEWEST: Final = f"""SELECT {ROW_COLUMNS} FROM audit_rows
    WHERE row_index >= least({_FIRST.format("at_ms >= $1")}, {_FIRST.format("at_ms = $2")})
        AND row_index < $3 AND action IS NOT NULL AND (at_ms >= $1 OR at_ms = $2)
    ORDER BY row_index DESC LIMIT $4"""  # noqa: S608
_NEWEST_OF_ALL: Final = f"""SELECT {ROW_COLUMNS} FROM audit_rows WHERE row_index < $1 AND action IS NOT NULL
    ORDER BY row_index DESC LIMIT $2"""  # noqa: S608
# What somebody put in the row's place by hand has no signature, and must not keep the relay from its work.
_APPEND: Final = f"""INSERT INTO audit_rows ({ROW_COLUMNS})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, $12, $13, NULL)
    ON CONFLICT (row_index) DO UPDATE SET
        (at_ms, leaf_hash, signature, action, outcome, detail, actor_kind, actor_id, actor_salt, actor_hash,
         subject_kind, subject_id, subject_salt, subject_hash)
        = ($2, $3, $4, $5, $6, $7, $8, $9, $10, NULL, $11, $12, $13, NULL)"""  # noqa: S608
_NO_ROW: Final = 2**63 - 1
_HASH_BYTES: Final = 32


def tip_of(row: Row) -> Tip:
    """What the row of `audit_log` says."""
    size, peaks, signature = row
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


class PostgresAudit:
    """AuditStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tip(self) -> Tip:
        """Where the log stands."""
        (row,) = await self._database.rows(TIP)
        return tip_of(row)

    async def append(self, entry: AuditEntry) -> None:
        """A row in a commit of its own."""
        await self._database.run(lambda transaction: append_entry(transaction, entry))

    async def rows(self, first: int, limit: int) -> tuple[AuditRow, ...]:
        """Rows from this one on."""
        return tuple(row_of(row) for row in await self._database.rows(_ROWS, first, limit))

    async def newest(self, *, since_ms: int, before: int | None, limit: int) -> tuple[AuditRow, ...]:
        """Rows with details, newest first."""
        end = _NO_ROW if before is None else before
        if since_ms == 0:
            found = await self._database.rows(_NEWEST_OF_ALL, end, limit)
        else:
            found = await self._database.rows(_NEWEST, since_ms, day_of(since_ms), end, limit)
        return tuple(row_of(row) for row in found)

    async def erase(self, account_id: bytes, entry: AuditEntry, *, limit: int) -> int:
        """Erase an account's id."""

        async def operation(transaction: Transaction) -> int:
            await transaction.rows(_LOCKED_TIP)
            erased = 0
            for party in ("actor", "subject"):
                erased += await _erase(transaction, party, account_id, limit - erased)
            if erased:
                await append_entry(transaction, entry.telling(erased))
            return erased

        return await self._database.run(operation)

    async def drop_details(self, *, before_ms: int, entry: AuditEntry, limit: int) -> int:
        """Drop the details of old rows."""

        async def operation(transaction: Transaction) -> int:
            ((kept_from,),) = await transaction.rows("SELECT kept_from FROM audit_log FOR UPDATE")
            first = int(kept_from)
            for index, at_ms in await transaction.rows(
                "SELECT row_index, at_ms FROM audit_rows WHERE row_index >= $1 ORDER BY row_index LIMIT $2",
                kept_from,
                limit,
            ):
                if at_ms >= before_ms:
                    break
                first = index + 1
            if first > kept_from:
                await _drop(transaction, kept_from, first)
                await append_entry(transaction, entry.telling(first))
            return first - int(kept_from)

        return await self._database.run(operation)


async def append_entry(transaction: Transaction, entry: AuditEntry | None) -> None:
    """Append a row, in the transaction of what it records and as the last thing in it; None: nothing is recorded."""
    if entry is None:
        return
    (locked,) = await transaction.rows(_LOCKED_TIP)
    row, tip = entry.append(tip_of(locked))
    details = row.details
    if details is None:
        raise ValueError("an entry has details")
    await transaction.execute(
        _APPEND,
        *(row.index, row.at_ms, row.leaf_hash, row.signature),
        *(str(details.action), str(details.outcome), str(details.detail)),
        *(details.actor.kind, details.actor.id, details.actor.salt),
        *(details.subject.kind, details.subject.id, details.subject.salt),
    )
    await transaction.execute(
        "UPDATE audit_log SET size = $1, peaks = $2, signature = $3",
        tip.size,
        b"".join(tip.peaks),
        tip.signature,
    )


async def _erase(transaction: Transaction, party: str, account_id: bytes, limit: int) -> int:
    """Take the id out of rows where it is this party; how many."""
    rows = await transaction.rows(
        f"SELECT row_index, {party}_salt FROM audit_rows WHERE {party}_id = $1 AND {party}_kind = $2 LIMIT $3",  # noqa: S608
        account_id,
        int(PartyKind.ACCOUNT),
        limit,
    )
    await transaction.execute_many(
        f"UPDATE audit_rows SET {party}_id = NULL, {party}_salt = NULL, {party}_hash = $1 WHERE row_index = $2",  # noqa: S608
        [(KeptParty(PartyKind.ACCOUNT, account_id, salt).commitment, index) for index, salt in rows],
    )
    return len(rows)


async def _drop(transaction: Transaction, kept_from: int, first: int) -> None:
    """Rows from `kept_from` up to `first` lose their details; time and signature of the last one are still covered by a row."""
    await transaction.execute(
        """UPDATE audit_rows SET action = NULL, outcome = NULL, detail = NULL,
               actor_kind = NULL, actor_id = NULL, actor_salt = NULL, actor_hash = NULL,
               subject_kind = NULL, subject_id = NULL, subject_salt = NULL, subject_hash = NULL
           WHERE row_index >= $1 AND row_index < $2""",
        kept_from,
        first,
    )
    await transaction.execute(
        "UPDATE audit_rows SET at_ms = 0, signature = NULL WHERE row_index >= $1 AND row_index < $2",
        kept_from - 1,
        first - 1,
    )
    await transaction.execute("UPDATE audit_log SET kept_from = $1", first)
