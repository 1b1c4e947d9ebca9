"""Blobs: files sealed in segments that open alone, under a key that cannot open the same bytes as anything else.

Layout: header (suite 1 ‖ 16 B salt ‖ 32 B commitment), then segments of 65,536 B padded plaintext + 16 B tag, the last
one shorter or full. HKDF-SHA-256(salt, IKM = K, info = label) gives AES-256 key 32 ‖ nonce prefix 7 ‖ commitment 32;
nonce = prefix ‖ u32 index ‖ final flag (1 on the last segment, else 0). The true length travels in the message with K.
docs/protocol.md, "Blob encryption". Streams both ways; no compression (D4). Knows no file and no relay.
"""

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from . import labels
from .errors import InvalidEncoding, Undecryptable
from .limits import (
    AEAD_KEY_BYTES,
    AEAD_TAG_BYTES,
    BLOB_COMMITMENT_BYTES,
    BLOB_KEY_BYTES,
    BLOB_SALT_BYTES,
    BLOB_SEGMENT_BYTES,
    SUITE,
)
from .padding import padded_blob_length
from .primitives import aes256gcm_open, aes256gcm_seal, hkdf_sha256
from .transcript import u32

__all__ = [
    "BLOB_HEADER_BYTES",
    "SEALED_SEGMENT_BYTES",
    "BlobOpener",
    "ciphertext_length",
    "open_blob",
    "seal_blob",
    "segment_count",
]

_PREFIX_BYTES: Final = 7
_NONCE_END: Final = AEAD_KEY_BYTES + _PREFIX_BYTES
BLOB_HEADER_BYTES: Final = 1 + BLOB_SALT_BYTES + BLOB_COMMITMENT_BYTES
SEALED_SEGMENT_BYTES: Final = BLOB_SEGMENT_BYTES + AEAD_TAG_BYTES
MAX_BLOB_BYTES: Final = 2**32 * BLOB_SEGMENT_BYTES  # of padded plaintext: what a u32 index can number


@dataclass(frozen=True, slots=True, eq=False)
class _BlobKeys:
    aes_key: bytes = field(repr=False)
    prefix: bytes = field(repr=False)
    commitment: bytes

    def nonce(self, index: int, is_final: bool) -> bytes:
        return self.prefix + u32(index) + (b"\x01" if is_final else b"\x00")


def _derive(key: bytes, salt: bytes) -> _BlobKeys:
    if len(key) != BLOB_KEY_BYTES or len(salt) != BLOB_SALT_BYTES:
        raise InvalidEncoding(f"a blob key has {BLOB_KEY_BYTES} bytes and a salt {BLOB_SALT_BYTES}")
    derived = hkdf_sha256(salt, key, labels.BLOB, _NONCE_END + BLOB_COMMITMENT_BYTES)
    return _BlobKeys(derived[:AEAD_KEY_BYTES], derived[AEAD_KEY_BYTES:_NONCE_END], derived[_NONCE_END:])


def _padded_length(true_length: int) -> int:
    padded = padded_blob_length(true_length)
    if padded > MAX_BLOB_BYTES:
        raise InvalidEncoding(f"a blob holds at most {MAX_BLOB_BYTES} bytes")
    return padded


