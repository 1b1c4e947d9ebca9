"""The transparency log in SQLite: each append and each proof touches as many rows as the log's size has bits."""

from collections.abc import Iterable

from relay.ports.transparency import LoggedLeaf, LogState
from relay.wire.log_leaves import Leaf, LeafKind, handle_leaf, handle_salt, handle_subject
from relay.wire.merkle import completed_by, leaf_hash, left_of, nodes_before

from .reader import Reader
from .sealing import HANDLE_KEY, ONLY_ROW
from .writer import Transaction, Writer

_STATE = """SELECT log_id, (SELECT coalesce(max(leaf_index) + 1, 0) FROM transparency_leaves), head_time_ms
            FROM transparency_log"""
_FIND = "SELECT leaf_index, kind, subject, version, value_hash FROM transparency_leaves WHERE kind = ? AND subject = ?"
_NEWEST = " ORDER BY version DESC LIMIT 1"


def _nodes(count: int) -> str:
    return f"SELECT node_number, hash FROM transparency_nodes WHERE node_number IN ({','.join('?' * count)})"  # noqa: S608


class SqliteLog:
    """LogStore on one file."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def state(self) -> LogState:
        """Id and size."""
        ((log_id, size, head_time_ms),) = await self._reader.rows(_STATE)
        return LogState(log_id, size, head_time_ms)

    async def note_head_time(self, time_ms: int) -> None:
        """Note it; on a full disk too, for it takes no room."""

        async def operation(transaction: Transaction) -> None:
            await transaction.rows(
                "UPDATE transparency_log SET head_time_ms = max(head_time_ms, ?)", (time_ms,)
            )

        await self._writer.run(operation, frees=True, single=True)

    async def nodes(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """The hashes of these nodes."""
        asked = tuple(numbers)
        return dict(await self._reader.rows(_nodes(len(asked)), asked)) if asked else {}

    async def find(self, kind: LeafKind, subject: bytes, version: int | None = None) -> LoggedLeaf | None:
        """The leaf of this version, or the newest."""
        if version is None:
            row = await self._reader.one(_FIND + _NEWEST, (kind, subject))
        else:
            row = await self._reader.one(_FIND + " AND version = ?", (kind, subject, version))
        return None if row is None else LoggedLeaf(row[0], Leaf(LeafKind(row[1]), *row[2:]))

    async def handle_salt(self, handle: str) -> bytes:
        """What this log hashes the handle with."""
        ((sealed,),) = await self._reader.rows("SELECT handle_key FROM transparency_log")
        return handle_salt(self._reader.keys.open(HANDLE_KEY, ONLY_ROW, sealed), handle)


async def append_leaf(transaction: Transaction, leaf: Leaf) -> None:
    """Enter a leaf, in the transaction of what it is about."""
    ((size,),) = await transaction.rows("SELECT coalesce(max(leaf_index) + 1, 0) FROM transparency_leaves")
    lefts = left_of(size)
    found: dict[int, bytes] = dict(await transaction.rows(_nodes(len(lefts)), lefts)) if lefts else {}
    transaction.later(
        "INSERT INTO transparency_leaves VALUES (?, ?, ?, ?, ?)",
        (size, leaf.kind, leaf.subject, leaf.version, leaf.value_hash),
    )
    made = completed_by(leaf_hash(leaf.encode()), [found[number] for number in lefts])
    for number, hashed in enumerate(made, nodes_before(size)):
        transaction.later("INSERT INTO transparency_nodes VALUES (?, ?)", (number, hashed))


async def has_leaf(transaction: Transaction, kind: LeafKind, subject: bytes) -> bool:
    """Whether the log has ever told of this subject."""
    return bool(await transaction.rows(_FIND + " LIMIT 1", (kind, subject)))


async def subject_of(transaction: Transaction, handle: str) -> bytes:
    """32 B: the salted hash by which the log knows the handle."""
    ((sealed,),) = await transaction.rows("SELECT handle_key FROM transparency_log")
    key = transaction.keys.open(HANDLE_KEY, ONLY_ROW, sealed)
    return handle_subject(handle_salt(key, handle), handle)


async def append_handle(transaction: Transaction, handle: str, account_id: bytes | None) -> None:
    """Enter whom a handle names from now on; None: nobody."""
    subject = await subject_of(transaction, handle)
    newest = await transaction.rows(
        f"SELECT version FROM ({_FIND}{_NEWEST})",  # noqa: S608
        (LeafKind.HANDLE, subject),
    )
    version = newest[0][0] + 1 if newest else 1
    await append_leaf(transaction, handle_leaf(subject, version, account_id))


async def start_new_log(transaction: Transaction, log_id: bytes) -> None:
    """After a restore: leaves that were made since the backup are gone, so what was signed then is of another log."""
    await transaction.rows("UPDATE transparency_log SET log_id = ?", (log_id,))
