"""Sealed columns in SQLite: which there are, how the first values were sealed, and from one key to the next."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiosqlite

from relay.adapters.column_keys import (
    ID_BYTES,
    KEY_BYTES,
    ColumnKeys,
    NotOpened,
    key_id_of,
    read_keys,
    write_keys,
)
from relay.ports.clock import Randomness
from relay.ports.sealing import KeyUse
from relay.wire.errors import Unavailable

from .connection import StoreUnusable
from .reader import Reader
from .writer import Transaction, Writer

PROOF: Final = "column_keys.proof"
PUBLIC_TOKEN: Final = "handles.public_token"  # noqa: S105  (a column's name)
HANDLE_KEY: Final = "transparency_log.handle_key"
PUSH_ADDRESS: Final = "push_registrations.sealed"
ONLY_ROW: Final = b""
_PIECE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column, and the one that tells its row; None: the table has one row."""

    table: str
    column: str
    row: str | None

    @property
    def place(self) -> str:
        """What its values are bound to."""
        return f"{self.table}.{self.column}"

    def select(self, condition: str) -> str:
        """Statement for (rowid, what tells the row, value) of those that are there and fit."""
        row = self.row or "x''"
        return (
            f"SELECT rowid, {row}, {self.column} FROM {self.table} WHERE {self.column} IS NOT NULL{condition}"  # noqa: S608
        )

    def update(self) -> str:
        """Statement that puts another value in a row."""
        return f"UPDATE {self.table} SET {self.column} = ? WHERE rowid = ?"  # noqa: S608


COLUMNS: Final = (
    SealedColumn("handles", "public_token", "account_id"),
    SealedColumn("transparency_log", "handle_key", None),
    SealedColumn("push_registrations", "sealed", "device_id"),
)
"""All that there are. A new one comes here, with a migration that seals what stands in it."""
_OLDER: Final = f" AND substr({{column}}, 1, {ID_BYTES}) <> ? LIMIT ?"


async def seal_existing(connection: aiosqlite.Connection, _randomness: Randomness, keys: ColumnKeys) -> None:
    """The migration that begins it: what stands in the clear is sealed, within the migration's transaction."""
    for column in COLUMNS[:2]:  # those of that schema
        last = -1
        while rows := list(
            await connection.execute_fetchall(
                column.select(" AND rowid > ? ORDER BY rowid LIMIT ?"), (last, _PIECE_ROWS)
            )
        ):
            sealed = [(keys.seal(column.place, row, bytes(value)), number) for number, row, value in rows]
            await connection.executemany(column.update(), sealed)
            last = rows[-1][0]


async def check_keys(connection: aiosqlite.Connection, keys: ColumnKeys, path: Path) -> None:
    """Raise StoreUnusable unless the file has each key that sealed something here; note the newest.

    Without effect on a database of a schema that seals nothing.
    """
    if not list(await connection.execute_fetchall("SELECT 1 FROM sqlite_schema WHERE name = 'column_keys'")):
        return
    for key_id, proof in await connection.execute_fetchall("SELECT key_id, proof FROM column_keys"):
        try:
            keys.open(PROOF, key_id.to_bytes(ID_BYTES, "big"), proof)
        except NotOpened as error:
            raise StoreUnusable(
                f"{path}: this is not the key file of this database (key {key_id}): put the right one back; "
                "without it what it sealed is lost"
            ) from error
    await connection.execute_fetchall("INSERT OR IGNORE INTO column_keys VALUES (?, ?)", proof_of(keys))


def proof_of(keys: ColumnKeys) -> tuple[int, bytes]:
    """The row that tells a key from another one of its id."""
    key_id = keys.current
    return key_id, keys.seal(PROOF, key_id.to_bytes(ID_BYTES, "big"), b"")


class SqliteSealing:
    """Sealing on one file. `path` is the key file, which this process alone writes."""

    def __init__(self, writer: Writer, reader: Reader, path: Path, randomness: Randomness) -> None:
        self._writer = writer
        self._reader = reader
        self._keys = writer.keys
        self._path = path
        self._randomness = randomness
        self._changing = asyncio.Lock()

    async def keys(self) -> tuple[KeyUse, ...]:
        """Counted over all sealed columns."""
        found: dict[int, int] = dict.fromkeys(sorted(self._keys.keys), 0)
        for column in COLUMNS:
            counted = await self._reader.rows(
                f"SELECT substr({column.column}, 1, {ID_BYTES}), count(*) FROM {column.table} "  # noqa: S608
                f"WHERE {column.column} IS NOT NULL GROUP BY 1"
            )
            for head, count in counted:
                key_id = key_id_of(head)
                found[key_id] = found.get(key_id, 0) + count
        return tuple(KeyUse(key_id, key_id == self._keys.current, count) for key_id, count in found.items())

    async def reload(self) -> None:
        """Nobody else changes the file."""

    async def begin(self) -> bool:
        """The file has the new key before anything is sealed by it."""
        async with self._changing:
            if len(self._keys.keys) > 1:
                await self._note_newest()  # it may have been killed before that
                return False
            wanted = {**self._keys.keys, self._keys.current + 1: self._randomness(KEY_BYTES)}
            await self._write(wanted)
            await self._note_newest()
            return True

    async def _note_newest(self) -> None:
        async def operation(transaction: Transaction) -> None:
            await transaction.rows("INSERT OR IGNORE INTO column_keys VALUES (?, ?)", proof_of(self._keys))

        await self._writer.run(operation, frees=True, single=True)

    async def reseal(self, *, limit: int) -> int:
        """A piece of one column, in one transaction."""
        current = self._keys.current.to_bytes(ID_BYTES, "big")

        async def operation(transaction: Transaction) -> int:
            for column in COLUMNS:
                older = column.select(_OLDER.format(column=column.column))
                rows = await transaction.rows(older, (current, limit))
                for number, row, value in rows:
                    plain = self._keys.open(column.place, row, value)
                    transaction.later(column.update(), (self._keys.seal(column.place, row, plain), number))
                if rows:
                    return len(rows)
            return 0

        return await self._writer.run(operation, frees=True)

    async def finish(self) -> tuple[int, ...]:
        """First the rows that tell of the old keys go, then the keys: a kill between the two leaves a key too many."""
        async with self._changing:
            current = self._keys.current

            async def operation(transaction: Transaction) -> None:
                for column in COLUMNS:
                    older = column.select(_OLDER.format(column=column.column))
                    if await transaction.rows(older, (current.to_bytes(ID_BYTES, "big"), 1)):
                        raise Unavailable("an older key still seals something: seal that first")
                await transaction.rows("DELETE FROM column_keys WHERE key_id <> ?", (current,))

            await self._writer.run(operation, frees=True)
            gone = tuple(sorted(self._keys.keys.keys() - {current}))
            if gone:
                await self._write({current: self._keys.keys[current]})
            return gone

    async def _write(self, keys: dict[int, bytes]) -> None:
        """To the file, and only then into use; what is in the file is what counts."""
        await asyncio.to_thread(write_keys, self._path, keys)
        self._keys.replace(await asyncio.to_thread(read_keys, self._path))
