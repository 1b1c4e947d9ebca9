"""Padding hides lengths: every envelope has one of a few sizes, and its padding is proved to be zeros.

Sizes: 256, 512, 1,024 bytes, then PADMÉ (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
Communication with PURBs", 2019, section 4) up to MAX_ENVELOPE_BYTES. Inside: u32 big-endian length ‖ content ‖ zeros.
Knows nothing of keys. docs/protocol.md, "Envelopes and padding".
"""

from bisect import bisect_left
from typing import Final

from .errors import InvalidEncoding, TooLarge
from .limits import MAX_ENVELOPE_BYTES, SMALL_BUCKETS_BYTES

__all__ = [
    "BUCKETS",
    "LENGTH_BYTES",
    "bucket_for",
    "is_bucket",
    "pad",
    "padded_blob_length",
    "unpad",
    "unpad_blob",
]

LENGTH_BYTES: Final = 4  # u32 big-endian


def padme(length: int) -> int:
    """The smallest PADMÉ size that is at least `length` (≥ 2) bytes; at most 12 % larger."""
    exponent = length.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << free_bits) - 1
    return (length + mask) & ~mask


def padded_blob_length(true_length: int) -> int:
    """The padded plaintext size in bytes of a blob of `true_length` bytes: the envelope rule without an upper end."""
    if true_length < 0:
        raise ValueError(f"a length cannot be negative: {true_length}")
    for small in SMALL_BUCKETS_BYTES:
        if true_length <= small:
            return small
    return padme(true_length)


def _all_buckets() -> tuple[int, ...]:
    buckets = [SMALL_BUCKETS_BYTES[0]]
    while buckets[-1] < MAX_ENVELOPE_BYTES:
        buckets.append(padded_blob_length(buckets[-1] + 1))
    return tuple(buckets)


BUCKETS: Final[tuple[int, ...]] = _all_buckets()
"""Every size in bytes that an envelope of any kind can have, ascending."""

_BUCKET_SET: Final = frozenset(BUCKETS)


def bucket_for(minimum_bytes: int) -> int:
    """The smallest bucket of at least `minimum_bytes`; raises TooLarge above MAX_ENVELOPE_BYTES."""
    index = bisect_left(BUCKETS, minimum_bytes)
    if index == len(BUCKETS):
        raise TooLarge(f"needs {minimum_bytes} bytes, an envelope holds at most {MAX_ENVELOPE_BYTES}")
    return BUCKETS[index]


def is_bucket(size_bytes: int) -> bool:
    """Whether an envelope may have this size."""
    return size_bytes in _BUCKET_SET


def pad(content: bytes, padded_bytes: int) -> bytes:
    """`u32 length ‖ content ‖ zeros`, `padded_bytes` in all; raises TooLarge if the content does not fit."""
    length = len(content)
    if length + LENGTH_BYTES > padded_bytes:
        raise TooLarge(f"{length} bytes of content do not fit into {padded_bytes} padded bytes")
    return length.to_bytes(LENGTH_BYTES, "big") + content.ljust(padded_bytes - LENGTH_BYTES, b"\0")


def unpad(padded: bytes) -> bytes:
    """The content; raises InvalidEncoding if the length is impossible or the padding holds anything but zeros."""
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if len(padded) < LENGTH_BYTES or end > len(padded):
        raise InvalidEncoding("the padded content is shorter than it says")
    if padded[end:].strip(b"\0"):
        raise InvalidEncoding("the padding is not all zeros")
    return padded[LENGTH_BYTES:end]


def unpad_blob(padded: bytes, *, least_bytes: int = 0) -> bytes:
    """The content of what is padded as blobs are, `least_bytes` at least; raises InvalidEncoding also for another size.

    A size that the length does not give could tell whoever stores it something that its maker chose.
    """
    content = unpad(padded)
    if len(padded) != max(least_bytes, padded_blob_length(LENGTH_BYTES + len(content))):
        raise InvalidEncoding("not padded to the size that its content has")
    return content
