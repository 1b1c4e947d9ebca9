"""The one encoding of what is signed, hashed or associated data: no two field lists share an encoding.

Layout: label (ends in a zero byte) ‖ suite byte ‖ for each field u32 big-endian length ‖ bytes; an absent
field has length 0. docs/protocol.md, "Transcripts".
"""

from struct import Struct

from .errors import InvalidEncoding
from .limits import SUITE

__all__ = ["parse_transcript", "transcript", "u32", "u64"]

_U32 = Struct(">I")
_U64 = Struct(">Q")
_SUITE_BYTE = bytes((SUITE,))


def u32(value: int) -> bytes:
    """4 B big-endian."""
    return _U32.pack(value)


def u64(value: int) -> bytes:
    """8 B big-endian."""
    return _U64.pack(value)


def transcript(label: bytes, *fields: bytes | None) -> bytes:
    """Encode label, suite and fields; `None` is an absent field."""
    parts = [label, _SUITE_BYTE]
    for field in fields:
        if field:
            parts.append(_U32.pack(len(field)))
            parts.append(field)
        else:
            parts.append(b"\x00\x00\x00\x00")
    return b"".join(parts)


def parse_transcript(label: bytes, data: bytes, count: int | None = None) -> tuple[bytes, ...]:
    """Fields of a transcript made under this label and suite; `count` is their exact number if it is fixed.

    Raises InvalidEncoding for another label or suite, a cut field, trailing bytes or another count.
    """
    start = len(label)
    if data[:start] != label:
        raise InvalidEncoding("transcript has another label")
    if data[start : start + 1] != _SUITE_BYTE:
        raise InvalidEncoding("transcript has another suite")
    offset, end = start + 1, len(data)
    fields: list[bytes] = []
    while offset < end:
        if offset + 4 > end:
            raise InvalidEncoding("transcript ends inside a length")
        (length,) = _U32.unpack_from(data, offset)
        offset += 4
        if offset + length > end:
            raise InvalidEncoding("transcript ends inside a field")
        fields.append(bytes(data[offset : offset + length]))
        offset += length
        if count is not None and len(fields) > count:
            raise InvalidEncoding("transcript has too many fields")
    if count is not None and len(fields) != count:
        raise InvalidEncoding("transcript has too few fields")
    return tuple(fields)
