"""What envelopes hold; docs/protocol.md, "Contents" and "References"."""

from dataclasses import dataclass
from typing import Any

from tests.oracle import message_pack
from tests.oracle.refusals import require
from tests.oracle.transcripts import sha256, transcript


def conversation_id(one: bytes, other: bytes) -> bytes:
    return sha256(transcript(b"tokenim/v1 direct conversation\0", min(one, other), max(one, other)))


@dataclass
class Content:
    """The fields; `introduction` is [token, handle] or None, `body` what MessagePack says, `gossip` and `backups`
    [own, theirs] may be left out."""

    type: int
    conversation_id: bytes
    message_id: bytes
    counter: int
    previous_hash: bytes
    sent_at_ms: int
    expires_after_seconds: int
    introduction: list[Any] | None
    body: Any
    gossip: bytes | None = None
    backups: list[bytes] | None = None

    def encode(self) -> bytes:
        fields = list(vars(self).values())
        last = 11 if self.backups is not None else 10 if self.gossip is not None else 9
        return message_pack.encode(fields[:last])


def parse(encoded: bytes, *, passes: bool = False) -> Content:
    """`passes`: it came as an ephemeral message, and so is not counted."""
    fields = message_pack.decode(encoded)
    require(isinstance(fields, list) and len(fields) >= 9, "fields")
    made = Content(*fields[:11])
    for value, end in (
        (made.type, 65_535),
        (made.counter, 2**53),
        (made.sent_at_ms, 2**53),
        (made.expires_after_seconds, 2**32),
    ):
        require(type(value) is int and 0 <= value <= end, "a number")
    for value, lengths in (
        (made.conversation_id, {32}),
        (made.message_id, {16}),
        (made.previous_hash, {0, 32}),
    ):
        require(isinstance(value, bytes) and len(value) in lengths, "bytes")
    require((made.counter == 0) == passes, "counted")
    require((made.counter <= 1) == (not made.previous_hash), "predecessor")
    if made.introduction is not None:
        token, handle = made.introduction[:2]
        require(isinstance(token, bytes) and len(token) == 16 and len(handle) <= 32, "introduction")
    if made.backups is not None:
        require(all(isinstance(one, bytes) and len(one) <= 201 for one in made.backups[:2]), "backups")
    return made


def reference(conversation: bytes, account: bytes, device: bytes, message_id: bytes, first: bytes) -> bytes:
    """What a receipt, reaction, edit or delete names a message by."""
    fields = conversation, account, device, message_id, sha256(first)
    return sha256(transcript(b"tokenim/v1 message reference\0", *fields))
