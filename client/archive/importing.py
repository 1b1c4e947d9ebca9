"""Records of the archive become messages of this store: each once, where they stood, and none that is given out as new.

The archive was written by own devices with a key that only they have, so who may do what to a message was judged there.
Functions of a Transaction.
"""

from collections import defaultdict
from collections.abc import Sequence

from client.account import Account
from client.acts import apply_waiting
from client.contents import direct_conversation
from client.message_acts import ActKind
from client.store import acts, history
from client.store.acts import StoredAct
from client.store.archive_rows import DueRow, add_archived, edits_of, note_archived, reactions_of
from client.store.database import Transaction
from client.store.expiry_rows import is_expired
from client.store.history import MessageRow
from client.store.peers import ensure_peer

from .records import (
    Archived,
    DeletionRecord,
    EditRecord,
    MessageRecord,
    ReactionRecord,
    Record,
    encode_record,
)

_NO_REFERENCE = bytes(32)


def records_of(tx: Transaction, own: Account, row: DueRow) -> Archived:
    """All that the archive keeps of a message."""
    name = row.account_id, row.message_id
    records: list[Record] = [
        MessageRecord(
            *name,
            row.conversation_id,
            _partner(tx, own, row.conversation_id, row.account_id),
            row.device_id,
            row.content_hash,
            row.type,
            row.body,
            row.sent_at_ms,
            row.received_at_ms,
            row.order_ms or 0,
        ),
        *(_acts_of(tx, row.n, name, row.deleted_at_ms, row.deleted_by) if row.acted else ()),
    ]
    return Archived(row.n, row.acted_at_ms, [encode_record(record) for record in records])


def _partner(tx: Transaction, own: Account, conversation_id: bytes, author: bytes) -> bytes | None:
    """The other account of a conversation of two; None in a group."""
    other = author
    if author == own.account_id:
        other = history.conversation_with(tx, conversation_id) or author
    return other if direct_conversation(own.account_id, other) == conversation_id else None


def _acts_of(
    tx: Transaction,
    n: int,
    name: tuple[bytes, bytes],
    deleted_at_ms: int | None,
    deleted_by: bytes | None,
) -> list[Record]:
    if deleted_at_ms is not None:
        return [DeletionRecord(*name, deleted_by or name[0], deleted_at_ms)]
    return [
        *(EditRecord(*name, act_id, at_ms, text) for act_id, at_ms, text in edits_of(tx, n)),
        *(ReactionRecord(*name, by, act_id, at_ms, text) for by, act_id, at_ms, text in reactions_of(tx, n)),
    ]


def take_records(
    tx: Transaction, own: Account, records: Sequence[Record], index: int, now_ms: int
) -> tuple[int, int]:
    """Take over what is not here, of the entry at `index`; (how many messages are new, the time of the newest of them)."""
    count = newest_ms = 0
    whole: dict[tuple[bytes, bytes], set[Record]] = defaultdict(set)
    named: set[tuple[bytes, bytes]] = set()
    for record in records:
        if isinstance(record, MessageRecord):
            named.add((record.account, record.message_id))
            if _take_message(tx, own, record, now_ms):
                count += 1
                newest_ms = max(newest_ms, record.received_at_ms or record.sent_at_ms)
        else:
            whole[record.account, record.message_id].add(record)
            _take_act(tx, record)
    _note_whole(tx, index, {name: whole[name] for name in named})
    return count, newest_ms


def _take_message(tx: Transaction, own: Account, record: MessageRecord, now_ms: int) -> bool:
    """Whether it was not here."""
    if is_expired(tx, record.account, record.message_id):
        return False
    if record.partner is not None:
        if direct_conversation(own.account_id, record.partner) != record.conversation_id:
            return False
        ensure_peer(tx, record.partner)
        history.note_conversation(tx, record.conversation_id, record.partner)
    number = add_archived(
        tx,
        conversation_id=record.conversation_id,
        account_id=record.account,
        message_id=record.message_id,
        device_id=record.device,
        content_hash=record.content_hash,
        content_type=record.content_type,
        body=record.body,
        sent_at_ms=record.sent_at_ms,
        received_at_ms=record.received_at_ms,
        order_ms=record.order_ms,
        is_own=record.account == own.account_id,
    )
    if number is None:
        return False
    apply_waiting(tx, own, record.account, record.message_id, now_ms)
    return True


def _take_act(tx: Transaction, record: EditRecord | ReactionRecord | DeletionRecord) -> None:
    """Do it, unless it is done already; of a message that is not here it is dropped."""
    row = history.find_by_id(tx, record.account, record.message_id)
    if row is None or row.hidden:
        return
    if isinstance(record, DeletionRecord):
        acts.wipe(tx, row.n, record.at_ms, record.by)
    elif row.deleted_at_ms is not None:
        return
    elif isinstance(record, EditRecord):
        acts.put_edit(tx, row.n, _stored(row, ActKind.EDIT, record.account, record))
    else:
        acts.put_reaction(tx, row.n, _stored(row, ActKind.REACTION, record.by, record))


def _stored(row: MessageRow, kind: ActKind, actor: bytes, record: EditRecord | ReactionRecord) -> StoredAct:
    name = row.account_id, row.message_id
    return StoredAct(
        kind, *name, _NO_REFERENCE, row.conversation_id, actor, record.act_id, record.at_ms, record.text
    )


def _note_whole(tx: Transaction, index: int, entry: dict[tuple[bytes, bytes], set[Record]]) -> None:
    """Messages of which nothing is known here that the entry has not are archived in it."""
    for name, kept in entry.items():
        found = tx.one(
            "SELECT n, acted, acted_at_ms, deleted_at_ms, deleted_by FROM messages WHERE account_id = ? AND message_id = ?",
            *name,
        )
        if found is None:
            continue
        n, acted, acted_at_ms, deleted_at_ms, deleted_by = found
        known = _acts_of(tx, n, name, deleted_at_ms, deleted_by) if acted else []
        if set(known) <= kept or (deleted_at_ms is not None and _is_deleted(kept)):
            note_archived(tx, index, [(n, acted_at_ms)])


def _is_deleted(records: set[Record]) -> bool:
    return any(isinstance(record, DeletionRecord) for record in records)
