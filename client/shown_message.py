"""A kept message as the application gets to see it. Functions of a Transaction, and no network."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from crypto.errors import InvalidEncoding
from relay.wire.links import encode_id

from .account import Account
from .contents import ContentType, decode_file, decode_text
from .message import Message, SharedFile
from .store.database import Transaction
from .store.history import MessageRow, conversation_with
from .store.peers import find_peer


@dataclass(frozen=True, slots=True)
class Showing:
    """How an open client shows messages: `reply` to an account id, `fetch` the file of a message by its number."""

    account: Account
    reply: Callable[[str, str], Awaitable[Message]]
    fetch: Callable[[int], Awaitable[Message]]

    def message(self, tx: Transaction, row: MessageRow) -> Message:
        """The message of a row."""
        other = row.account_id
        if row.outgoing and row.conversation_id is not None:
            other = conversation_with(tx, row.conversation_id) or other
        peer = find_peer(tx, row.account_id)
        author = encode_id(row.account_id)
        name = (self.account.handle or author) if row.outgoing else (author if peer is None else peer.name)
        kind, text, file = _body(row)
        answer_to, number = encode_id(other), row.n
        return Message(
            id=encode_id(row.message_id),
            conversation="" if row.conversation_id is None else encode_id(row.conversation_id),
            account=author,
            name=name,
            type=kind,
            sent_at_ms=row.sent_at_ms,
            received_at_ms=row.received_at_ms,
            outgoing=row.outgoing,
            state=row.state,
            text=text,
            file=file,
            refusal=row.refusal,
            _reply=lambda text: self.reply(answer_to, text),
            _fetch=lambda message: self.fetch(number),
        )


def _body(row: MessageRow) -> tuple[str, str | None, SharedFile | None]:
    """(Type, text, file) of a body; one that does not fit its type counts as unknown."""
    try:
        if row.type == ContentType.TEXT:
            return "text", decode_text(row.body), None
        if row.type == ContentType.FILE:
            pointer = decode_file(row.body)
            return (
                "file",
                None,
                SharedFile(
                    name=pointer.name,
                    media_type=pointer.media_type,
                    size_bytes=pointer.size_bytes,
                    path=None if row.file_path is None else Path(row.file_path),
                    sha256=None if row.file_sha256 is None else row.file_sha256.hex(),
                ),
            )
    except InvalidEncoding:
        return "unknown", None, None
    return "unknown", None, None
