"""Sixty digits that two people compare: they agree exactly if both see the same two accounts.

docs/protocol.md, "Safety number".
"""

import hmac
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding
from .primitives import sha512
from .transcript import transcript

__all__ = ["matches_safety_number", "safety_number", "spaced"]

_GROUPS: Final = 12
_BYTES_PER_GROUP: Final = 5
_GROUP_DIGITS: Final = 5


def safety_number(one: bytes, other: bytes) -> str:
    """60 digits: 12 groups, each 5 B (big-endian) mod 100,000 of SHA-512 over label and both ids in order.

    The same from both sides. The QR code holds these digits, without spaces.
    """
    if len(one) != limits.ACCOUNT_ID_BYTES or len(other) != limits.ACCOUNT_ID_BYTES:
        raise InvalidEncoding("account ids must be 32 bytes")
    digest = sha512(transcript(labels.SAFETY_NUMBER, *sorted((one, other))))
    starts = range(0, _GROUPS * _BYTES_PER_GROUP, _BYTES_PER_GROUP)
    groups = (int.from_bytes(digest[start : start + _BYTES_PER_GROUP], "big") for start in starts)
    return "".join(f"{group % 10**_GROUP_DIGITS:0{_GROUP_DIGITS}d}" for group in groups)


def spaced(number: str) -> str:
    """The digits in groups of five, as they are shown."""
    return " ".join(number[at : at + _GROUP_DIGITS] for at in range(0, len(number), _GROUP_DIGITS))


def matches_safety_number(one: bytes, other: bytes, shown: str) -> bool:
    """Whether what was typed or scanned, spaces aside, is the number of these two accounts."""
    typed = "".join(shown.split())
    return hmac.compare_digest(safety_number(one, other).encode(), typed.encode())
