"""The read side: does not wait for the writer, and sees everything that was committed before it asked."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import aiosqlite

from relay.adapters.column_keys import ColumnKeys
from relay.wire.errors import Unavailable


class Reader:
    """Statements on the reading connection; each is a snapshot of its own."""

    def __init__(self, connection: aiosqlite.Connection, keys: ColumnKeys) -> None:
        self.keys: Final = keys
        self._connection = connection

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows; raises Unavailable if the file cannot be read."""
        try:
            return list(await self._connection.execute_fetchall(statement, parameters))  # type: ignore[arg-type]
        except sqlite3.DatabaseError as error:
            raise Unavailable from error

    async def one(self, statement: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row or None."""
        found = await self.rows(statement, parameters)
        return found[0] if found else None
