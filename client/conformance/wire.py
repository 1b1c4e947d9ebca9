"""The bytes of the protocol as docs/protocol.md writes them (Conventions, Links, Transcripts, frames)."""

import base64
import binascii
import hashlib
import struct
from typing import Any, Final

import msgspec

SUBPROTOCOL: Final = "tokenim.v1"
SUITE: Final = b"\x01"

# Frames by their numbers.
SUBMIT, ACK, RESUME, AUTHENTICATE, ANONYMOUS = 1, 2, 3, 4, 5
ACCEPTED, DELIVER, CAUGHT_UP, MISSED, REFUSED, NOTICE, CHALLENGE, READY = 10, 11, 12, 13, 14, 15, 16, 17
FRAME_NAMES: Final = {
    SUBMIT: "submit",
    ACK: "ack",
    RESUME: "resume",
    AUTHENTICATE: "authenticate",
    ANONYMOUS: "anonymous",
    ACCEPTED: "accepted",
    DELIVER: "deliver",
    CAUGHT_UP: "caught_up",
    MISSED: "missed",
    REFUSED: "refused",
    NOTICE: "notice",
    CHALLENGE: "challenge",
    READY: "ready",
}

DURABLE, EPHEMERAL = 1, 2
STORED, MAILBOX_FULL, UNKNOWN_DEVICE, NOT_ALLOWED, CONFLICT, RELAYED, BUDGET_SPENT, WORK_REQUIRED = range(
    1, 9
)


def transcript(label: str, *fields: bytes | None) -> bytes:
    """label, a zero byte, the suite, and each field after its length (u32); None is an absent one."""
    parts = [label.encode("ascii"), b"\0", SUITE]
    for field in fields:
        parts += [struct.pack(">I", len(field or b"")), field or b""]
    return b"".join(parts)


def u64(number: int) -> bytes:
    """8 B, big-endian."""
    return struct.pack(">Q", number)


def sha256(data: bytes) -> bytes:
    """32 B (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def to_base64(data: bytes) -> str:
    """base64url without padding, RFC 4648 section 5."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes; raises ValueError for what is not the canonical form."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text!r} is not base64url") from error
    if to_base64(data) != text:
        raise ValueError(f"{text!r} is not the canonical base64url of its bytes")
    return data


def to_base32(data: bytes) -> str:
    """base32 without padding, lower case, RFC 4648 section 6."""
    return base64.b32encode(data).rstrip(b"=").decode("ascii").lower()


def pack_frames(*frames: list[Any]) -> bytes:
    """One WebSocket message: a MessagePack array of frames."""
    return msgspec.msgpack.encode(list(frames))


def unpack_frames(message: bytes) -> list[list[Any]]:
    """The frames of one message; raises ValueError for what is no array of 1 to 64 arrays that begin with a number."""
    try:
        frames = msgspec.msgpack.decode(message)
    except msgspec.DecodeError as error:
        raise ValueError(f"not one MessagePack value: {error}") from error
    if not isinstance(frames, list) or not 1 <= len(frames) <= 64:
        raise ValueError("a message is an array of 1 to 64 frames")
    if not all(isinstance(frame, list) and frame and isinstance(frame[0], int) for frame in frames):
        raise ValueError("a frame is an array that begins with its type")
    return frames


def told(frame: list[Any]) -> str:
    """A frame for a person: its name, and fields with long bytes cut."""
    fields = ", ".join(
        f"{field[:8].hex()}… ({len(field)} B)" if isinstance(field, bytes) and len(field) > 8 else repr(field)
        for field in frame[1:]
    )
    return f"{FRAME_NAMES.get(frame[0], frame[0])}({fields})"


def leading_zero_bits(digest: bytes) -> int:
    """Of the most significant bit of the first byte on."""
    return len(digest) * 8 - int.from_bytes(digest, "big").bit_length()
