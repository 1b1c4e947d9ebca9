"""What an entry of the archive holds: records of messages and of what was done to them, as MessagePack.

A record that comes twice does nothing, and the order of those of one message does not matter. docs/protocol.md,
"History archive".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from client.contents import CONVERSATION_ID_BYTES, MESSAGE_ID_BYTES
from crypto.errors import InvalidEncoding
from crypto.limits import MAX_HISTORY_CONTENT_BYTES
from relay.wire import limits

AccountId = Annotated[bytes, Meta(min_length=limits.ACCOUNT_ID_BYTES, max_length=limits.ACCOUNT_ID_BYTES)]
DeviceId = Annotated[bytes, Meta(min_length=limits.DEVICE_ID_BYTES, max_length=limits.DEVICE_ID_BYTES)]
MessageId = Annotated[bytes, Meta(min_length=MESSAGE_ID_BYTES, max_length=MESSAGE_ID_BYTES)]
Hash = Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, le=2**53)]

_VERSION: Final = 1
_ROOM_BYTES: Final = 256  # of an entry's content, for what is not records
MAX_RECORD_BYTES: Final = MAX_HISTORY_CONTENT_BYTES - _ROOM_BYTES
ENTRY_BYTES: Final = 120_000
"""An entry takes no more records once it has so many bytes."""


class MessageRecord(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A message as it was sent; the body is empty if it was deleted."""

    account: AccountId
    """Of its author."""
    message_id: MessageId
    conversation_id: Annotated[
        bytes, Meta(min_length=CONVERSATION_ID_BYTES, max_length=CONVERSATION_ID_BYTES)
    ]
    partner: AccountId | None
    """The other account of a conversation of two; nil in a group."""
    device: DeviceId | None
    """Of its author; nil, as the hash, for a message from before clients kept that."""
    content_hash: Hash | None
    content_type: Annotated[int, Meta(ge=0, le=65_535)]
    body: Annotated[bytes, Meta(max_length=limits.MAX_ENVELOPE_BYTES)]
    sent_at_ms: Milliseconds
    received_at_ms: Milliseconds | None
    order_ms: Milliseconds
    """Messages of a conversation stand in the order of this."""

    def __repr__(self) -> str:
        return "MessageRecord()"


class EditRecord(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A later form of a text."""

    account: AccountId
    message_id: MessageId
    act_id: MessageId
    at_ms: Milliseconds
    text: str

    def __repr__(self) -> str:
        return "EditRecord()"


class ReactionRecord(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The newest reaction of one account; an empty text is one that was taken back."""

    account: AccountId
    message_id: MessageId
    by: AccountId
    act_id: MessageId
    at_ms: Milliseconds
    text: str

    def __repr__(self) -> str:
        return "ReactionRecord()"


class DeletionRecord(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The message was deleted."""

    account: AccountId
    message_id: MessageId
    by: AccountId
    at_ms: Milliseconds


Record: TypeAlias = MessageRecord | EditRecord | ReactionRecord | DeletionRecord


class ArchiveContent(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed in an entry. A higher version may have more fields and other records, never another array."""

    version: Annotated[int, Meta(ge=1)]
    previous_hash: Annotated[bytes, Meta(max_length=limits.HASH_BYTES)]
    """SHA-256 of the entry before; empty if there is none, or its writer could not know it."""
    begins_at: Index
    """What was below this index was taken away by its owner: it is written again further up, or the log was full."""
    device: DeviceId
    """Who wrote it."""
    written_at_ms: Milliseconds
    records: list[msgspec.Raw] = []

    def __repr__(self) -> str:
        return f"ArchiveContent({len(self.records)} records)"


_content: Final = msgspec.msgpack.Decoder(ArchiveContent)
_record: Final = msgspec.msgpack.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Archived:
    """One message with what was done to it, encoded; `n` and `acted_at_ms` say which state of which row that is."""

    n: int
    acted_at_ms: int
    records: list[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Packed:
    """The records of one entry, and the messages that are whole with it."""

    records: list[bytes] = field(default_factory=list, repr=False)
    whole: list[Archived] = field(default_factory=list)


def encode_record(record: Record) -> bytes:
    """The bytes of a record; the same record has the same bytes on every device."""
    return msgspec.msgpack.encode(record)


def encode_archive(
    records: Iterable[bytes], *, previous_hash: bytes, begins_at: int, device: bytes, now_ms: int
) -> bytes:
    """The content of an entry."""
    raw = [msgspec.Raw(record) for record in records]
    return msgspec.msgpack.encode(ArchiveContent(_VERSION, previous_hash, begins_at, device, now_ms, raw))


def decode_archive(content: bytes) -> tuple[ArchiveContent, list[Record]]:
    """The content of an entry and its records, without those of kinds that are not known. Raises InvalidEncoding."""
    try:
        decoded = _content.decode(content)
        return decoded, list(_known(decoded.records))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEncoding("not the content of an archive's entry") from error


def _known(records: Iterable[msgspec.Raw]) -> Iterator[Record]:
    for record in records:
        try:
            yield _record.decode(record)
        except msgspec.ValidationError:
            continue  # of a newer version


def packed(messages: Iterable[Archived]) -> list[Packed]:
    """The records cut into entries. What is too large for any is left out: no text or file is."""
    entries: list[Packed] = []
    size = ENTRY_BYTES
    for message in messages:
        for record in message.records:
            if len(record) > MAX_RECORD_BYTES:
                continue
            if size >= ENTRY_BYTES or size + len(record) > MAX_RECORD_BYTES:
                entries.append(Packed())
                size = 0
            entries[-1].records.append(record)
            size += len(record)
        if not entries:
            entries.append(Packed())
            size = 0
        entries[-1].whole.append(message)
    return entries
