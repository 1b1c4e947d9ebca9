"""Every cryptographic primitive of suite 1, each with its input checks.

The sole importer of nacl and cryptography in this package.

Knows nothing of sessions, labels or formats. All library exceptions become errors of `crypto.errors`.
X25519 and Ed25519 come from libsodium, the rest from `cryptography`: the faster route of each, measured.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256 as _sha256
from typing import Final

import msgspec
import nacl.bindings as sodium
import nacl.exceptions
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from . import limits
from .errors import InvalidEncoding, InvalidKey, InvalidSignature, Undecryptable, UnsupportedBuild

__all__ = [
    "AeadKey",
    "HpkePrivateKey",
    "KemPrivateKey",
    "RandomBytes",
    "aes256gcm_open",
    "aes256gcm_seal",
    "argon2id",
    "ed25519_check",
    "ed25519_keypair",
    "ed25519_sign",
    "ed25519_verify",
    "hkdf_sha256",
    "hmac_sha256",
    "hmac_sha256_twice",
    "hpke_check",
    "hpke_open",
    "hpke_seal",
    "ml_kem_768_check",
    "ml_kem_768_encapsulate",
    "require_supported_build",
    "sha256",
    "sha512",
    "x25519",
    "x25519_check",
    "x25519_keypair",
]

_FIELD_PRIME: Final = 2**255 - 19  # of Curve25519; RFC 7748, section 4.1
_HPKE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)

RandomBytes = Callable[[int], bytes]
"""Randomness comes in as an argument: a function from a number of bytes to that many random bytes."""


def _require_length(name: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise InvalidEncoding(f"{name} must be {length} bytes, got {len(value)}")


def require_supported_build() -> None:
    """Raise UnsupportedBuild if this build of `cryptography` lacks ML-KEM-768; call once at start."""
    try:
        MLKEM768PrivateKey.from_seed_bytes(bytes(limits.KEM_SEED_BYTES))
    except UnsupportedAlgorithm as error:
        raise UnsupportedBuild(
            "this build of the cryptography package has no ML-KEM-768; "
            "install its wheel from PyPI (version 50 or newer)"
        ) from error


# Hashes and key derivation


def sha256(data: bytes) -> bytes:
    """32 B SHA-256 (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def sha512(data: bytes) -> bytes:
    """64 B SHA-512 (FIPS 180-4)."""
    return hashlib.sha512(data).digest()


# HMAC is written out over hashlib: a ratchet message takes five, and in a call of OpenSSL's HMAC or HKDF the set-up
# costs more than the hashing (3.2 and 8.7 µs against 1.3 and 3.5 µs here). CPython's own hmac module does the same.
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_HMAC_BLOCK_BYTES: Final = 64


def _hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    if len(key) > _HMAC_BLOCK_BYTES:
        key = _sha256(key).digest()
    key = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
    return key.translate(_INNER_PAD), key.translate(_OUTER_PAD)


_NO_SALT_PADS: Final = _hmac_pads(b"")


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """32 B HMAC-SHA-256 (RFC 2104)."""
    inner, outer = _hmac_pads(key)
    return _sha256(outer + _sha256(inner + data).digest()).digest()


def hmac_sha256_twice(key: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
    """The HMAC-SHA-256 of two inputs under one key."""
    inner, outer = _hmac_pads(key)
    return (
        _sha256(outer + _sha256(inner + first).digest()).digest(),
        _sha256(outer + _sha256(inner + second).digest()).digest(),
    )


def hkdf_sha256(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869): extract and expand to `length` (at most 8,160) bytes; no salt is 32 zeros."""
    if not 0 < length <= 255 * 32:
        raise ValueError(f"HKDF-SHA-256 gives 1 to 8,160 bytes, not {length}")
    inner, outer = _hmac_pads(salt) if salt else _NO_SALT_PADS
    inner, outer = _hmac_pads(_sha256(outer + _sha256(inner + ikm).digest()).digest())
    okm = block = b""
    for counter in range(1, (length + 31) // 32 + 1):
        block = _sha256(outer + _sha256(inner + block + info + bytes((counter,))).digest()).digest()
        okm += block
    return okm[:length]


def argon2id(passphrase: bytes, salt: bytes, *, memory_kib: int, passes: int, lanes: int = 1) -> bytes:
    """32 B Argon2id (RFC 9106) of a passphrase; salt of at least 16 B."""
    if len(salt) < 16:
        raise InvalidEncoding("Argon2id salt must have at least 16 bytes")
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib).derive(
        passphrase
    )


# X25519


def x25519_keypair(seed: bytes) -> tuple[bytes, bytes]:
    """(private 32 B, public 32 B) of RFC 7748; the private key is the seed itself, clamped at use."""
    _require_length("X25519 private key", seed, limits.X25519_KEY_BYTES)
    return seed, sodium.crypto_scalarmult_base(seed)


def x25519_check(public: bytes) -> None:
    """Raise InvalidKey for a coordinate that is not reduced: libraries would mask and reduce it (A7)."""
    _require_length("X25519 public key", public, limits.X25519_KEY_BYTES)
    if int.from_bytes(public, "little") >= _FIELD_PRIME:
        raise InvalidKey("X25519 public key is not canonical")


def x25519(private: bytes, public: bytes) -> bytes:
    """32 B shared secret (RFC 7748).

    InvalidKey for a public key that is not canonical or gives the all-zero secret (A7).
    """
    x25519_check(public)
    try:
        return sodium.crypto_scalarmult(private, public)
    except nacl.exceptions.CryptoError as error:
        raise InvalidKey("X25519 public key is of small order") from error


# Ed25519


def ed25519_keypair(seed: bytes) -> tuple[bytes, bytes]:
    """(private 64 B = seed ‖ public, public 32 B) of RFC 8032."""
    _require_length("Ed25519 seed", seed, limits.ED25519_SEED_BYTES)
    public, private = sodium.crypto_sign_seed_keypair(seed)
    return private, public


def ed25519_sign(private: bytes, message: bytes) -> bytes:
    """64 B Ed25519 signature (RFC 8032) by a private key of 64 B."""
    return sodium.crypto_sign(message, private)[: limits.ED25519_SIGNATURE_BYTES]


@lru_cache(maxsize=4_096)
def ed25519_check(public: bytes) -> None:
    """Raise InvalidKey unless the key is canonical, of the prime-order group and not the identity (A7).

    Remembers the keys that passed: the check costs as much as a verification, and keys come again and again.
    """
    _require_length("Ed25519 public key", public, limits.ED25519_KEY_BYTES)
    if not sodium.crypto_core_ed25519_is_valid_point(public):
        raise InvalidKey("Ed25519 public key is not a canonical point of the prime-order group")


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise InvalidSignature unless the signature verifies strictly, InvalidKey for a key that A7 refuses.

    Strict: the equation without cofactor, S below the group order, R as encoded. libsodium does so; a test
    pins it, because a signature that only a cofactored check takes would be good for some clients only.
    """
    _require_length("Ed25519 signature", signature, limits.ED25519_SIGNATURE_BYTES)
    ed25519_check(public)
    try:
        sodium.crypto_sign_open(signature + message, public)
    except nacl.exceptions.CryptoError as error:
        raise InvalidSignature("signature does not verify") from error


# ML-KEM-768


class KemPrivateKey:
    """An ML-KEM-768 private key (FIPS 203): its 64 B seed d ‖ z, and the expanded key.

    Expanded at first use and kept: it costs more than a decapsulation, so hold on to the object.
    No repr and no comparison of secrets.
    """

    __slots__ = ("_expanded", "seed")

    def __init__(self, seed: bytes) -> None:
        _require_length("ML-KEM-768 seed", seed, limits.KEM_SEED_BYTES)
        self.seed: Final = seed
        self._expanded: MLKEM768PrivateKey | None = None

    def __repr__(self) -> str:
        return "KemPrivateKey(…)"

    def expanded(self) -> MLKEM768PrivateKey:
        """The library's key object; UnsupportedBuild if there is no ML-KEM."""
        if self._expanded is None:
            try:
                self._expanded = MLKEM768PrivateKey.from_seed_bytes(self.seed)
            except UnsupportedAlgorithm:
                require_supported_build()
                raise
        return self._expanded

    def public_bytes(self) -> bytes:
        """1,184 B encapsulation key."""
        return self.expanded().public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """32 B shared secret; a ciphertext not made for this key gives a pseudo-random one, not an error."""
        _require_length("ML-KEM-768 ciphertext", ciphertext, limits.KEM_CIPHERTEXT_BYTES)
        return self.expanded().decapsulate(ciphertext)


@lru_cache(maxsize=256)  # a key is checked with its bundle, then used: parsing costs as much as encapsulating
def _load_kem_public(public: bytes) -> MLKEM768PublicKey:
    _require_length("ML-KEM-768 public key", public, limits.KEM_PUBLIC_KEY_BYTES)
    try:
        return MLKEM768PublicKey.from_public_bytes(public)
    except UnsupportedAlgorithm:
        require_supported_build()
        raise
    except ValueError as error:
        raise InvalidKey("ML-KEM-768 public key fails the modulus check") from error


def ml_kem_768_check(public: bytes) -> None:
    """Raise InvalidKey for an encapsulation key that fails the modulus check of FIPS 203, 7.2 (A7)."""
    _load_kem_public(public)


def ml_kem_768_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """(32 B shared secret, 1,088 B ciphertext) to a 1,184 B key; the library draws its own randomness."""
    return _load_kem_public(public).encapsulate()


# AES-256-GCM


def aes256gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """Ciphertext ‖ 16 B tag (SP 800-38D); key 32 B, nonce 12 B, used once together."""
    return AESGCM(key).encrypt(nonce, plaintext, ad)


def aes256gcm_open(key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    """Plaintext, or Undecryptable."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, ad)
    except (InvalidTag, ValueError) as error:
        raise Undecryptable("does not open") from error


class AeadKey(msgspec.Struct, eq=False, gc=False):
    """An AES-256-GCM key for many messages: its 32 B, and the library's object, made at first use and kept.

    No repr and no comparison of secrets; no part of a cycle (see `secret_value`).
    """

    key_bytes: bytes
    _cipher: AESGCM | None = None

    def __post_init__(self) -> None:
        _require_length("AES-256 key", self.key_bytes, limits.AEAD_KEY_BYTES)

    def __repr__(self) -> str:
        return "AeadKey(…)"

    def seal(self, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
        """Ciphertext ‖ 16 B tag; the 12 B nonce must be random or new."""
        if self._cipher is None:
            self._cipher = AESGCM(self.key_bytes)
        return self._cipher.encrypt(nonce, plaintext, ad)

    def open(self, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes:
        """Plaintext, or Undecryptable."""
        plaintext = self.try_open(nonce, ciphertext, ad)
        if plaintext is None:
            raise Undecryptable("does not open")
        return plaintext

    def try_open(self, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes | None:
        """Plaintext, or None: for the trial of many keys, where a miss is the rule."""
        if self._cipher is None:
            self._cipher = AESGCM(self.key_bytes)
        try:
            return self._cipher.decrypt(nonce, ciphertext, ad)
        except (InvalidTag, ValueError):
            return None


# HPKE base mode with X-Wing


class HpkePrivateKey:
    """An X-Wing private key: its 32 B seed (draft-connolly-cfrg-xwing-kem), expanded at first use and kept.

    SHAKE-256(seed) gives the 64 B ML-KEM-768 seed and the 32 B X25519 private key.
    """

    __slots__ = ("_expanded", "seed")

    def __init__(self, seed: bytes) -> None:
        _require_length("X-Wing seed", seed, limits.SEALING_SEED_BYTES)
        self.seed: Final = seed
        self._expanded: tuple[MLKEM768X25519PrivateKey, bytes] | None = None

    def __repr__(self) -> str:
        return "HpkePrivateKey(…)"

    def _load(self) -> tuple[MLKEM768X25519PrivateKey, bytes]:
        if self._expanded is None:
            stream = hashlib.shake_256(self.seed).digest(limits.KEM_SEED_BYTES + limits.X25519_KEY_BYTES)
            kem_seed, x25519_private = stream[: limits.KEM_SEED_BYTES], stream[limits.KEM_SEED_BYTES :]
            kem = KemPrivateKey(kem_seed).expanded()
            key = MLKEM768X25519PrivateKey(kem, X25519PrivateKey.from_private_bytes(x25519_private))
            public = kem.public_key().public_bytes_raw() + sodium.crypto_scalarmult_base(x25519_private)
            self._expanded = key, public
        return self._expanded

    def expanded(self) -> MLKEM768X25519PrivateKey:
        """The library's key object."""
        return self._load()[0]

    def public_bytes(self) -> bytes:
        """1,216 B: ML-KEM-768 encapsulation key ‖ X25519 public key."""
        return self._load()[1]


def hpke_seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """1,120 B enc ‖ ciphertext ‖ 16 B tag (RFC 9180 base mode, single shot, no AAD) to a 1,216 B X-Wing key.

    KEM 0x647a (MLKEM768-X25519), KDF 0x0001 (HKDF-SHA256), AEAD 0x0003 (ChaCha20-Poly1305).
    """
    return _HPKE.encrypt(plaintext, _load_xwing_public(public), info=info)


def hpke_check(public: bytes) -> None:
    """Raise InvalidKey for an X-Wing key of which either half would be refused alone (A7)."""
    _load_xwing_public(public)


def _load_xwing_public(public: bytes) -> MLKEM768X25519PublicKey:
    _require_length("X-Wing public key", public, limits.SEALING_KEY_BYTES)
    kem_part, x25519_part = public[: limits.KEM_PUBLIC_KEY_BYTES], public[limits.KEM_PUBLIC_KEY_BYTES :]
    x25519_check(x25519_part)
    return MLKEM768X25519PublicKey(_load_kem_public(kem_part), X25519PublicKey.from_public_bytes(x25519_part))


def hpke_open(private: HpkePrivateKey, info: bytes, sealed: bytes) -> bytes:
    """Plaintext of `enc ‖ ciphertext ‖ tag`, or Undecryptable."""
    try:
        return _HPKE.decrypt(sealed, private.expanded(), info=info)
    except (InvalidTag, ValueError) as error:
        raise Undecryptable("does not open") from error
