"""The content of a message as the next that this device counts in a conversation. Functions of a Transaction."""

from dataclasses import dataclass, field

import msgspec

from .contents import BackupHeads, Content, Introduction, content_hash, encode_content
from .store import history
from .store.database import Transaction


@dataclass(frozen=True, slots=True)
class NextContent:
    """A content that was counted: the bytes to encrypt, their number and 32 B SHA-256."""

    encoded: bytes = field(repr=False)
    counter: int
    hash: bytes


def next_content(
    tx: Transaction,
    row: history.MessageRow,
    conversation_id: bytes,
    other: bytes,
    *,
    introduction: Introduction | None = None,
    gossip: bytes = b"",
    backups: BackupHeads | None = None,
) -> NextContent:
    """The content of a message: counted, and bound to the content before. `other`: whom the conversation is with."""
    counter, previous_hash = history.own_counter(tx, conversation_id, other)
    encoded = encode_content(
        Content(
            type=row.type,
            conversation_id=conversation_id,
            message_id=row.message_id,
            counter=counter + 1,
            previous_hash=previous_hash,
            sent_at_ms=row.sent_at_ms,
            expires_after_seconds=row.expires_after_seconds,
            introduction=introduction,
            body=msgspec.Raw(row.body),
            gossip=gossip,
            backups=backups,
        )
    )
    hash_ = content_hash(encoded)
    history.set_own_counter(tx, conversation_id, counter + 1, hash_)
    return NextContent(encoded, counter + 1, hash_)
