"""Sealed columns in PostgreSQL: which there are, and from one key to the next. Each node has a copy of the key file.

Which key seals is said in the database, not in the files: the newest that is noted in column_keys. A key that a file has
beyond that opens, once it is used, and seals nothing yet; so each node gets it first, and then all use it from one commit on.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.adapters.column_keys import ID_BYTES, ColumnKeys, NotOpened, key_id_of, read_keys, write_keys
from relay.adapters.data_folder import StartRefused
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

    def any_older(self) -> str:
        """Statement for ($1 current id): a row if another key seals something, also where somebody holds a lock."""
        return (
            f"SELECT 1 FROM {self.table} "  # noqa: S608
            f"WHERE {self.column} IS NOT NULL AND substr({self.column}, 1, {ID_BYTES}) <> $1 LIMIT 1"
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


_CURRENT: Final = "SELECT key_id FROM column_keys ORDER BY key_id DESC LIMIT 1 FOR SHARE"
_HOW: Final = (
    "there is no newer key: `tokenim-relay keys add` puts one into this node's key file; copy that file to each node, send "
    "SIGHUP to each, and run this again"
)


async def seal(transaction: Transaction, place: str, row: bytes, plain: bytes) -> bytes:
    """By the key that seals on all nodes, which is not forgotten before this transaction ends. Raises Unavailable, NotOpened."""
    return transaction.keys.seal(place, row, plain, by=await _current(transaction))


async def _current(transaction: Transaction) -> int:
    row = await transaction.one(_CURRENT)
    if row is None:
        raise Unavailable("the key that seals was forgotten a moment ago: there is a newer one")
    return int(row[0])


async def check_keys(database: Database, path: Path) -> None:
    """Raise StoreUnreachable unless the file has each key that sealed something here; note the first one of a new database."""

    async def note_first(transaction: Transaction) -> None:
        if not await _prove_alone(transaction, database.keys, path):
            await _note_newest(transaction, database.keys)

    if not await _prove(database, database.keys, path):
        await database.run(note_first)


async def _prove(reading: Database | Transaction, keys: ColumnKeys, path: Path) -> set[int]:
    """The keys that are noted; raises StoreUnreachable unless the file has each of them."""
    noted = set()
    for key_id, proof in await reading.rows("SELECT key_id, proof FROM column_keys"):
        try:
            keys.open(PROOF, key_id.to_bytes(ID_BYTES, "big"), proof)
        except NotOpened as error:
            raise StoreUnreachable(
                f"{path}: this is not the key file of this database (key {key_id}): each node has the same file; "
                "copy it from a node that runs, or, of a restored database, take the file as it was at its backup"
            ) from error
        noted.add(key_id)
    return noted


async def _prove_alone(transaction: Transaction, keys: ColumnKeys, path: Path) -> set[int]:
    """The same before a key is noted: nobody else notes one until this transaction ends. Who seals goes on."""
    await transaction.execute("LOCK TABLE column_keys IN SHARE ROW EXCLUSIVE MODE")
    return await _prove(transaction, keys, path)


async def _note_newest(transaction: Transaction, keys: ColumnKeys) -> None:
    key_id = keys.current
    proof = keys.seal(PROOF, key_id.to_bytes(ID_BYTES, "big"), b"")
    await transaction.execute("INSERT INTO column_keys VALUES ($1, $2)", key_id, proof)


class PostgresSealing:
    """Sealing on one database. `path` is this node's key file."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._keys = database.keys
        self._path = path
        self._changing = asyncio.Lock()

    async def keys(self) -> tuple[KeyUse, ...]:
        """Counted over all sealed columns."""
        current = await self._database.run(_current)
        found: dict[int, int] = dict.fromkeys(sorted(self._keys.keys), 0)
        for column in COLUMNS:
            counted = await self._database.rows(
                f"SELECT substr({column.column}, 1, {ID_BYTES}), count(*) FROM {column.table} "  # noqa: S608
                f"WHERE {column.column} IS NOT NULL GROUP BY 1"
            )
            for head, count in counted:
                key_id = key_id_of(head)
                found[key_id] = found.get(key_id, 0) + count
        return tuple(KeyUse(key_id, key_id == current, count) for key_id, count in found.items())

    async def reload(self) -> None:
        """Another file with a newer key, or without one that was forgotten, takes the place of this one. Raises Conflict."""
        async with self._changing:
            await self._read()

    async def _read(self) -> set[int]:
        try:
            keys = ColumnKeys(await asyncio.to_thread(read_keys, self._path))
            noted = await _prove(self._database, keys, self._path)
        except (StartRefused, StoreUnreachable) as error:
            raise Conflict(str(error)) from error
        self._keys.replace(keys.keys)
        return noted

    async def begin(self) -> bool:
        """All nodes seal by the newest key of this node's file from now on. Raises Conflict if there is none: it makes none,
        since no node can write the files of the others. Also if another node begins with another key at the same time.
        """

        async def operation(transaction: Transaction) -> bool:
            if self._keys.current in await _prove_alone(transaction, self._keys, self._path):
                return False  # another node did it a moment ago
            await _note_newest(transaction, self._keys)
            return True

        async with self._changing:
            noted = await self._read()
            if self._keys.current in noted:
                if len(noted) == 1 and len(self._keys.keys) == 1:
                    raise Conflict(_HOW)
                return False
            try:
                return await self._database.run(operation)
            except StoreUnreachable as error:
                raise Conflict(str(error)) from error

    async def reseal(self, *, limit: int) -> int:
        """A piece of one column, in one transaction."""

        async def operation(transaction: Transaction) -> int:
            current = await _current(transaction)
            for column in COLUMNS:
                rows = await transaction.rows(column.older(), current.to_bytes(ID_BYTES, "big"), limit)
                sealed = [
                    (
                        self._keys.seal(
                            column.place, row, self._keys.open(column.place, row, value), by=current
                        ),
                        key,
                    )
                    for key, row, value in rows
                ]
                if sealed:
                    await transaction.execute_many(column.update(), sealed)
                    return len(sealed)
            return 0

        return await self._database.run(operation)

    async def finish(self) -> tuple[int, ...]:
        """First the rows that tell of the old keys go, then the keys: a kill between the two leaves a key too many."""

        async def operation(transaction: Transaction) -> int:
            current = await _current(transaction)
            # Whoever seals by one of these is waited for; what it sealed is seen by the statements that follow.
            await transaction.rows("SELECT 1 FROM column_keys WHERE key_id < $1 FOR UPDATE", current)
            for column in COLUMNS:
                if await transaction.rows(column.any_older(), current.to_bytes(ID_BYTES, "big")):
                    raise Unavailable("an older key still seals something: seal that first")
            await transaction.execute("DELETE FROM column_keys WHERE key_id < $1", current)
            return current

        async with self._changing:
            current = await self._database.run(operation)
            kept = {key_id: key for key_id, key in self._keys.keys.items() if key_id >= current}
            gone = tuple(sorted(self._keys.keys.keys() - kept.keys()))
            if gone:
                await asyncio.to_thread(write_keys, self._path, kept)
                self._keys.replace(await asyncio.to_thread(read_keys, self._path))
            return gone
