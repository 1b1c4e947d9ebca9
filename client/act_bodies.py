"""The bodies of acts on messages: reaction, edit, delete, receipt. docs/protocol.md, "Acts on messages"."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from relay.wire import limits

from .contents import MAX_TEXT_CHARACTERS, MESSAGE_ID_BYTES, Reference

MAX_EMOJI_CHARACTERS: Final = 32  # the longest sequences of one emoji have 15
MAX_RECEIPTS: Final = 256  # of each kind in one content: 14 KB


class ReactionBody(msgspec.Struct, frozen=True, array_like=True):
    """An empty emoji takes the reaction back."""

    message: Reference
    emoji: Annotated[str, Meta(max_length=MAX_EMOJI_CHARACTERS)]


class EditBody(msgspec.Struct, frozen=True, array_like=True):
    """The whole new text."""

    message: Reference
    text: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]


class DeleteBody(msgspec.Struct, frozen=True, array_like=True):
    """The message goes, for everybody."""

    message: Reference


class ReceiptEntry(msgspec.Struct, frozen=True, array_like=True):
    """One message of the account that the receipt goes to."""

    message_id: Annotated[bytes, Meta(min_length=MESSAGE_ID_BYTES, max_length=MESSAGE_ID_BYTES)]
    reference: Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]


class ReceiptBody(msgspec.Struct, frozen=True, array_like=True):
    """Messages that are here, and messages that were read (which are here too)."""

    author: Annotated[bytes, Meta(min_length=limits.ACCOUNT_ID_BYTES, max_length=limits.ACCOUNT_ID_BYTES)]
    """Of all these messages."""
    delivered: Annotated[list[ReceiptEntry], Meta(max_length=MAX_RECEIPTS)]
    read: Annotated[list[ReceiptEntry], Meta(max_length=MAX_RECEIPTS)]
