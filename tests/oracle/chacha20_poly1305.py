"""ChaCha20-Poly1305 after RFC 8439, section 2: slow, not constant in time, and for tests alone."""

import struct

from tests.oracle.refusals import require

ROUNDS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)
MASK = 0xFFFFFFFF


def _turned(value: int, bits: int) -> int:
    return (value << bits & MASK) | value >> 32 - bits


def block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """64 B of the stream."""
    start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key)]
    start += [counter, *struct.unpack("<3I", nonce)]
    x = list(start)
    for _ in range(10):
        for a, b, c, d in ROUNDS:
            x[a] = x[a] + x[b] & MASK
            x[d] = _turned(x[d] ^ x[a], 16)
            x[c] = x[c] + x[d] & MASK
            x[b] = _turned(x[b] ^ x[c], 12)
            x[a] = x[a] + x[b] & MASK
            x[d] = _turned(x[d] ^ x[a], 8)
            x[c] = x[c] + x[d] & MASK
            x[b] = _turned(x[b] ^ x[c], 7)
    return struct.pack("<16I", *(one + two & MASK for one, two in zip(x, start, strict=True)))


def crypt(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """XOR with the stream from block 1 on."""
    stream = b"".join(block(key, 1 + at // 64, nonce) for at in range(0, len(data), 64))
    return bytes(one ^ two for one, two in zip(data, stream, strict=False))


def poly1305(key: bytes, data: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def _tag(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    sealed = ad + bytes(-len(ad) % 16) + ciphertext + bytes(-len(ciphertext) % 16)
    sealed += struct.pack("<QQ", len(ad), len(ciphertext))
    return poly1305(block(key, 0, nonce)[:32], sealed)


def seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    ciphertext = crypt(key, nonce, plaintext)
    return ciphertext + _tag(key, nonce, ciphertext, ad)


def unseal(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    require(len(sealed) >= 16, "no tag", "Undecryptable")
    ciphertext, tag = sealed[:-16], sealed[-16:]
    require(_tag(key, nonce, ciphertext, ad) == tag, "tag", "Undecryptable")
    return crypt(key, nonce, ciphertext)
