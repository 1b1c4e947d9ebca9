"""MessagePack as the protocol uses it, after the 2013 specification: nil, bool, integers, bin, str, array.

Maps, floats and extensions stand nowhere in the protocol, and are refused.
"""

import struct
from typing import Any

from tests.oracle.refusals import Refused, require

SIZED = {
    0xC4: ("bin", 1),
    0xC5: ("bin", 2),
    0xC6: ("bin", 4),
    0xD9: ("str", 1),
    0xDA: ("str", 2),
    0xDB: ("str", 4),
}
SIZED |= {0xDC: ("array", 2), 0xDD: ("array", 4)}
INTEGERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def decode_first(data: bytes) -> tuple[Any, bytes]:
    """(The value at the beginning, what follows it)."""
    require(data, "ends")
    first, rest = data[0], data[1:]
    if first <= 0x7F or first >= 0xE0:
        return (first if first <= 0x7F else first - 256), rest
    if first in CONSTANTS:
        return CONSTANTS[first], rest
    if first in INTEGERS:
        size = struct.calcsize(INTEGERS[first])
        require(len(rest) >= size, "ends")
        return struct.unpack(INTEGERS[first], rest[:size])[0], rest[size:]
    if 0x90 <= first <= 0x9F:
        return _decode_array(first & 15, rest)
    if 0xA0 <= first <= 0xBF:
        return _decode_bytes("str", first & 31, rest)
    require(first in SIZED, "a map, float or extension")
    family, size = SIZED[first]
    length, rest = int.from_bytes(rest[:size], "big"), rest[size:]
    return _decode_array(length, rest) if family == "array" else _decode_bytes(family, length, rest)


def _decode_bytes(family: str, length: int, data: bytes) -> tuple[Any, bytes]:
    require(len(data) >= length, "ends")
    try:
        return (data[:length] if family == "bin" else data[:length].decode()), data[length:]
    except UnicodeDecodeError:
        raise Refused("no UTF-8") from None


def _decode_array(count: int, data: bytes) -> tuple[Any, bytes]:
    found = []
    for _ in range(count):
        value, data = decode_first(data)
        found.append(value)
    return found, data


def decode(data: bytes) -> Any:
    value, rest = decode_first(data)
    require(not rest, "trailing bytes")
    return value


def _shortest(value: int) -> bytes:
    codes = (0xCC, 0xCD, 0xCE, 0xCF) if value >= 0 else (0xD0, 0xD1, 0xD2, 0xD3)
    for code in codes:
        try:
            return bytes([code]) + struct.pack(INTEGERS[code], value)
        except struct.error:
            continue
    raise Refused("no such integer")


def encode(value: Any) -> bytes:
    """The shortest form."""
    for code, constant in CONSTANTS.items():
        if value is constant:
            return bytes([code])
    if isinstance(value, int):
        return value.to_bytes(1, "big", signed=value < 0) if -32 <= value <= 127 else _shortest(value)
    if isinstance(value, bytes):
        return _head(len(value), {0xC4: 2**8, 0xC5: 2**16, 0xC6: 2**32}) + value
    if isinstance(value, str):
        data = value.encode()
        small = bytes([0xA0 | len(data)]) if len(data) <= 31 else b""
        return (small or _head(len(data), {0xD9: 2**8, 0xDA: 2**16, 0xDB: 2**32})) + data
    small = bytes([0x90 | len(value)]) if len(value) <= 15 else b""
    return (small or _head(len(value), {0xDC: 2**16, 0xDD: 2**32})) + b"".join(encode(one) for one in value)


def _head(length: int, ends: dict[int, int]) -> bytes:
    code = next(code for code, end in ends.items() if length < end)
    return bytes([code]) + length.to_bytes(SIZED[code][1], "big")
