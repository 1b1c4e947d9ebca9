"""The migration that begins the transparency log: enters every manifest and handle that is there, in the order they came.

Part of a migration that has landed: it does not change, and uses nothing but what the protocol fixes.
"""

from collections.abc import AsyncIterator
from typing import Final

import aiosqlite

from relay.ports.clock import Randomness
from relay.wire.log_leaves import Leaf, handle_leaf, handle_salt, handle_subject, manifest_leaf
from relay.wire.manifests import parse_manifest
from relay.wire.merkle import completed_by, leaf_hash, left_of, nodes_before

from .writer import Row

_PIECE_ROWS: Final = 1_000
# Row ids count up as rows are added, so they tell the order in which manifests were accepted.
_MANIFESTS: Final = "SELECT rowid, body FROM manifests WHERE rowid > ? ORDER BY rowid LIMIT ?"
_HANDLES: Final = "SELECT rowid, handle, account_id FROM handles WHERE rowid > ? ORDER BY rowid LIMIT ?"


async def enter_existing(connection: aiosqlite.Connection, randomness: Randomness, _keys: object) -> None:
    """Give the log its id and key, then enter all there is; within the migration's transaction."""
    log_id, handle_key = randomness(32), randomness(32)
    await connection.execute_fetchall(
        "INSERT INTO transparency_log VALUES (1, ?, ?, 0)", (log_id, handle_key)
    )
    growing = _Growing(connection)
    async for rows in _pieces(connection, _MANIFESTS):
        manifests = [parse_manifest(body) for _, body in rows]
        await growing.add([manifest_leaf(each.account_id, each.version, each.hash) for each in manifests])
    async for rows in _pieces(connection, _HANDLES):
        subjects = [handle_subject(handle_salt(handle_key, handle), handle) for _, handle, _ in rows]
        await growing.add(
            [handle_leaf(subject, 1, row[2]) for subject, row in zip(subjects, rows, strict=True)]
        )


async def _pieces(connection: aiosqlite.Connection, statement: str) -> AsyncIterator[list[Row]]:
    last = 0
    while rows := [tuple(row) for row in await connection.execute_fetchall(statement, (last, _PIECE_ROWS))]:
        yield rows
        last = rows[-1][0]


class _Growing:
    """A log from its first leaf on; remembers the complete subtrees that the next leaf may be joined with."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._size = 0
        self._peaks: list[bytes] = []  # largest first

    async def add(self, leaves: list[Leaf]) -> None:
        """Enter these next."""
        rows: list[Row] = []
        nodes: list[Row] = []
        for leaf in leaves:
            joined = len(left_of(self._size))
            kept = len(self._peaks) - joined
            made = completed_by(leaf_hash(leaf.encode()), self._peaks[kept:][::-1])
            self._peaks[kept:] = [made[-1]]
            nodes += enumerate(made, nodes_before(self._size))
            rows.append((self._size, leaf.kind, leaf.subject, leaf.version, leaf.value_hash))
            self._size += 1
        await self._connection.executemany("INSERT INTO transparency_leaves VALUES (?, ?, ?, ?, ?)", rows)
        await self._connection.executemany("INSERT INTO transparency_nodes VALUES (?, ?)", nodes)
