"""Asks a contact's device for what its count says is missing, and gives such a device what was for it before (B9).

Only contacts are asked and answered; the same bytes go again, to no device that they were not for. Functions of a
Transaction. docs/protocol.md, "Missing contents".
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from crypto.errors import InvalidEncoding
from relay.wire.limits import DEVICE_ID_BYTES
from relay.wire.links import encode_id

from .account import load_account
from .contents import (
    CONVERSATION_ID_BYTES,
    EMPTY_BODY,
    MESSAGE_ID_BYTES,
    ContentType,
    decode_body,
    encode_body,
)
from .incoming import Handler, Incoming
from .message import Gone
from .privacy import accepted_contact
from .signals import draft_signal
from .store import absent_rows, history, notices, queue, sent_contents
from .store.absent_rows import MAX_COUNTERS
from .store.database import Transaction
from .store.peers import name_of
from .system import System

Counters = Annotated[list[Annotated[int, Meta(ge=1, le=2**53)]], Meta(max_length=MAX_COUNTERS)]


class ResendBody(msgspec.Struct, frozen=True, array_like=True):
    """Numbers of one device in one conversation: those that the sender lacks, or those that the device itself cannot give."""

    device_id: Annotated[bytes, Meta(min_length=DEVICE_ID_BYTES, max_length=DEVICE_ID_BYTES)]
    """Whose numbers they are."""
    conversation_id: Annotated[
        bytes, Meta(min_length=CONVERSATION_ID_BYTES, max_length=CONVERSATION_ID_BYTES)
    ]
    wanted: Counters
    gone: Counters


def ask_due(tx: Transaction, system: System) -> bool:
    """Ask for what was told as missing, as far as it may be asked for now; whether anything was."""
    account = load_account(tx)
    asked = False
    for lacking in absent_rows.to_ask(tx, account.account_id, system.now_ms()):
        body = ResendBody(lacking.device_id, lacking.conversation_id, list(lacking.counters), [])
        draft_signal(tx, account, [lacking.account_id], ContentType.RESEND, encode_body(body), system)
        asked = True
    return asked


def on_resend(incoming: Incoming) -> None:
    """Another device lacks something of this one, or cannot give what was asked of it. Raises InvalidEncoding."""
    body = decode_body(ResendBody, incoming.body)
    if body.conversation_id != incoming.content.conversation_id:
        raise InvalidEncoding("a resend request about another conversation")
    if body.wanted and body.device_id == incoming.account.device_id:
        _answer(incoming, body)
    if body.gone and body.device_id == incoming.device_id:
        _note_gone(incoming, body)


def _answer(incoming: Incoming, body: ResendBody) -> None:
    tx, batch = incoming.tx, incoming.batch
    if accepted_contact(tx, incoming.account_id) is None:
        return
    if not absent_rows.may_answer(tx, incoming.account_id, incoming.device_id, batch.now_ms):
        return
    last, _ = history.own_counter(tx, body.conversation_id, incoming.account_id)
    gone = []
    for counter in sorted(set(body.wanted)):
        content = sent_contents.find_for(tx, body.conversation_id, counter, incoming.device_id)
        if content is not None:
            sent_contents.note_resent(tx, body.conversation_id, counter)
            _draft_again(incoming, content)
        elif counter <= last:
            gone.append(counter)
    if gone:
        answer = ResendBody(body.device_id, body.conversation_id, [], gone)
        draft_signal(
            tx,
            incoming.account,
            [incoming.account_id],
            ContentType.RESEND,
            encode_body(answer),
            batch.system,
        )
    batch.drafted = True


def _draft_again(incoming: Incoming, content: bytes) -> None:
    """The same bytes, to the device that asked; under a row of their own, so that what the first one became stays."""
    tx, system = incoming.tx, incoming.batch.system
    number = history.add_outgoing(
        tx,
        account_id=incoming.account.account_id,
        message_id=system.random(MESSAGE_ID_BYTES),
        content_type=ContentType.EMPTY,
        body=EMPTY_BODY,
        sent_at_ms=incoming.batch.now_ms,
        hidden=True,
    )
    queue.add_draft(
        tx,
        number,
        encode_id(incoming.account_id),
        incoming.account_id,
        content=content,
        only_devices=[incoming.device_id],
    )


def _note_gone(incoming: Incoming, body: ResendBody) -> None:
    tx = incoming.tx
    count = absent_rows.mark_gone(tx, body.conversation_id, incoming.device_id, body.gone)
    if count:
        author = incoming.account_id
        conversation = encode_id(body.conversation_id)
        notices.tell(tx, Gone(conversation, encode_id(author), name_of(tx, author), count))


HANDLERS: Final[dict[int, Handler]] = {ContentType.RESEND: on_resend}
