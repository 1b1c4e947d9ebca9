"""The transparency log in PostgreSQL: each append and each proof touches as many rows as the log's size has bits.

Whoever appends holds the log's row until the commit, so leaves have no gap, whichever node they come from. That is one
point of order for all accounts: registrations and manifests, not messages, wait for each other there, a commit long.
"""

from collections.abc import Iterable
from typing import Final

from relay.ports.clock import Randomness
from relay.ports.transparency import LoggedLeaf, LogState
from relay.wire import limits
from relay.wire.log_leaves import Leaf, LeafKind, handle_leaf, handle_salt, handle_subject
from relay.wire.merkle import completed_by, leaf_hash, left_of, nodes_before

from .database import Database, Transaction
from .sealing import HANDLE_KEY, ONLY_ROW, seal

HANDLE_KEY_BYTES: Final = 32
_FIND: Final = """SELECT leaf_index, kind, subject, version, value_hash FROM transparency_leaves
    WHERE kind = $1 AND subject = $2"""
_NEWEST: Final = " ORDER BY version DESC LIMIT 1"
_NODES: Final = "SELECT node_number, hash FROM transparency_nodes WHERE node_number = ANY($1::bigint[])"
_TAKE_PLACE: Final = "UPDATE transparency_log SET size = size + 1 RETURNING size - 1"
_LOCK: Final = "SELECT 1 FROM transparency_log FOR UPDATE"
_HANDLE_KEY: Final = "SELECT handle_key FROM transparency_log"


class PostgresLog:
    """LogStore on one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> LogState:
        """Id and size."""
        ((log_id, size, head_time_ms),) = await self._database.rows(
            "SELECT log_id, size, head_time_ms FROM transparency_log"
        )
        return LogState(log_id, size, head_time_ms)

    async def note_head_time(self, time_ms: int) -> None:
        """Note it."""

        async def operation(transaction: Transaction) -> None:
            await transaction.execute(
                "UPDATE transparency_log SET head_time_ms = $1 WHERE head_time_ms < $1", time_ms
            )

        await self._database.run(operation)

    async def nodes(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """The hashes of these nodes."""
        asked = list(numbers)
        return {row[0]: row[1] for row in await self._database.rows(_NODES, asked)} if asked else {}

    async def find(self, kind: LeafKind, subject: bytes, version: int | None = None) -> LoggedLeaf | None:
        """The leaf of this version, or the newest."""
        if version is None:
            row = await self._database.one(_FIND + _NEWEST, int(kind), subject)
        else:
            row = await self._database.one(_FIND + " AND version = $3", int(kind), subject, version)
        return None if row is None else LoggedLeaf(row[0], Leaf(LeafKind(row[1]), row[2], row[3], row[4]))

    async def handle_salt(self, handle: str) -> bytes:
        """What this log hashes the handle with."""
        ((sealed,),) = await self._database.rows(_HANDLE_KEY)
        return handle_salt(self._database.keys.open(HANDLE_KEY, ONLY_ROW, sealed), handle)


async def begin_log(database: Database, randomness: Randomness) -> None:
    """The one log, if there is none yet."""
    log_id, handle_key = randomness(limits.LOG_ID_BYTES), randomness(HANDLE_KEY_BYTES)

    async def operation(transaction: Transaction) -> None:
        sealed = await seal(transaction, HANDLE_KEY, ONLY_ROW, handle_key)
        await transaction.execute(
            """INSERT INTO transparency_log (only_row, log_id, handle_key, head_time_ms) VALUES (1, $1, $2, 0)
               ON CONFLICT DO NOTHING""",
            log_id,
            sealed,
        )

    await database.run(operation)


async def append_leaf(transaction: Transaction, leaf: Leaf) -> None:
    """Enter a leaf, in the transaction of what it is about."""
    ((size,),) = await transaction.rows(_TAKE_PLACE)
    lefts = list(left_of(size))
    found = {row[0]: row[1] for row in await transaction.rows(_NODES, lefts)} if lefts else {}
    await transaction.execute(
        "INSERT INTO transparency_leaves VALUES ($1, $2, $3, $4, $5)",
        size,
        int(leaf.kind),
        leaf.subject,
        leaf.version,
        leaf.value_hash,
    )
    made = completed_by(leaf_hash(leaf.encode()), [found[number] for number in lefts])
    numbers = list(range(nodes_before(size), nodes_before(size) + len(made)))
    await transaction.execute(
        "INSERT INTO transparency_nodes SELECT * FROM unnest($1::bigint[], $2::bytea[])", numbers, list(made)
    )


async def has_leaf(transaction: Transaction, kind: LeafKind, subject: bytes) -> bool:
    """Whether the log has ever told of this subject."""
    return await transaction.one(_FIND + " LIMIT 1", int(kind), subject) is not None


async def subject_of(transaction: Transaction, handle: str) -> bytes:
    """32 B: the salted hash by which the log knows the handle."""
    ((sealed,),) = await transaction.rows(_HANDLE_KEY)
    key = transaction.keys.open(HANDLE_KEY, ONLY_ROW, sealed)
    return handle_subject(handle_salt(key, handle), handle)


async def append_handle(transaction: Transaction, handle: str, account_id: bytes | None) -> None:
    """Enter whom a handle names from now on; None: nobody."""
    subject = await subject_of(transaction, handle)
    await transaction.rows(_LOCK)
    newest = await transaction.one(_FIND + _NEWEST, int(LeafKind.HANDLE), subject)
    await append_leaf(transaction, handle_leaf(subject, newest["version"] + 1 if newest else 1, account_id))


async def start_new_log(transaction: Transaction, log_id: bytes) -> None:
    """After a restore: leaves that were made since the backup are gone, so what was signed then is of another log."""
    await transaction.execute("UPDATE transparency_log SET log_id = $1", log_id)
