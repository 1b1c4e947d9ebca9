"""Sealed columns in PostgreSQL: which there are, and from one key to the next. Each node has the same key file."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.adapters.column_keys import ID_BYTES, ColumnKeys, NotOpened, key_id_of, read_keys, write_keys
from relay.ports.sealing import KeyUse
from relay.wire.errors import Conflict, Unavailable

from .database import Database, StoreUnreachable, Transaction

PROOF: Final = "column_keys.proof"
PUBLIC_TOKEN: Final = "handles.public_token"  # noqa: S105  (a column's name)
HANDLE_KEY: Final = "transparency_log.handle_key"
PUSH_ADDRESS: Final = "push_registrations.sealed"
ONLY_ROW: Final = b""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column, the table's key, and what a value is bound to beside its place: a column, or nothing (one row)."""

    table: str
    column: str
    key: str
    row: str | None

    @property
    def place(self) -> str:
        """What its values are bound to."""
        return f"{self.table}.{self.column}"

    def older(self) -> str:
        """Statement for ($1 current id, $2 limit): key, what the value is bound to, value; locked, those of others passed by."""
        row = self.row or "''::bytea"
        return (
            f"SELECT {self.key}, {row}, {self.column} FROM {self.table} "  # noqa: S608
            f"WHERE {self.column} IS NOT NULL AND substr({self.column}, 1, {ID_BYTES}) <> $1 "
            f"ORDER BY {self.key} LIMIT $2 FOR UPDATE SKIP LOCKED"
        )

    def update(self) -> str:
        """Statement that puts another value in a row."""
        return f"UPDATE {self.table} SET {self.column} = $1 WHERE {self.key} = $2"  # noqa: S608


COLUMNS: Final = (
    SealedColumn("handles", "public_token", "handle", "account_id"),
    SealedColumn("transparency_log", "handle_key", "only_row", None),
    SealedColumn("push_registrations", "sealed", "device_id", "device_id"),
)
"""All that there are."""


async def check_keys(database: Database, path: Path) -> None:
    """Raise StoreUnreachable unless the file has each key that sealed something here; note the newest."""
    for key_id, proof in await database.rows("SELECT key_id, proof FROM column_keys"):
        try:
            database.keys.open(PROOF, key_id.to_bytes(ID_BYTES, "big"), proof)
        except NotOpened as error:
            raise StoreUnreachable(
                f"{path}: this is not the key file of this database (key {key_id}): each node has the same file; "
                "copy it from a node that runs"
            ) from error
    await database.run(lambda transaction: _note_newest(transaction, database.keys))


async def _note_newest(transaction: Transaction, keys: ColumnKeys) -> None:
    key_id = keys.current
    proof = keys.seal(PROOF, key_id.to_bytes(ID_BYTES, "big"), b"")
    await transaction.execute("INSERT INTO column_keys VALUES ($1, $2) ON CONFLICT DO NOTHING", key_id, proof)


class PostgresSealing:
    """Sealing on one database. `path` is this node's key file."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._keys = database.keys
        self._path = path
        self._changing = asyncio.Lock()

    async def keys(self) -> tuple[KeyUse, ...]:
        """Counted over all sealed columns."""
        found: dict[int, int] = dict.fromkeys(sorted(self._keys.keys), 0)
        for column in COLUMNS:
            counted = await self._database.rows(
                f"SELECT substr({column.column}, 1, {ID_BYTES}), count(*) FROM {column.table} "  # noqa: S608
                f"WHERE {column.column} IS NOT NULL GROUP BY 1"
            )
            for head, count in counted:
                key_id = key_id_of(head)
                found[key_id] = found.get(key_id, 0) + count
        return tuple(KeyUse(key_id, key_id == self._keys.current, count) for key_id, count in found.items())

    async def begin(self) -> bool:
        """False where the file has a newer key already; else raises Conflict: no node can write the files of the others."""
        async with self._changing:
            if len(self._keys.keys) == 1:
                raise Conflict(
                    "each node reads its own copy of the key file: stop all nodes, add a key to the file, copy it to "
                    "each node, start them, and run this again"
                )
            await self._database.run(lambda transaction: _note_newest(transaction, self._keys))
            return False

    async def reseal(self, *, limit: int) -> int:
        """A piece of one column, in one transaction."""
        current = self._keys.current.to_bytes(ID_BYTES, "big")

        async def operation(transaction: Transaction) -> int:
            for column in COLUMNS:
                rows = await transaction.rows(column.older(), current, limit)
                sealed = [
                    (self._keys.seal(column.place, row, self._keys.open(column.place, row, value)), key)
                    for key, row, value in rows
                ]
                if sealed:
                    await transaction.execute_many(column.update(), sealed)
                    return len(sealed)
            return 0

        return await self._database.run(operation)

    async def finish(self) -> tuple[int, ...]:
        """First the rows that tell of the old keys go, then the keys: a kill between the two leaves a key too many."""
        async with self._changing:
            current = self._keys.current

            async def operation(transaction: Transaction) -> None:
                for column in COLUMNS:
                    if await transaction.rows(column.older(), current.to_bytes(ID_BYTES, "big"), 1):
                        raise Unavailable("an older key still seals something: seal that first")
                await transaction.execute("DELETE FROM column_keys WHERE key_id <> $1", current)

            await self._database.run(operation)
            gone = tuple(sorted(self._keys.keys.keys() - {current}))
            if gone:
                kept = {current: self._keys.keys[current]}
                await asyncio.to_thread(write_keys, self._path, kept)
                self._keys.replace(await asyncio.to_thread(read_keys, self._path))
            return gone
