"""The contents that the kit's own peer writes and reads: texts, and the frame of all others (docs/protocol.md, Contents)."""

import os
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from client.conformance.report import Failed
from client.conformance.wire import sha256, transcript

from .checks import now_ms

TEXT: Final = 1
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
class Content:
    """One that came. `text` is None for what is no text; `introduction`: token and handle."""

    kind: int
    text: str | None
    introduction: tuple[bytes, str] | None
    gossip: bytes


def conversation(one: bytes, other: bytes) -> bytes:
    """Of two accounts."""
    return sha256(transcript("tokenim/v1 direct conversation", *sorted((one, other))))


@dataclass
class Numbering:
    """The contents of one device in one conversation: how many there were, and the hash of the last."""

    conversation_id: bytes
    counter: int = 0
    last: bytes = b""

    def write(self, text: str, introduction: tuple[bytes, str] | None) -> bytes:
        """The next text of the peer."""
        self.counter += 1
        fields = [
            TEXT,
            self.conversation_id,
            os.urandom(16),
            self.counter,
            self.last,
            now_ms(),
            0,
            None if introduction is None else list(introduction),
            [text],
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
        return Content(fields[0], text, _introduction(fields[_INTRODUCTION_AT]), gossip)


def _text(body: Any) -> str:
    if not isinstance(body, list) or not body or not isinstance(body[0], str) or body[1:] not in ([], [None]):
        raise Failed(f"the body of a text that answers no other is an array of a str, got {body!r}")
    return body[0]


def _introduction(told: Any) -> tuple[bytes, str] | None:
    if told is None:
        return None
    if not isinstance(told, list) or [type(one) for one in told[:2]] != [bytes, str] or len(told[0]) != 16:
        raise Failed(f"an introduction is a token of 16 B and a handle, got {told!r}")
    return told[0], told[1]
