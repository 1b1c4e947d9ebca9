"""What this device sent, for the own other devices: they show it as sent by their user. docs/protocol.md, "Copies".

A copy is drafted in the transaction that encrypts its content for others, so the one is never without the other. If the
relay refuses the content for good, a second copy says so.
"""

from dataclasses import replace
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from client.account import Account, load_account
from client.contents import ContentType, content_hash, decode_content, direct_conversation
from client.incoming import Incoming
from client.message import State
from client.signals import draft_signal
from client.store import history
from client.store.database import Transaction
from client.store.peers import accept, ensure_peer
from client.system import System
from crypto.errors import InvalidEncoding
from relay.wire import limits

from .shared_items import has_other_devices

COPIED: Final = frozenset(
    {ContentType.TEXT, ContentType.FILE, ContentType.REACTION, ContentType.EDIT, ContentType.DELETE}
)
"""What a user does. What clients tell each other unseen is each device's own affair; what was read goes as `client.receipts`."""
_MAX_CODE_CHARACTERS: Final = 64


class Copy(msgspec.Struct, frozen=True, array_like=True):
    """The body of a copy: to whom, the content as it was encrypted for them, and why it did not go out (empty: it did)."""

    to: Annotated[bytes, Meta(min_length=limits.ACCOUNT_ID_BYTES, max_length=limits.ACCOUNT_ID_BYTES)]
    content: Annotated[bytes, Meta(max_length=limits.MAX_ENVELOPE_BYTES)]
    refusal: Annotated[str, Meta(max_length=_MAX_CODE_CHARACTERS)] = ""

    def __repr__(self) -> str:
        return f"Copy(refusal={self.refusal!r})"


_decoder: Final = msgspec.msgpack.Decoder(Copy)


def copy_to_own(
    tx: Transaction,
    account: Account,
    to: bytes,
    content_type: int,
    content: bytes,
    system: System,
    *,
    refusal: str = "",
) -> bool:
    """Draft a copy of what is on its way to this account, or was refused; whether there is anybody to tell."""
    if content_type not in COPIED or to == account.account_id or not has_other_devices(account):
        return False
    body = msgspec.msgpack.encode(Copy(to, content, refusal[:_MAX_CODE_CHARACTERS]))
    draft_signal(tx, account, [account.account_id], ContentType.COPY, body, system)
    return True


def tell_refusal(
    tx: Transaction, message_n: int, to: bytes, content: bytes, refusal: str, system: System
) -> bool:
    """Draft that a message which was encrypted for this account will not go out; whether there is anybody to tell."""
    row = history.find(tx, message_n)
    return row is not None and copy_to_own(
        tx, load_account(tx), to, row.type, content, system, refusal=refusal
    )


def open_copy(incoming: Incoming) -> tuple[Incoming, Copy]:
    """What an own device sent, as a content of the own account, and the copy. Raises InvalidEncoding."""
    try:
        copy = _decoder.decode(incoming.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the body of a copy") from error
    if not incoming.is_own:
        raise InvalidEncoding("only own devices send copies")
    content = decode_content(copy.content)
    conversation = direct_conversation(incoming.account_id, copy.to)
    if content.conversation_id != conversation or content.type not in COPIED:
        raise InvalidEncoding("a copy of what has none")
    return replace(incoming, content=content, encoded=copy.content), copy


def show_copy(incoming: Incoming, copy: Copy) -> bool:
    """Keep a message that an own device sent: it is accepted, unless a copy says otherwise. False if it was here."""
    tx = incoming.tx
    ensure_peer(tx, copy.to)
    accept(tx, copy.to)
    history.note_conversation(tx, incoming.content.conversation_id, copy.to)
    is_new = history.add_copied(
        tx,
        incoming.account_id,
        incoming.device_id,
        incoming.content,
        content_hash(incoming.encoded),
        incoming.received_at_ms,
    )
    if copy.refusal:
        row = history.find_by_id(tx, incoming.account_id, incoming.content.message_id)
        if row is not None and row.outgoing:
            history.set_state(tx, [row.n], State.REFUSED, copy.refusal)
    return is_new
