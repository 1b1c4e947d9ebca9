"""A kept message as the application gets to see it. Functions of a Transaction, and no network."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from crypto.errors import InvalidEncoding
from relay.wire.links import encode_id

from .account import Account
from .contacts import is_request
from .contents import ContentType, Reference, Text, decode_body, decode_file, direct_conversation
from .message import Message, SharedFile
from .shown_acts import acts_on, answered
from .store.database import Transaction
from .store.groups import find_group
from .store.history import MessageRow
from .store.peers import find_peer, name_of

_NAMES: Final[dict[int, str]] = {ContentType.TEXT: "text", ContentType.FILE: "file"}


@dataclass(frozen=True, slots=True)
class Showing:
    """How an open client shows messages: `reply` to one and `fetch` the file of one, by its number."""

    account: Account
    reply: Callable[[int, str], Awaitable[Message]]
    fetch: Callable[[int], Awaitable[Message]]

    def message(self, tx: Transaction, row: MessageRow) -> Message:
        """The message of a row."""
        author = encode_id(row.account_id)
        is_own = row.outgoing or row.account_id == self.account.account_id
        name = (self.account.handle or author) if is_own else name_of(tx, row.account_id)
        kind, text, file, answers = _body(row)
        group = None if row.conversation_id is None else find_group(tx, row.conversation_id)
        member = None if group is None else group.view.state.by_account.get(row.account_id)
        done = acts_on(tx, self.account, row, text)
        number = row.n
        return Message(
            id=encode_id(row.message_id),
            conversation="" if row.conversation_id is None else encode_id(row.conversation_id),
            account=author,
            name=name,
            type=kind,
            sent_at_ms=row.sent_at_ms,
            received_at_ms=row.received_at_ms,
            outgoing=is_own,
            state=row.state,
            text=done.text,
            file=file,
            refusal=row.refusal,
            contact_request=self._is_request(tx, row),
            reply_to=answered(tx, row, answers),
            reactions=done.reactions,
            edits=done.edits,
            edited_at_ms=done.edited_at_ms,
            deleted_at_ms=row.deleted_at_ms,
            delivered_to=done.delivered_to,
            read_by=done.read_by,
            group=None if group is None else encode_id(group.group_id),
            role=None if member is None else member.role.name.lower(),
            read_at_ms=done.read_at_ms,
            expires_after_seconds=row.expires_after_seconds,
            expires_at_ms=row.expires_at_ms,
            _reply=lambda text: self.reply(number, text),
            _fetch=lambda message: self.fetch(number),
        )

    def _is_request(self, tx: Transaction, row: MessageRow) -> bool:
        conversation = direct_conversation(self.account.account_id, row.account_id)
        is_direct = not row.outgoing and row.conversation_id == conversation
        return is_direct and is_request(find_peer(tx, row.account_id))


_Body: TypeAlias = tuple[str, str | None, SharedFile | None, Reference | None]


def _body(row: MessageRow) -> _Body:
    """(Type, text, file, what it answers) of a body; one that does not fit its type counts as unknown."""
    if row.deleted_at_ms is not None:
        return _NAMES.get(row.type, "unknown"), None, None, None
    try:
        if row.type == ContentType.TEXT:
            body = decode_body(Text, row.body)
            return "text", body.text, None, body.answers
        if row.type == ContentType.FILE:
            return "file", None, _file(row), None
    except InvalidEncoding:
        return "unknown", None, None, None
    return "unknown", None, None, None


def _file(row: MessageRow) -> SharedFile:
    pointer = decode_file(row.body)
    return SharedFile(
        name=pointer.name,
        media_type=pointer.media_type,
        size_bytes=pointer.size_bytes,
        path=None if row.file_path is None else Path(row.file_path),
        sha256=None if row.file_sha256 is None else row.file_sha256.hex(),
    )
