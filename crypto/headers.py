"""Ratchet headers: sealed, so that an observer sees neither ratchet keys nor counters, and of one size.

Layout, 48 B before sealing: 32 B ratchet public key ‖ u32 previous chain length ‖ u32 number ‖ u8 flags ‖ 7 zero
bytes. One header key gives two AES-256 keys: one for headers, one for the KEM block that may follow the header.
doubleratchet spec, #double-ratchet-with-header-encryption; docs/protocol.md, "Ratchet".
"""

from struct import Struct
from typing import Final, NamedTuple

from . import labels
from .errors import InvalidEncoding
from .limits import AEAD_KEY_BYTES, AEAD_TAG_BYTES, KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_KEY_BYTES, SUITE
from .primitives import AeadKey, hkdf_sha256
from .secret_value import SecretValue

__all__ = [
    "ENVELOPE_START",
    "HAS_KEM_CIPHERTEXT",
    "HAS_KEM_OFFER",
    "IS_EPHEMERAL",
    "KIND_RATCHET",
    "SEALED_HEADER_BYTES",
    "Header",
    "HeaderKey",
    "KemBlock",
    "block_length",
    "derive_header_key",
    "open_block",
    "seal_block",
    "seal_header",
    "try_open_header",
]

KIND_RATCHET: Final = 2
ENVELOPE_START: Final = bytes((KIND_RATCHET, SUITE))
"""Kind and suite: the first two bytes of a ratchet envelope, and the associated data of header and KEM block."""

HAS_KEM_OFFER: Final = 1
HAS_KEM_CIPHERTEXT: Final = 2
IS_EPHEMERAL: Final = 4
_KNOWN_FLAGS: Final = HAS_KEM_OFFER | HAS_KEM_CIPHERTEXT | IS_EPHEMERAL

_LAYOUT: Final = Struct(">32sIIBI3s")  # the 7 zero bytes as a u32 and 3 bytes
_RESERVED: Final = b"\0\0\0"
SEALED_HEADER_BYTES: Final = _LAYOUT.size + AEAD_TAG_BYTES

_BLOCK_BYTES: Final = (
    0,
    KEM_PUBLIC_KEY_BYTES + AEAD_TAG_BYTES,
    KEM_CIPHERTEXT_BYTES + AEAD_TAG_BYTES,
    KEM_PUBLIC_KEY_BYTES + KEM_CIPHERTEXT_BYTES + AEAD_TAG_BYTES,
)


class HeaderKey(SecretValue, frozen=True, eq=False):
    """The two AES-256 keys of one 32 B header key; each is used with the envelope's random nonce."""

    headers: AeadKey
    blocks: AeadKey


def derive_header_key(raw: bytes) -> HeaderKey:
    """HKDF of a 32 B header key: 32 B AES key of headers ‖ 32 B AES key of KEM blocks."""
    keys = hkdf_sha256(b"", raw, labels.HEADER_KEYS, 2 * AEAD_KEY_BYTES)
    return HeaderKey(AeadKey(keys[:AEAD_KEY_BYTES]), AeadKey(keys[AEAD_KEY_BYTES:]))


class Header(NamedTuple):
    """What the recipient must know before it can derive the message key."""

    ratchet_public: bytes
    """32 B X25519 key of the sender's chain."""
    previous_length: int
    """How many numbered messages the sender's chain before this one has."""
    number: int
    """From 0; of an ephemeral message its own counter."""
    flags: int


class KemBlock(NamedTuple):
    """What a chain carries for the post-quantum step; empty bytes where there is nothing."""

    offer: bytes
    """1,184 B ML-KEM-768 key of the sender."""
    ciphertext: bytes
    """1,088 B encapsulation to the key that the recipient offered."""


def seal_header(
    key: HeaderKey, nonce: bytes, ratchet_public: bytes, previous_length: int, number: int, flags: int
) -> bytes:
    """64 B."""
    plain = _LAYOUT.pack(ratchet_public, previous_length, number, flags, 0, _RESERVED)
    return key.headers.seal(nonce, plain, ENVELOPE_START)


def try_open_header(key: HeaderKey, nonce: bytes, sealed: bytes) -> Header | None:
    """The header, None if it is not of this key; raises InvalidEncoding for unknown flags or reserved bytes in use."""
    plain = key.headers.try_open(nonce, sealed, ENVELOPE_START)
    if plain is None:
        return None
    ratchet_public, previous_length, number, flags, reserved, rest = _LAYOUT.unpack(plain)
    if reserved or rest != _RESERVED or flags & ~_KNOWN_FLAGS:
        raise InvalidEncoding("the header has unknown flags or uses reserved bytes")
    return Header(ratchet_public, previous_length, number, flags)


def block_length(flags: int) -> int:
    """Bytes of the sealed KEM block that follows the header: 0, 1,200, 1,104 or 2,288."""
    return _BLOCK_BYTES[flags & (HAS_KEM_OFFER | HAS_KEM_CIPHERTEXT)]


def seal_block(key: HeaderKey, nonce: bytes, block: bytes) -> bytes:
    """[1,184 B offer] ‖ [1,088 B ciphertext], sealed; nothing if the block is empty."""
    return key.blocks.seal(nonce, block, ENVELOPE_START) if block else b""


def open_block(key: HeaderKey, nonce: bytes, sealed: bytes, flags: int) -> KemBlock:
    """Raise Undecryptable if the block was not sealed with this key and nonce."""
    if not sealed:
        return KemBlock(b"", b"")
    plain = key.blocks.open(nonce, sealed, ENVELOPE_START)
    split = KEM_PUBLIC_KEY_BYTES if flags & HAS_KEM_OFFER else 0
    return KemBlock(plain[:split], plain[split:])
