"""Bytes to frames and back: one WebSocket message is one MessagePack array of 1 to 64 frames. Knows no meaning.

Everything that is not exactly of the protocol raises MalformedFrame or TooLarge: trailing bytes, unknown types, wrong
lengths, extra fields, deep nesting.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from . import limits
from .errors import MalformedFrame, TooLarge
from .frames import ClientFrame, EnvelopeClass, Frame, RelayFrame

SUBPROTOCOL = "tokenim.v1"

_from_client = msgspec.msgpack.Decoder(
    Annotated[tuple[ClientFrame, ...], Meta(min_length=1, max_length=limits.MAX_FRAMES_PER_MESSAGE)]
)
_from_relay = msgspec.msgpack.Decoder(
    Annotated[tuple[RelayFrame, ...], Meta(min_length=1, max_length=limits.MAX_FRAMES_PER_MESSAGE)]
)
_encoder = msgspec.msgpack.Encoder()
_DELIVER_HEAD = bytes((0x96, 11))  # an array of 6, the first the type


def _decode(
    decoder: "msgspec.msgpack.Decoder[tuple[ClientFrame, ...]] | msgspec.msgpack.Decoder[tuple[RelayFrame, ...]]",
    message: bytes,
) -> tuple[ClientFrame | RelayFrame, ...]:
    if len(message) > limits.MAX_MESSAGE_BYTES:
        raise TooLarge
    try:
        return decoder.decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # The library's words can quote the input: they go no further.
        raise MalformedFrame from error


def decode_from_client(message: bytes) -> tuple[ClientFrame, ...]:
    """The frames of a client's message; raises MalformedFrame or TooLarge."""
    return _decode(_from_client, message)  # type: ignore[return-value]  # the decoder's own type says it


def decode_from_relay(message: bytes) -> tuple[RelayFrame, ...]:
    """The frames of a relay's message; raises MalformedFrame or TooLarge."""
    return _decode(_from_relay, message)  # type: ignore[return-value]  # the decoder's own type says it


def encode_frame(frame: Frame) -> bytes:
    """One frame's bytes, without the array around it; a fan-out's body is encoded once and shared."""
    return _encoder.encode(frame)


def deliver_head(sequence: int) -> bytes:
    """A `deliver` frame up to its sequence, which each target of a fan-out has its own of; `deliver_tail` is the rest."""
    return _DELIVER_HEAD + _encoder.encode(sequence)


def deliver_tail(
    envelope_id: bytes, received_at_ms: int, envelope_class: EnvelopeClass, ciphertext: bytes
) -> bytes:
    """What follows the sequence in a `deliver` frame: encoded once for all targets of a ciphertext."""
    return _encoder.encode((envelope_id, received_at_ms, envelope_class, ciphertext))[1:]


def message_head(count: int) -> bytes:
    """What stands before `count` encoded frames in a message: the MessagePack array header (fixarray or array 16)."""
    if not 1 <= count <= limits.MAX_FRAMES_PER_MESSAGE:
        raise ValueError(f"a message holds 1 to {limits.MAX_FRAMES_PER_MESSAGE} frames, got {count}")
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def join_frames(encoded: Sequence[bytes]) -> bytes:
    """A message from 1 to 64 encoded frames."""
    return message_head(len(encoded)) + b"".join(encoded)


def encode_message(frames: Sequence[Frame]) -> bytes:
    """A message of 1 to 64 frames; the caller keeps it under MAX_MESSAGE_BYTES (see `batches`)."""
    return join_frames([_encoder.encode(frame) for frame in frames])


def batches(encoded: Sequence[bytes]) -> list[bytes]:
    """Encoded frames as messages, in order, each within the frame count and the size of a message."""
    messages: list[bytes] = []
    start, size = 0, 3
    for index, frame in enumerate(encoded):
        if index > start and (
            index - start == limits.MAX_FRAMES_PER_MESSAGE or size + len(frame) > limits.MAX_MESSAGE_BYTES
        ):
            messages.append(join_frames(encoded[start:index]))
            start, size = index, 3
        size += len(frame)
    if start < len(encoded):
        messages.append(join_frames(encoded[start:]))
    return messages
