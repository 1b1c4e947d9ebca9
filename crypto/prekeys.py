"""Signed public prekeys: their exact bytes, and when a fetched bundle may be used. Holds no private key.

A signed key says its kind, class, id and time under its device's signature, so no key passes for one of another
kind or class (A3, A6). docs/protocol.md, "Prekeys".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, InvalidKey, StaleKey
from .manifest import DeviceEntry
from .primitives import ed25519_verify, hpke_check, ml_kem_768_check, x25519_check
from .transcript import transcript, u32, u64

__all__ = [
    "Bundle",
    "KeyClass",
    "KeyKind",
    "SeenKeys",
    "SignedKey",
    "prekey_transcript",
    "verify_bundle",
]


class KeyKind(IntEnum):
    """What a prekey is for; the first byte of its wire form."""

    SIGNED = 1  # X25519
    KEM = 2  # ML-KEM-768
    ONE_TIME = 3  # X25519
    SEALING = 4  # X-Wing


class KeyClass(IntEnum):
    """How often a key is handed out; the second byte of its wire form."""

    ROTATING = 1  # to everybody, until the next one
    ONE_TIME = 2  # to one asker
    LAST_RESORT = 3  # to everybody, when no one-time key is to be had


KEY_BYTES: Final[Mapping[KeyKind, int]] = {
    KeyKind.SIGNED: limits.X25519_KEY_BYTES,
    KeyKind.KEM: limits.KEM_PUBLIC_KEY_BYTES,
    KeyKind.ONE_TIME: limits.X25519_KEY_BYTES,
    KeyKind.SEALING: limits.SEALING_KEY_BYTES,
}
CLASSES: Final[Mapping[KeyKind, frozenset[KeyClass]]] = {
    KeyKind.SIGNED: frozenset({KeyClass.ROTATING}),
    KeyKind.KEM: frozenset({KeyClass.ONE_TIME, KeyClass.LAST_RESORT}),
    KeyKind.ONE_TIME: frozenset({KeyClass.ONE_TIME}),
    KeyKind.SEALING: frozenset({KeyClass.ROTATING}),
}
_CHECKS: Final = {
    KeyKind.SIGNED: x25519_check,
    KeyKind.KEM: ml_kem_768_check,
    KeyKind.ONE_TIME: x25519_check,
    KeyKind.SEALING: hpke_check,
}
_HEAD: Final = Struct(">BBIQ64s")  # kind, class, id, made_at_ms, signature
SIGNED_KEY_HEAD_BYTES: Final = _HEAD.size  # 78

SeenKeys = Mapping[tuple[KeyKind, KeyClass], int]
"""made_at_ms of the newest key of each kind and class that a peer device has shown."""
SEEN_PLACES: Final = {(kind, each): (kind, each) for kind in KeyKind for each in KeyClass}
"""The keys of all such mappings: of thousands of peers, these same few."""


def prekey_transcript(
    account: bytes, device_id: bytes, kind: int, key_class: int, key_id: int, made_at_ms: int, key: bytes
) -> bytes:
    """What a device signs of each of its prekeys."""
    tag = bytes((kind,)), bytes((key_class,))
    return transcript(labels.PREKEY, account, device_id, *tag, u32(key_id), u64(made_at_ms), key)


@dataclass(frozen=True, slots=True)
class SignedKey:
    """A public prekey: kind, class, id (u32), made_at_ms, 64 B signature, key (its length is its kind's)."""

    kind: KeyKind
    key_class: KeyClass
    key_id: int
    made_at_ms: int
    signature: bytes
    key: bytes

    def encode(self) -> bytes:
        """Kind 1 ‖ class 1 ‖ id u32 ‖ made_at_ms u64 ‖ signature 64 ‖ key."""
        return _HEAD.pack(self.kind, self.key_class, self.key_id, self.made_at_ms, self.signature) + self.key

    @classmethod
    def parse(cls, data: bytes) -> "SignedKey":
        """Inverse of `encode`; InvalidEncoding for an unknown kind, or a class or length that it cannot have."""
        if len(data) < SIGNED_KEY_HEAD_BYTES:
            raise InvalidEncoding("a signed key is too short")
        kind_byte, class_byte, key_id, made_at_ms, signature = _HEAD.unpack_from(data)
        try:
            kind, key_class = KeyKind(kind_byte), KeyClass(class_byte)
        except ValueError as error:
            raise InvalidEncoding("a signed key has an unknown kind or class") from error
        key = data[SIGNED_KEY_HEAD_BYTES:]
        if key_class not in CLASSES[kind] or len(key) != KEY_BYTES[kind]:
            raise InvalidEncoding("a signed key has a class or length that its kind cannot have")
        return cls(kind, key_class, key_id, made_at_ms, signature, key)

    def tagged(self) -> bytes:
        """Kind 1 ‖ class 1 ‖ id u32 ‖ key: how session transcripts name a key (A6)."""
        return tagged_key(self.kind, self.key_class, self.key_id, self.key)

    def verify(self, account: bytes, device: DeviceEntry) -> None:
        """Raise InvalidSignature unless this device signed it, InvalidKey if the key itself is refused (A7)."""
        if self.key_class not in CLASSES[self.kind] or len(self.key) != KEY_BYTES[self.kind]:
            raise InvalidEncoding("a signed key has a class or length that its kind cannot have")
        fields = self.kind, self.key_class, self.key_id, self.made_at_ms, self.key
        signed = prekey_transcript(account, device.device_id, *fields)
        ed25519_verify(device.signing_public, signed, self.signature)
        _CHECKS[self.kind](self.key)


def tagged_key(kind: KeyKind, key_class: KeyClass, key_id: int, key: bytes) -> bytes:
    """Kind 1 ‖ class 1 ‖ id u32 ‖ key."""
    return bytes((kind, key_class)) + u32(key_id) + key


@dataclass(frozen=True, slots=True)
class Bundle:
    """The keys of one device that a set-up uses; there is none without an ML-KEM key (A5)."""

    signed: SignedKey
    kem: SignedKey
    sealing: SignedKey
    one_time: SignedKey | None

    @classmethod
    def of(cls, keys: Iterable[SignedKey]) -> "Bundle":
        """Sort the keys of an answer by kind; InvalidKey if one is missing or stands twice (A5)."""
        by_kind: dict[KeyKind, SignedKey] = {}
        for key in keys:
            if key.kind in by_kind:
                raise InvalidKey(f"a bundle with two keys of kind {key.kind.name}")
            by_kind[key.kind] = key
        try:
            required = by_kind[KeyKind.SIGNED], by_kind[KeyKind.KEM], by_kind[KeyKind.SEALING]
        except KeyError as error:
            raise InvalidKey("a bundle without signed prekey, ML-KEM key or sealing key") from error
        return cls(*required, by_kind.get(KeyKind.ONE_TIME))

    def all_keys(self) -> tuple[SignedKey, ...]:
        """All keys that are there."""
        always = self.signed, self.kem, self.sealing
        return always if self.one_time is None else (*always, self.one_time)


def verify_bundle(
    bundle: Bundle, account: bytes, device: DeviceEntry, *, now_ms: int, seen: SeenKeys
) -> dict[tuple[KeyKind, KeyClass], int]:
    """Raise unless a set-up may use this bundle of a device of the account's verified manifest.

    InvalidKey for a key in another's place or one that A7 refuses, InvalidSignature if the device did not sign
    it, StaleKey if it is older than one seen of its kind and class, made in the future, or, but for one-time
    keys, which wait at the relay until they are asked for, older than 45 days (A11). Returns `seen` with these.
    """
    places = (
        (KeyKind.SIGNED, bundle.signed),
        (KeyKind.KEM, bundle.kem),
        (KeyKind.SEALING, bundle.sealing),
        (KeyKind.ONE_TIME, bundle.one_time),
    )
    newest = dict(seen)
    for kind, key in places:
        if key is None:
            continue
        if key.kind is not kind:
            raise InvalidKey(f"a key of kind {key.kind.name} in the place of {kind.name}")
        key.verify(account, device)
        _verify_age(key, now_ms, newest)
        newest[SEEN_PLACES[kind, key.key_class]] = key.made_at_ms
    return newest


def _verify_age(key: SignedKey, now_ms: int, seen: SeenKeys) -> None:
    if key.made_at_ms > now_ms + limits.MAX_CLOCK_SKEW_MS:
        raise StaleKey("a key made in the future")
    if key.made_at_ms < seen.get((key.kind, key.key_class), 0):
        raise StaleKey("a key older than one seen before")
    if key.key_class is not KeyClass.ONE_TIME and key.made_at_ms < now_ms - limits.MAX_KEY_AGE_MS:
        raise StaleKey("a key older than 45 days: the device is dormant")
