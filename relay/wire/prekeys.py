"""Signed prekeys as they travel and as the relay files them; docs/protocol.md, "Prekeys".

The relay checks shape, order and signature, not age.

Layout of one signed key: kind 1 ‖ class 1 ‖ id u32 ‖ made_at_ms u64 ‖ signature 64 ‖ public key.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from . import limits
from .errors import MalformedRequest
from .transcripts import PREKEY_LABEL, transcript


class PrekeyKind(IntEnum):
    """What a key is for."""

    SIGNED = 1  # X25519, rotating
    KEM = 2  # ML-KEM-768, one-time or last resort
    ONE_TIME = 3  # X25519
    SEALING = 4  # X-Wing, rotating


class PrekeyClass(IntEnum):
    """How often a key is given out; signed, and in the transcript of each set-up."""

    ROTATING = 1  # to everybody until the next one
    ONE_TIME = 2  # to one asker
    LAST_RESORT = 3  # to everybody when no one-time key is to be had


KEY_BYTES: Final = {
    PrekeyKind.SIGNED: limits.PUBLIC_KEY_BYTES,
    PrekeyKind.KEM: limits.KEM_PUBLIC_KEY_BYTES,
    PrekeyKind.ONE_TIME: limits.PUBLIC_KEY_BYTES,
    PrekeyKind.SEALING: limits.SEALING_KEY_BYTES,
}
CLASSES: Final = {
    PrekeyKind.SIGNED: frozenset({PrekeyClass.ROTATING}),
    PrekeyKind.KEM: frozenset({PrekeyClass.ONE_TIME, PrekeyClass.LAST_RESORT}),
    PrekeyKind.ONE_TIME: frozenset({PrekeyClass.ONE_TIME}),
    PrekeyKind.SEALING: frozenset({PrekeyClass.ROTATING}),
}
_HEADER_BYTES: Final = 78


@dataclass(frozen=True, slots=True)
class SignedPrekey:
    """One parsed signed key; `encoded` are its exact bytes."""

    kind: PrekeyKind
    key_class: PrekeyClass
    key_id: int
    made_at_ms: int
    signature: bytes
    key: bytes
    encoded: bytes

    def signed_transcript(self, account_id: bytes, device_id: bytes) -> bytes:
        """What `signature` (by the device's signing key) covers."""
        return transcript(
            PREKEY_LABEL,
            account_id,
            device_id,
            bytes((self.kind,)),
            bytes((self.key_class,)),
            self.key_id.to_bytes(4, "big"),
            self.made_at_ms.to_bytes(8, "big"),
            self.key,
        )


def parse_prekey(encoded: bytes) -> SignedPrekey:
    """The signed key in `encoded`; raises MalformedRequest for an unknown kind, a class it cannot have, or a wrong length."""
    if len(encoded) < _HEADER_BYTES:
        raise MalformedRequest("a prekey is too short")
    try:
        kind, key_class = PrekeyKind(encoded[0]), PrekeyClass(encoded[1])
    except ValueError as error:
        raise MalformedRequest("a prekey has an unknown kind or class") from error
    if key_class not in CLASSES[kind] or len(encoded) != _HEADER_BYTES + KEY_BYTES[kind]:
        raise MalformedRequest("a prekey has a class or length that its kind cannot have")
    return SignedPrekey(
        kind=kind,
        key_class=key_class,
        key_id=int.from_bytes(encoded[2:6], "big"),
        made_at_ms=int.from_bytes(encoded[6:14], "big"),
        signature=encoded[14:78],
        key=encoded[78:],
        encoded=encoded,
    )
