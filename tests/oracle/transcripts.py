"""Numbers and transcripts as bytes, SHA-256, HMAC and HKDF; docs/protocol.md, "Conventions"."""

import hashlib
import hmac

from tests.oracle.refusals import Refused


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac256(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, extract and expand; an empty salt is 32 zero bytes."""
    return expand(hmac256(salt or bytes(32), ikm), info, length)


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    blocks = [b""]
    while len(b"".join(blocks)) < length:
        blocks.append(hmac256(prk, blocks[-1] + info + bytes([len(blocks)])))
    return b"".join(blocks)[:length]


def transcript(label: bytes, *fields: bytes) -> bytes:
    return label + b"\x01" + b"".join(u32(len(field)) + field for field in fields)


def fields_of(label: bytes, data: bytes) -> list[bytes]:
    """The fields of a transcript with this label."""
    if not data.startswith(label + b"\x01"):
        raise Refused("another label")
    fields, at = [], len(label) + 1
    while at < len(data):
        end = at + 4 + number(data[at : at + 4])
        if end > len(data):
            raise Refused("cut")
        fields.append(data[at + 4 : end])
        at = end
    return fields


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def split(data: bytes, *lengths: int) -> list[bytes]:
    """Parts of exactly these lengths."""
    parts, at = [], 0
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    if at != len(data):
        raise Refused("another length")
    return parts