def segment_count(true_length: int) -> int:
    """How many segments a blob of `true_length` bytes has: at least 1."""
    return -(-_padded_length(true_length) // BLOB_SEGMENT_BYTES)


def ciphertext_length(true_length: int) -> int:
    """The size in bytes of the sealed blob, header, padding and tags included: what an upload must announce."""
    return BLOB_HEADER_BYTES + _padded_length(true_length) + segment_count(true_length) * AEAD_TAG_BYTES


def seal_blob(key: bytes, salt: bytes, true_length: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The header, then one sealed segment after the other; holds one segment in memory.

    `key` (32 B) and `salt` (16 B) are random and for this blob only: sealing something else under both gives both
    away. Raises InvalidEncoding if the chunks are not `true_length` bytes in all; what was made by then is useless.
    """
    keys = _derive(key, salt)
    yield bytes((SUITE,)) + salt + keys.commitment
    last = segment_count(true_length) - 1
    for index, segment in enumerate(_segments(true_length, chunks)):
        is_final = index == last
        yield aes256gcm_seal(keys.aes_key, keys.nonce(index, is_final), segment, b"")


def _segments(true_length: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The padded plaintext in segments; checks the length before it gives the last one."""
    padding_bytes = _padded_length(true_length) - true_length
    buffer, seen = bytearray(), 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > true_length:
            raise InvalidEncoding(f"the blob is longer than the {true_length} bytes announced")
        buffer += chunk
        while len(buffer) > BLOB_SEGMENT_BYTES:
            yield bytes(buffer[:BLOB_SEGMENT_BYTES])
            del buffer[:BLOB_SEGMENT_BYTES]
    if seen != true_length:
        raise InvalidEncoding(f"the blob ended after {seen} of {true_length} bytes")
    while padding_bytes or buffer:
        added = min(padding_bytes, BLOB_SEGMENT_BYTES - len(buffer))
        buffer += bytes(added)
        padding_bytes -= added
        yield bytes(buffer)
        buffer.clear()


class BlobOpener:
    """Opens the segments of one blob in any order, each checked by itself.

    The SHA-256 of the whole ciphertext, which the message names, is for the caller to check once all is there.
    """

    __slots__ = ("_keys", "_true_length", "segments")

    def __init__(self, key: bytes, true_length: int, header: bytes) -> None:
        """Raise Undecryptable unless the 49 B header commits to `key`; InvalidEncoding if it is no blob header."""
        if len(header) != BLOB_HEADER_BYTES or header[0] != SUITE or true_length < 0:
            raise InvalidEncoding("not a blob header of this suite")
        salt, commitment = header[1 : 1 + BLOB_SALT_BYTES], header[1 + BLOB_SALT_BYTES :]
        keys = _derive(key, salt)
        if not hmac.compare_digest(commitment, keys.commitment):
            raise Undecryptable("the blob was not sealed with this key")
        self._keys: Final = keys
        self._true_length: Final = true_length
        self.segments: Final = segment_count(true_length)
        """How many there are."""

    def sealed_range(self, index: int) -> tuple[int, int]:
        """(first byte, end) of segment `index` in the sealed blob: what a Range request asks for."""
        start = BLOB_HEADER_BYTES + index * SEALED_SEGMENT_BYTES
        return start, min(start + SEALED_SEGMENT_BYTES, ciphertext_length(self._true_length))

    def open_segment(self, index: int, sealed: bytes) -> bytes:
        """The true bytes of segment `index`, which begins at `index` × 65,536; empty where there is padding only.

        Raises Undecryptable for a segment of another place or blob, a changed one, and for padding that is not zeros.
        """
        if not 0 <= index < self.segments:
            raise Undecryptable("the blob has no such segment")
        start, end = self.sealed_range(index)
        if len(sealed) != end - start:
            raise Undecryptable("the segment has not the size of its place")
        keys = self._keys
        is_final = index == self.segments - 1
        padded = aes256gcm_open(keys.aes_key, keys.nonce(index, is_final), sealed, b"")
        true_bytes = min(max(self._true_length - index * BLOB_SEGMENT_BYTES, 0), len(padded))
        if padded[true_bytes:].strip(b"\0"):
            raise Undecryptable("the padding of the blob is not all zeros")
        return padded[:true_bytes]


def open_blob(key: bytes, true_length: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The plaintext of a sealed blob that comes in chunks of any size, in pieces of at most 65,536 B.

    Raises Undecryptable at the first segment that is wrong, missing or too much. Show nothing as whole before the end.
    """
    source = iter(chunks)
    buffer = bytearray()

    def take(count: int) -> bytes:
        while len(buffer) < count:
            if (chunk := next(source, None)) is None:
                raise Undecryptable("the blob is cut short")
            buffer.extend(chunk)
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    opener = BlobOpener(key, true_length, take(BLOB_HEADER_BYTES))
    for index in range(opener.segments):
        start, end = opener.sealed_range(index)
        if piece := opener.open_segment(index, take(end - start)):
            yield piece
    if buffer or any(source):
        raise Undecryptable("the blob goes on after its last segment")
