"""Signed prekeys, and the check of a bundle; docs/protocol.md, "Prekeys" and "Checking a bundle"."""

from dataclasses import dataclass

from tests.oracle import ed25519, hpke, ml_kem, x25519
from tests.oracle.refusals import require
from tests.oracle.transcripts import number, split, transcript, u32, u64

SIGNED, KEM, ONE_TIME, SEALING = 1, 2, 3, 4
CLASSES = {SIGNED: {1}, KEM: {2, 3}, ONE_TIME: {2}, SEALING: {1}}
KEY_BYTES = {SIGNED: 32, KEM: 1_184, ONE_TIME: 32, SEALING: 1_216}
PUBLIC_OF = {
    SIGNED: x25519.public_of,
    KEM: ml_kem.public_of,
    ONE_TIME: x25519.public_of,
    SEALING: hpke.x_wing_public,
}
CHECK = {SIGNED: x25519.check, KEM: ml_kem.check, ONE_TIME: x25519.check, SEALING: hpke.check}
DAY_MS = 86_400_000


@dataclass
class Prekey:
    """A key as it travels, `encoded` with its signature; `seed` only on the own side."""

    kind: int
    key_class: int
    key_id: int
    made_at_ms: int
    key: bytes
    signature: bytes = b""
    seed: bytes = b""

    def signed_by(self, account: bytes, device: bytes) -> bytes:
        numbers = bytes([self.kind]), bytes([self.key_class]), u32(self.key_id), u64(self.made_at_ms)
        return transcript(b"tokenim/v1 prekey\0", account, device, *numbers, self.key)

    def encode(self) -> bytes:
        head = bytes([self.kind, self.key_class]) + u32(self.key_id) + u64(self.made_at_ms)
        return head + self.signature + self.key

    def tagged(self) -> bytes:
        """As it stands in the session transcript."""
        return bytes([self.kind, self.key_class]) + u32(self.key_id) + self.key


def parse(encoded: bytes) -> Prekey:
    require(len(encoded) >= 78, "length")
    kind, key_class, key_id, made, signature, key = split(encoded, 1, 1, 4, 8, 64, len(encoded) - 78)
    require(kind[0] in CLASSES and len(key) == KEY_BYTES[kind[0]], "kind or length")
    require(key_class[0] in CLASSES[kind[0]], "class")
    return Prekey(kind[0], key_class[0], number(key_id), number(made), key, signature)


def make(
    kind: int, key_class: int, key_id: int, made_at_ms: int, seed: bytes, owner: tuple[bytes, bytes, bytes]
) -> Prekey:
    """A key of `owner`: account id, device id, seed of the signing key."""
    key = Prekey(kind, key_class, key_id, made_at_ms, PUBLIC_OF[kind](seed), seed=seed)
    key.signature = ed25519.sign(owner[2], key.signed_by(*owner[:2]))
    return key


def check_bundle(
    keys: list[Prekey], owner: tuple[bytes, bytes, bytes], now_ms: int, seen: dict[tuple[int, int], int]
) -> dict[int, Prekey]:
    """The keys by kind. `owner`: account id, device id, signing key; `seen`: the newest time by kind and class."""
    by_kind = {key.kind: key for key in keys}
    require(len(by_kind) == len(keys) and {SIGNED, KEM, SEALING} <= set(by_kind), "kinds", "InvalidKey")
    for key in keys:
        ed25519.verify(owner[2], key.signed_by(*owner[:2]), key.signature)
        CHECK[key.kind](key.key)
        require(key.made_at_ms >= seen.get((key.kind, key.key_class), 0), "older than one seen", "StaleKey")
        require(key.made_at_ms <= now_ms + DAY_MS, "of the future", "StaleKey")
        require(key.key_class == 2 or key.made_at_ms >= now_ms - 45 * DAY_MS, "dormant", "StaleKey")
    return by_kind
