"""What devices tell each other of a group inside their sessions: the bodies of contents 22, 23, 24, 27 and 28.

docs/protocol.md, "Groups", "What travels in sessions".
"""

from enum import IntEnum
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from client.contents import FilePointer
from crypto.errors import InvalidEncoding
from crypto.group_epoch import EPOCH_HAND_OUT_BYTES
from crypto.limits import CHAIN_ID_BYTES, GROUP_ID_BYTES, MAX_EPOCH, MAX_KEPT_EPOCHS
from crypto.sender_chains import CHAIN_HAND_OUT_BYTES
from relay.wire.limits import DELIVERY_TOKEN_BYTES

MAX_STATE_BYTES: Final = 200_000  # of a state inside a welcome; a larger one lies in a blob
MAX_TOLD_ENTRY_BYTES: Final = 200_000  # of a log entry that goes along with a commit that is told

GroupId = Annotated[bytes, Meta(min_length=GROUP_ID_BYTES, max_length=GROUP_ID_BYTES)]
SecretBytes = Annotated[bytes, Meta(min_length=EPOCH_HAND_OUT_BYTES, max_length=EPOCH_HAND_OUT_BYTES)]
ChainBytes = Annotated[bytes, Meta(min_length=CHAIN_HAND_OUT_BYTES, max_length=CHAIN_HAND_OUT_BYTES)]


class WelcomeBody(msgspec.Struct, frozen=True, array_like=True):
    """22: the present secret, what reads the log, where it goes on, and the state; one over 200,000 B lies in a blob.

    `read_token` is that of the epoch's cut: steps do not change it, and nobody can compute it from a step's secret.
    """

    hand_out: SecretBytes
    read_token: Annotated[bytes, Meta(min_length=32, max_length=32)]
    next_entry: Annotated[int, Meta(ge=0, le=MAX_EPOCH)]
    state: Annotated[bytes, Meta(max_length=MAX_STATE_BYTES)]
    blob: FilePointer | None = None

    def __repr__(self) -> str:
        return f"WelcomeBody(next_entry={self.next_entry})"


class SecretsBody(msgspec.Struct, frozen=True, array_like=True):
    """23: secrets of cuts of one group, oldest first."""

    hand_outs: Annotated[tuple[SecretBytes, ...], Meta(min_length=1, max_length=MAX_KEPT_EPOCHS)]

    def __repr__(self) -> str:
        return f"SecretsBody({len(self.hand_outs)})"


class ChainBody(msgspec.Struct, frozen=True, array_like=True):
    """24: the sending device's own chain where it stands, and the token by which its account is reached in this group."""

    hand_out: ChainBytes
    token: Annotated[bytes, Meta(max_length=DELIVERY_TOKEN_BYTES)] = b""

    def __repr__(self) -> str:
        return "ChainBody()"


class Lacks(IntEnum):
    """What the asking device lacks."""

    SECRETS = 1  # of cuts, from `epoch` on
    CHAIN = 2  # of the device that is asked: `chain_id`
    LIST = 3  # nothing: its account's device list is newer than the group's
    WELCOME = 4  # the entries of the log that it should read next are gone
    NOTHING = 5  # and it answers 1 or 4: the account that asked is not in the group


class AskBody(msgspec.Struct, frozen=True, array_like=True):
    """27: a member's device lacks something. `token`: by which its account is reached in this group, if the relay has it."""

    group_id: GroupId
    lacks: Annotated[int, Meta(ge=0, le=255)]
    epoch: Annotated[int, Meta(ge=0, le=MAX_EPOCH)] = 0
    chain_id: Annotated[bytes, Meta(max_length=CHAIN_ID_BYTES)] = b""
    token: Annotated[bytes, Meta(max_length=DELIVERY_TOKEN_BYTES)] = b""

    def __repr__(self) -> str:
        return f"AskBody(lacks={self.lacks})"


class CommitBody(msgspec.Struct, frozen=True, array_like=True):
    """28: the group's log has this entry. Who was removed gets the entry itself, because it reads the log no more."""

    group_id: GroupId
    index: Annotated[int, Meta(ge=0, le=MAX_EPOCH)]
    entry: Annotated[bytes, Meta(max_length=MAX_TOLD_ENTRY_BYTES)] = b""


_Body = TypeVar("_Body", WelcomeBody, SecretsBody, ChainBody, AskBody, CommitBody)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(body: WelcomeBody | SecretsBody | ChainBody | AskBody | CommitBody) -> bytes:
    """The bytes of a body."""
    return _encoder.encode(body)


def decode(encoded: bytes, shape: type[_Body]) -> _Body:
    """The body of these bytes; raises InvalidEncoding. Fields that a later version adds are ignored."""
    try:
        return msgspec.msgpack.decode(encoded, type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidEncoding(f"not the body of a {shape.__name__}") from error
