"""Files as the kit's own peer seals and opens them (docs/protocol.md, Blob encryption)."""

import hmac
import os
from typing import Final

from client.conformance.report import Failed

from .peer_keys import TAG_BYTES, derive, label, seal, unseal

SEGMENT_BYTES: Final = 65_536
_SUITE: Final = b"\x01"
_HEAD_BYTES: Final = 49


def padded_size(size: int) -> int:
    """256, 512, 1,024 or the PADME size of so much, without an upper end."""
    for small in (256, 512, 1_024):
        if size <= small:
            return small
    exponent = size.bit_length() - 1
    unit = 1 << (exponent - exponent.bit_length())
    return -(-size // unit) * unit


def _keys(key: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """AES key, prefix of the nonces, commitment."""
    derived = derive(salt, key, label("blob"), 71)
    return derived[:32], derived[32:39], derived[39:]


def seal_blob(
    content: bytes, key: bytes, *, filler: bytes = b"\0", commitment: bytes = b"", more: int = 0
) -> bytes:
    """A blob; `filler`, `commitment` and `more` bytes of padding make what the document has refused."""
    salt = os.urandom(16)
    aes, prefix, committed = _keys(key, salt)
    padded = content.ljust(padded_size(len(content)) + more, filler)
    pieces = [padded[at : at + SEGMENT_BYTES] for at in range(0, len(padded), SEGMENT_BYTES)]
    segments = [
        seal(aes, _nonce(prefix, index, index == len(pieces) - 1), piece, b"")
        for index, piece in enumerate(pieces)
    ]
    return _SUITE + salt + (commitment or committed) + b"".join(segments)


def open_blob(blob: bytes, key: bytes, size: int) -> bytes:
    """What is in it, of its true length; raises Failed for anything that is not as the document says."""
    if blob[:1] != _SUITE:
        raise Failed("a blob begins with the suite, 1")
    aes, prefix, commitment = _keys(key, blob[1:17])
    if not hmac.compare_digest(commitment, blob[17:_HEAD_BYTES]):
        raise Failed("the commitment of a blob is not that of the key in the message")
    whole, rest = padded_size(size), blob[_HEAD_BYTES:]
    count = -(-whole // SEGMENT_BYTES)
    if len(rest) != whole + count * TAG_BYTES:
        raise Failed(
            f"a blob of {size} B has {_HEAD_BYTES + whole + count * TAG_BYTES} B, and this one {len(blob)}"
        )
    padded = b""
    for index in range(count):
        sealed, rest = rest[: SEGMENT_BYTES + TAG_BYTES], rest[SEGMENT_BYTES + TAG_BYTES :]
        opened = unseal(aes, _nonce(prefix, index, index == count - 1), sealed, b"")
        if opened is None:
            raise Failed(f"segment {index} of a blob does not open by the key in the message")
        padded += opened
    if any(padded[size:]):
        raise Failed("the padding of a blob holds something else than zeros")
    return padded[:size]


def _nonce(prefix: bytes, index: int, is_last: bool) -> bytes:
    return prefix + index.to_bytes(4, "big") + bytes((is_last,))
