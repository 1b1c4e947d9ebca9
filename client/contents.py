"""What is inside an envelope once it is open: one MessagePack array; docs/protocol.md, "Contents".

[type, conversation id, message id, counter, previous hash, sent_at_ms, expires_after_seconds, introduction, body, gossip,
backups]
A type that is not known is kept whole and shown as such; fields after these are ignored, so that contents can grow.
"""

import hashlib
from enum import IntEnum
from functools import cache
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from crypto.errors import InvalidEncoding
from relay.wire import limits
from relay.wire.transcripts import transcript

Body = TypeVar("Body", bound=msgspec.Struct)
DIRECT_CONVERSATION_LABEL: Final = b"tokenim/v1 direct conversation\x00"
MESSAGE_ID_BYTES: Final = 16
CONVERSATION_ID_BYTES: Final = 32
BLOB_KEY_BYTES: Final = 32
MAX_TEXT_CHARACTERS: Final = 50_000  # at most 200,000 B of UTF-8: fits an envelope with everything around it
MAX_NAME_CHARACTERS: Final = 255
MAX_GOSSIP_BYTES: Final = 512
MAX_BACKUP_HEAD_BYTES: Final = 201


class ContentType(IntEnum):
    """What a body is; other numbers are unknown, not wrong."""

    EMPTY = 0  # nothing to show: lets the ratchet turn, or carries an introduction alone
    TEXT = 1
    FILE = 2
    COPY = 3  # for the own other devices: what was sent
    SHARED_ITEMS = 4  # for the own other devices: contacts, tokens, names, settings
    HISTORY_KEYS = 5  # sealed to the own devices that may have the history: client/archive/giving.py
    REACTION = 10
    EDIT = 11
    DELETE = 12
    RECEIPT = 13
    TYPING = 14
    PRESENCE = 15
    GROUP_INVITATION = 20  # client/groups/invitations.py
    GROUP_JOIN = 21
    GROUP_WELCOME = 22  # to who joins, and to a new device: client/groups/bodies.py
    GROUP_SECRETS = 23
    GROUP_CHAIN = 24
    GROUP_REQUEST = 25  # client/groups/requests.py
    GROUP_TOKENS = 26  # client/groups/member_tokens.py
    GROUP_ASK = 27
    GROUP_COMMIT = 28
    CONTACT_TOKEN = 30  # client/contact_tokens.py
    RESEND = 31
    PROFILE_KEY = 33  # client/profiles.py
    MANIFEST_EVIDENCE = 32  # a signed manifest, asked for or shown: what stands behind gossip


OF_GROUPS: Final = frozenset(
    {
        ContentType.GROUP_INVITATION,
        ContentType.GROUP_JOIN,
        ContentType.GROUP_REQUEST,
        ContentType.GROUP_TOKENS,
        ContentType.GROUP_WELCOME,
        ContentType.GROUP_SECRETS,
        ContentType.GROUP_CHAIN,
        ContentType.GROUP_ASK,
        ContentType.GROUP_COMMIT,
    }
)
"""What members of a group tell each other for its sake: it introduces nobody, and makes nobody a contact."""


class Introduction(msgspec.Struct, frozen=True, array_like=True):
    """How the recipient can answer: the sender's delivery token of class `contact`, and the name the sender claims."""

    token: Annotated[
        bytes, Meta(min_length=limits.DELIVERY_TOKEN_BYTES, max_length=limits.DELIVERY_TOKEN_BYTES)
    ]
    handle: Annotated[str, Meta(max_length=limits.MAX_HANDLE_CHARACTERS)] = ""

    def __repr__(self) -> str:
        return f"Introduction(handle={self.handle!r})"


class Reference(msgspec.Struct, frozen=True, array_like=True):
    """Names one message; `reference` binds author, device, conversation and content (docs/protocol.md, "References")."""

    account: Annotated[bytes, Meta(min_length=limits.ACCOUNT_ID_BYTES, max_length=limits.ACCOUNT_ID_BYTES)]
    """Of its author."""
    message_id: Annotated[bytes, Meta(min_length=MESSAGE_ID_BYTES, max_length=MESSAGE_ID_BYTES)]
    reference: Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]


class Text(msgspec.Struct, frozen=True, array_like=True):
    """The body of a text; an empty one is a text too. What answers nothing is encoded without the second field."""

    text: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
    answers: Reference | None = None


