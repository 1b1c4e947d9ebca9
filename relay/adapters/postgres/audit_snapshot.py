"""The audit log read beside the nodes that write it, or without any: one snapshot, row after row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from relay.adapters.column_keys import KEY_BYTES, ColumnKeys
from relay.wire.audit_rows import AuditRow, Tip

from .audit import ROW_COLUMNS, TIP, row_of, tip_of
from .database import StoreUnreachable, Transaction, open_database

ROWS_A_PAGE: Final = 1_000
_PAGE: Final = f"SELECT {ROW_COLUMNS} FROM audit_rows WHERE row_index > $1 ORDER BY row_index LIMIT $2"  # noqa: S608  (names of audit.py)
_BEFORE_ALL: Final = -(2**63)
"""Somebody may have inserted what is before row 0."""


@dataclass(frozen=True, slots=True)
class AuditSnapshot:
    """A log at one moment; `rows` can be gone through once."""

    tip: Tip
    rows: AsyncIterator[AuditRow]


@asynccontextmanager
async def open_audit_snapshot(url: str, **options: Any) -> AsyncIterator[AuditSnapshot]:
    """The log in the database of this URL, in which nothing is changed. Raises StoreUnreachable, Unavailable."""
    no_keys = ColumnKeys({1: bytes(KEY_BYTES)})
    async with (
        open_database(url, no_keys, connections=1, **options) as database,
        database.snapshot() as snapshot,
    ):
        found = await snapshot.one("SELECT to_regclass('audit_log') IS NOT NULL")
        if found is None or not found[0]:
            raise StoreUnreachable("there is no audit log yet: start a node once, which begins it")
        tip = await snapshot.one(TIP)
        if tip is None:
            raise StoreUnreachable(
                "the audit log has lost where it stands: restore the database from a backup"
            )
        yield AuditSnapshot(tip_of(tip), _rows(snapshot))


async def _rows(snapshot: Transaction) -> AsyncIterator[AuditRow]:
    last = _BEFORE_ALL
    while page := await snapshot.rows(_PAGE, last, ROWS_A_PAGE):
        for row in page:
            yield row_of(row)
        last = page[-1][0]
