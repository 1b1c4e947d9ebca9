"""Sealed blobs; docs/protocol.md, "Blob encryption"."""

from tests.oracle.aes_gcm import gcm_open, gcm_seal
from tests.oracle.padding import padme, unpad
from tests.oracle.refusals import require
from tests.oracle.transcripts import hkdf, split, u32

SEGMENT = 65_536


def derive(key: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """(AES key, prefix, commitment)."""
    aes, prefix, commitment = split(hkdf(salt, key, b"tokenim/v1 blob\0", 71), 32, 7, 32)
    return aes, prefix, commitment


def padded_length(length: int) -> int:
    return next((size for size in (256, 512, 1_024) if length <= size), 0) or padme(length)


def unpad_exactly(padded: bytes, least: int = 0) -> bytes:
    """What a backup, an entry of the archive or a profile holds, which has the size that its length gives."""
    content = unpad(padded)
    require(len(padded) == max(least, padded_length(4 + len(content))), "size")
    return content


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _nonce(prefix: bytes, index: int, count: int) -> bytes:
    return prefix + u32(index) + bytes([index == count - 1])


def segments(content: bytes, key: bytes, salt: bytes) -> list[bytes]:
    aes, prefix, _ = derive(key, salt)
    parts = _cut(content.ljust(padded_length(len(content)), b"\0"), SEGMENT)
    return [gcm_seal(aes, _nonce(prefix, at, len(parts)), part, b"") for at, part in enumerate(parts)]


def seal(content: bytes, key: bytes, salt: bytes) -> bytes:
    return b"\x01" + salt + derive(key, salt)[2] + b"".join(segments(content, key, salt))


def unseal(blob: bytes, key: bytes, true_length: int) -> bytes:
    require(blob[:1] == b"\x01", "suite")
    aes, prefix, commitment = derive(key, blob[1:17])
    require(blob[17:49] == commitment, "commitment", "Undecryptable")
    parts = _cut(blob[49:], SEGMENT + 16)
    whole = padded_length(true_length)
    require(len(blob) == 49 + whole + 16 * -(-whole // SEGMENT), "size", "Undecryptable")
    opened = b"".join(
        gcm_open(aes, _nonce(prefix, at, len(parts)), part, b"") for at, part in enumerate(parts)
    )
    require(not any(opened[true_length:]), "padding", "Undecryptable")
    return opened[:true_length]
