"""The content by which a contact learns how to reach this account from now on; docs/protocol.md, "Blocking"."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from crypto.errors import InvalidEncoding
from relay.wire.limits import DELIVERY_TOKEN_BYTES

from .account import Account
from .contents import ContentType
from .incoming import Incoming
from .signals import draft_signal
from .store.contact_rows import note_token_told
from .store.database import Transaction
from .store.peers import CONTACT, learn_token
from .system import System


class ContactToken(msgspec.Struct, frozen=True, array_like=True):
    """The body: the author's delivery token of class `contact`; those before it end."""

    token: Annotated[bytes, Meta(min_length=DELIVERY_TOKEN_BYTES, max_length=DELIVERY_TOKEN_BYTES)]

    def __repr__(self) -> str:
        return "ContactToken()"


_decoder: Final = msgspec.msgpack.Decoder(ContactToken)


def hear_contact_token(incoming: Incoming) -> None:
    """Learn it; the newest that came is the one to use. Raises InvalidEncoding."""
    try:
        body = _decoder.decode(incoming.body)
    except msgspec.DecodeError as error:
        raise InvalidEncoding("not the body of a contact token") from error
    if not incoming.is_own:
        learn_token(incoming.tx, incoming.account_id, body.token, CONTACT)


def tell_contact_token(
    tx: Transaction, account: Account, account_ids: Iterable[bytes], token: bytes, system: System
) -> int | None:
    """Put the own token on its way to these contacts; the number of the row, None if there is nobody to tell."""
    recipients = list(account_ids)
    if not recipients:
        return None
    body = msgspec.msgpack.encode(ContactToken(token))
    number = draft_signal(tx, account, recipients, ContentType.CONTACT_TOKEN, body, system)
    for account_id in recipients:
        note_token_told(tx, account_id, system.now_ms())
    return number
