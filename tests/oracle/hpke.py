"""HPKE base mode, single shot (RFC 9180), with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305; nothing from a library.

X-Wing is draft-connolly-cfrg-xwing-kem: its private form is a seed of 32 B, its public one ML-KEM key ‖ X25519 key.
"""

import hashlib

from tests.oracle import chacha20_poly1305, ml_kem, x25519
from tests.oracle.refusals import require
from tests.oracle.transcripts import expand, hmac256, u16

SUITE = b"HPKE" + bytes.fromhex("647a00010003")
X_WING_LABEL = bytes.fromhex("5c2e2f2f5e5c")
ENC_BYTES = 1_120


def labeled_extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """Section 4."""
    return hmac256(salt or bytes(32), b"HPKE-v1" + SUITE + label + ikm)


def labeled_expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, u16(length) + b"HPKE-v1" + SUITE + label + info, length)


def key_and_nonce(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """The key schedule of section 5.1 in mode 0, with the nonce of the first message."""
    context = b"\x00" + labeled_extract(b"", b"psk_id_hash", b"") + labeled_extract(b"", b"info_hash", info)
    secret = labeled_extract(shared, b"secret", b"")
    return labeled_expand(secret, b"key", context, 32), labeled_expand(secret, b"base_nonce", context, 12)


def x_wing_expand(seed: bytes) -> tuple[bytes, bytes]:
    """(ML-KEM seed, X25519 private key)."""
    require(len(seed) == 32, "seed")
    stream = hashlib.shake_256(seed).digest(96)
    return stream[:64], stream[64:]


def x_wing_public(seed: bytes) -> bytes:
    kem, private = x_wing_expand(seed)
    return ml_kem.public_of(kem) + x25519.public_of(private)


def check(public: bytes) -> None:
    """Either half is refused as it would be alone."""
    ml_kem.check(public[: ml_kem.PUBLIC_BYTES])
    x25519.check(public[ml_kem.PUBLIC_BYTES :])


def combined(kem_secret: bytes, dh_secret: bytes, sent: bytes, public: bytes) -> bytes:
    """What the shared secret is SHA3-256 of."""
    return kem_secret + dh_secret + sent + public + X_WING_LABEL


def _combine(kem_secret: bytes, dh_secret: bytes, sent: bytes, public: bytes) -> bytes:
    return hashlib.sha3_256(combined(kem_secret, dh_secret, sent, public)).digest()


def x_wing_encapsulate(public: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    """(Shared secret, enc), of 64 B: the randomness of ML-KEM, and the ephemeral X25519 key."""
    check(public)
    kem_public, x_public = public[: ml_kem.PUBLIC_BYTES], public[ml_kem.PUBLIC_BYTES :]
    kem_secret, kem_sent = ml_kem.encapsulate(kem_public, randomness[:32])
    ephemeral = randomness[32:]
    sent = x25519.public_of(ephemeral)
    shared = _combine(kem_secret, x25519.ladder(ephemeral, x_public), sent, x_public)
    return shared, kem_sent + sent


def x_wing_decapsulate(seed: bytes, enc: bytes) -> bytes:
    kem, private = x_wing_expand(seed)
    kem_sent, sent = enc[: ml_kem.CIPHERTEXT_BYTES], enc[ml_kem.CIPHERTEXT_BYTES :]
    dh_secret = x25519.ladder(private, sent)
    return _combine(ml_kem.decapsulate(kem, kem_sent), dh_secret, sent, x25519.public_of(private))


def seal(public: bytes, info: bytes, plaintext: bytes, randomness: bytes, aad: bytes = b"") -> bytes:
    """enc 1,120 ‖ ciphertext ‖ tag 16, of 64 B of randomness."""
    shared, enc = x_wing_encapsulate(public, randomness)
    return enc + chacha20_poly1305.seal(*key_and_nonce(shared, info), plaintext, aad)


def unseal(seed: bytes, info: bytes, sealed: bytes, aad: bytes = b"") -> bytes:
    require(len(sealed) >= ENC_BYTES + 16, "length", "Undecryptable")
    shared = x_wing_decapsulate(seed, sealed[:ENC_BYTES])
    return chacha20_poly1305.unseal(*key_and_nonce(shared, info), sealed[ENC_BYTES:], aad)
