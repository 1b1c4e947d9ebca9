"""Sizes and padding; docs/protocol.md, "Envelopes and padding"."""

import math

from tests.oracle.refusals import Refused, require
from tests.oracle.transcripts import number, u32


def padme(length: int) -> int:
    """The size that a length above 1,024 is padded to."""
    exponent = math.floor(math.log2(length))
    unit = 2 ** (exponent - (math.floor(math.log2(exponent)) + 1))
    return -(-length // unit) * unit


BUCKETS = [256, 512, 1_024]
"""Every size an envelope can have: each above 1,024 is what one byte more than the one before it is padded to."""
while BUCKETS[-1] < 262_144:
    BUCKETS.append(padme(BUCKETS[-1] + 1))


def bucket_of(length: int) -> int:
    fitting = [bucket for bucket in BUCKETS if bucket >= length]
    if not fitting:
        raise Refused("too large")
    return fitting[0]


def pad(content: bytes, around: int) -> bytes:
    """What is sealed, when `around` bytes stand around it in the envelope."""
    length = bucket_of(around + 4 + len(content)) - around
    return (u32(len(content)) + content).ljust(length, b"\0")


def unpad(padded: bytes) -> bytes:
    length = number(padded[:4])
    require(len(padded) >= 4 and 4 + length <= len(padded), "length")
    require(not any(padded[4 + length :]), "padding")
    return padded[4 : 4 + length]
