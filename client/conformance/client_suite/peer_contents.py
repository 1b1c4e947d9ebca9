"""The contents of the kit's own peer: texts, edits, receipts, and the frame of all others (docs/protocol.md, Contents)."""

import os
from dataclasses import astuple, dataclass
from typing import Any, Final

import msgspec

from client.conformance.report import Failed
from client.conformance.wire import sha256, transcript

from .checks import now_ms
from .peer_ratchet import Party
from .shapes import binary, row, whole, words

TEXT, FILE, HISTORY_KEYS, EDIT, RECEIPT = 1, 2, 5, 11, 13
_FIELDS: Final = (
    ("type", int, 0, 65_535),
    ("conversation_id", bytes, 32, 32),
    ("message_id", bytes, 16, 16),
    ("counter", int, 0, 2**53),
    ("previous_hash", bytes, 0, 32),
    ("sent_at_ms", int, 0, 2**53),
    ("expires_after_seconds", int, 0, 4_294_967_296),
)
_INTRODUCTION_AT, _BODY_AT, _GOSSIP_AT = 7, 8, 9


@dataclass(frozen=True)
class FilePointer:
    """The body of a file: where its blob is, the key that opens it, its true length."""

    blob_id: bytes
    key: bytes
    size_bytes: int
    ciphertext_sha256: bytes
    name: str
    media_type: str


@dataclass(frozen=True)
class Content:
    """One that came. `text` is None for what is no text; `introduction`: token and handle."""

    kind: int
    text: str | None
    introduction: tuple[bytes, str] | None
    gossip: bytes
    receipts: tuple[tuple[bytes, bytes, bytes], ...] = ()
    """Of a receipt: the author, the message's id and its reference, of each message in it."""
    file: "FilePointer | None" = None


def conversation(one: bytes, other: bytes) -> bytes:
    """Of two accounts."""
    return sha256(transcript("tokenim/v1 direct conversation", *sorted((one, other))))


@dataclass(frozen=True)
class Written:
    """A message of the peer. `reference` is how acts name it."""

    account_id: bytes
    message_id: bytes
    reference: bytes


def written(conversation_id: bytes, author: Party, message_id: bytes, content_hash: bytes) -> Written:
    """The one that the content of this hash began."""
    named = transcript(
        "tokenim/v1 message reference",
        conversation_id,
        author.account_id,
        author.device_id,
        message_id,
        content_hash,
    )
    return Written(author.account_id, message_id, sha256(named))


@dataclass
class Numbering:
    """The contents of one device in one conversation: how many there were, and the hash of the last."""

    conversation_id: bytes
    counter: int = 0
    last: bytes = b""

    def write(self, text: str, introduction: tuple[bytes, str] | None, message_id: bytes = b"") -> bytes:
        """The next text of the peer."""
        return self._write(TEXT, [text], introduction, message_id)

    def write_file(self, pointer: FilePointer, introduction: tuple[bytes, str] | None) -> bytes:
        """The next content of the peer: a file."""
        return self._write(FILE, list(astuple(pointer)), introduction)

    def edit(self, message: Written, text: str) -> bytes:
        """The next content of the peer: another text for what it wrote."""
        return self._write(EDIT, [[message.account_id, message.message_id, message.reference], text], None)

    def give_keys(self, gifts: list[Any], newest: bytes) -> bytes:
        """The next content of the peer: keys of a history archive, as own devices give them."""
        return self._write(HISTORY_KEYS, [gifts, newest], None)

    def _write(
        self, kind: int, body: list[Any], introduction: tuple[bytes, str] | None, message_id: bytes = b""
    ) -> bytes:
        self.counter += 1
        fields = [
            kind,
            self.conversation_id,
            message_id or os.urandom(16),
            self.counter,
            self.last,
            now_ms(),
            0,
            None if introduction is None else list(introduction),
            body,
        ]
        encoded = msgspec.msgpack.encode(fields)
        self.last = sha256(encoded)
        return encoded

    def read(self, encoded: bytes) -> Content:
        """The next content of the client; raises Failed if it is not of the form that the document says, or not the next."""
        try:
            fields = msgspec.msgpack.decode(encoded)
        except msgspec.DecodeError as error:
            raise Failed(f"a content is not one MessagePack value: {error}") from error
        if not isinstance(fields, list) or len(fields) <= _BODY_AT:
            raise Failed("a content is an array of nine fields or more")
        for value, (name, shape, least, most) in zip(fields, _FIELDS, strict=False):
            measure = len(value) if isinstance(value, bytes) else value
            if type(value) is not shape or not least <= measure <= most:
                raise Failed(f"a content's {name} is {value!r}")
        if fields[1] != self.conversation_id:
            raise Failed("a content names another conversation than that of the two accounts")
        self.counter += 1
        if (fields[3], fields[4]) != (self.counter, self.last):
            raise Failed(
                f"a content has number {fields[3]} after {fields[4].hex()}, where {self.counter} after {self.last.hex()} is next"
            )
        self.last = sha256(encoded)
        gossip = fields[_GOSSIP_AT] if len(fields) > _GOSSIP_AT else b""
        if not isinstance(gossip, bytes):
            raise Failed(f"a content's gossip is {gossip!r}")
        text = _text(fields[_BODY_AT]) if fields[0] == TEXT else None
        receipts = _receipts(fields[_BODY_AT]) if fields[0] == RECEIPT else ()
        file = _file(fields[_BODY_AT]) if fields[0] == FILE else None
        return Content(fields[0], text, _introduction(fields[_INTRODUCTION_AT]), gossip, receipts, file)


def _text(body: Any) -> str:
    if not isinstance(body, list) or not body or not isinstance(body[0], str) or body[1:] not in ([], [None]):
        raise Failed(f"the body of a text that answers no other is an array of a str, got {body!r}")
    return body[0]


def _file(body: Any) -> FilePointer:
    row(
        {
            "blob_id": binary(32),
            "key": binary(32),
            "size_bytes": whole(0, 2**32),
            "ciphertext_sha256": binary(32),
            "name": words(),
            "media_type": words(),
        }
    )(body, "the body of a file")
    pointer = FilePointer(*body)
    if not 1 <= len(pointer.name) <= 255 or not 1 <= len(pointer.media_type) <= 127:
        raise Failed(f"a file has a name and a media type, got {pointer.name!r}, {pointer.media_type!r}")
    return pointer


def _receipts(body: Any) -> tuple[tuple[bytes, bytes, bytes], ...]:
    if not isinstance(body, list) or len(body) < 3 or not all(isinstance(one, list) for one in body[1:3]):
        raise Failed(f"the body of a receipt is an author and two arrays, got {body!r}")
    return tuple((body[0], message_id, reference) for message_id, reference, *_ in (*body[1], *body[2]))


def _introduction(told: Any) -> tuple[bytes, str] | None:
    if told is None:
        return None
    if not isinstance(told, list) or [type(one) for one in told[:2]] != [bytes, str] or len(told[0]) != 16:
        raise Failed(f"an introduction is a token of 16 B and a handle, got {told!r}")
    return told[0], told[1]