class FilePointer(msgspec.Struct, frozen=True, array_like=True):
    """The body of a file: where its blob is, the key that opens it, and what it must be."""

    blob_id: Annotated[bytes, Meta(min_length=limits.BLOB_ID_BYTES, max_length=limits.BLOB_ID_BYTES)]
    key: Annotated[bytes, Meta(min_length=BLOB_KEY_BYTES, max_length=BLOB_KEY_BYTES)]
    size_bytes: Annotated[int, Meta(ge=0, le=limits.MAX_BLOB_BYTES)]
    """Of the plain file."""
    ciphertext_sha256: Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    media_type: Annotated[str, Meta(min_length=1, max_length=127)]

    def __repr__(self) -> str:
        return f"FilePointer(name={self.name!r}, size_bytes={self.size_bytes})"


class BackupHeads(msgspec.Struct, frozen=True, array_like=True):
    """The signed heads of two backups, each empty if none is known: the sender's newest, and the recipient's as heard of."""

    own: Annotated[bytes, Meta(max_length=MAX_BACKUP_HEAD_BYTES)]
    theirs: Annotated[bytes, Meta(max_length=MAX_BACKUP_HEAD_BYTES)]


class Content(msgspec.Struct, frozen=True, array_like=True):
    """One content. `counter` numbers what the sending device sends to this conversation, from 1.

    `previous_hash` is SHA-256 of the encoded content before (empty for the first). What is sealed as an ephemeral message
    is not counted: 0, and no hash.
    """

    type: Annotated[int, Meta(ge=0, le=65_535)]
    conversation_id: Annotated[
        bytes, Meta(min_length=CONVERSATION_ID_BYTES, max_length=CONVERSATION_ID_BYTES)
    ]
    message_id: Annotated[bytes, Meta(min_length=MESSAGE_ID_BYTES, max_length=MESSAGE_ID_BYTES)]
    counter: Annotated[int, Meta(ge=0, le=2**53)]
    previous_hash: Annotated[bytes, Meta(max_length=limits.HASH_BYTES)]
    sent_at_ms: Annotated[int, Meta(ge=0, le=2**53)]
    expires_after_seconds: Annotated[int, Meta(ge=0, le=2**32)]
    """0: never."""
    introduction: Introduction | None
    body: msgspec.Raw
    gossip: Annotated[bytes, Meta(max_length=MAX_GOSSIP_BYTES)] = b""
    """What contacts tell each other of manifests and the relay's log; left out of the array if there is none."""
    backups: BackupHeads | None = None
    """Likewise, of the newest backups."""


_encoder: Final = msgspec.msgpack.Encoder()
_content: Final = msgspec.msgpack.Decoder(Content)
EMPTY_BODY: Final = _encoder.encode(None)


def direct_conversation(one: bytes, other: bytes) -> bytes:
    """The 32 B id of the conversation of two accounts: both compute it, nobody has to hand it out."""
    first, second = sorted((one, other))
    return hashlib.sha256(transcript(DIRECT_CONVERSATION_LABEL, first, second)).digest()


def encode_content(content: Content) -> bytes:
    """The bytes that are encrypted."""
    fields = msgspec.structs.astuple(content)
    if content.backups is None:
        fields = fields[:-1] if content.gossip else fields[:-2]
    return _encoder.encode(fields)


def encode_body(body: msgspec.Struct) -> bytes:
    """The bytes of a body."""
    if isinstance(body, Text) and body.answers is None:
        return _encoder.encode([body.text])
    return _encoder.encode(body)


def content_hash(encoded: bytes) -> bytes:
    """32 B: what the sender's next content names as its predecessor."""
    return hashlib.sha256(encoded).digest()


def decode_content(encoded: bytes, *, is_counted: bool = True) -> Content:
    """The content; raises InvalidEncoding. `is_counted`: it came by the mailbox, not as an ephemeral message."""
    try:
        content = _content.decode(encoded)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEncoding("what opened is not a content") from error
    if len(content.previous_hash) not in (0, limits.HASH_BYTES) or (
        (content.counter <= 1) != (not content.previous_hash)
    ):
        raise InvalidEncoding("the first content alone has no predecessor")
    if (content.counter > 0) != is_counted:
        raise InvalidEncoding("contents of the mailbox are counted, ephemeral ones are not")
    return content


def decode_text(body: bytes) -> str:
    """The text of a body; raises InvalidEncoding."""
    return decode_body(Text, body).text


def decode_file(body: bytes) -> FilePointer:
    """The file pointer of a body; raises InvalidEncoding."""
    return decode_body(FilePointer, body)


def decode_body(kind: type[Body], body: bytes) -> Body:
    """A body of this kind; raises InvalidEncoding."""
    try:
        decoded: Body = _body_decoder(kind).decode(body)
        return decoded
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEncoding(f"not the body of a {kind.__name__}") from error


@cache
def _body_decoder(kind: type[Body]) -> msgspec.msgpack.Decoder[Body]:
    return msgspec.msgpack.Decoder(kind)
