"""What the kit's own peer computes with: agreements, derivations, seals and padding, as docs/protocol.md writes them.

The primitives are those of the libraries `cryptography` and hashlib; labels, orders and lengths are written down here, after the
document, and nowhere taken from a client.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client.conformance.report import Failed

NO_SALT: Final = bytes(32)
KEM_KEY_BYTES, KEM_CIPHERTEXT_BYTES, TAG_BYTES, ENC_BYTES = 1_184, 1_088, 16, 1_120
MAX_ENVELOPE_BYTES: Final = 262_144
_HPKE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@dataclass(frozen=True)
class Pair:
    """An X25519 key pair; a fresh one unless the private key is given."""

    private: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        """32 B."""
        return self.private.public_key().public_bytes_raw()

    def agree(self, public: bytes) -> bytes:
        """32 B (RFC 7748); raises Failed for a key that the document has refused."""
        if int.from_bytes(public, "little") >= 2**255 - 19:
            raise Failed("an X25519 public key of the client is not canonical")
        try:
            return self.private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError as error:
            raise Failed("an X25519 public key of the client gives the secret that is all zero") from error


@dataclass(frozen=True)
class KemPair:
    """An ML-KEM-768 key pair."""

    private: MLKEM768PrivateKey = field(default_factory=MLKEM768PrivateKey.generate)

    @property
    def public(self) -> bytes:
        """1,184 B."""
        return self.private.public_key().public_bytes_raw()

    def open(self, ciphertext: bytes) -> bytes:
        """The 32 B secret; another one, and no error, for a ciphertext that is not of this key."""
        return self.private.decapsulate(ciphertext)


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """The 32 B secret and its 1,088 B ciphertext; raises Failed for a key that fails the modulus check."""
    try:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    except ValueError as error:
        raise Failed("an ML-KEM-768 key of the client fails the modulus check of FIPS 203") from error


@dataclass(frozen=True)
class SealingPair:
    """A sealing key: ML-KEM-768 beside X25519."""

    kem: KemPair = field(default_factory=KemPair)
    curve: Pair = field(default_factory=Pair)

    @property
    def public(self) -> bytes:
        """1,216 B."""
        return self.kem.public + self.curve.public

    def open(self, info: bytes, sealed: bytes) -> bytes:
        """What was sealed to it by HPKE; raises Failed."""
        key = MLKEM768X25519PrivateKey(self.kem.private, self.curve.private)
        try:
            return _HPKE.decrypt(sealed, key, info=info)
        except (InvalidTag, ValueError) as error:
            raise Failed("a set-up envelope is not sealed to the sealing key that it names") from error


def seal_to(public: bytes, info: bytes, content: bytes) -> bytes:
    """enc 1,120 ‖ ciphertext ‖ tag, to a 1,216 B key."""
    kem, curve = public[:KEM_KEY_BYTES], public[KEM_KEY_BYTES:]
    key = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(kem), X25519PublicKey.from_public_bytes(curve)
    )
    return _HPKE.encrypt(content, key, info=info)


def derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def label(name: str) -> bytes:
    """As the info of a derivation has it: with its zero byte."""
    return f"tokenim/v1 {name}\0".encode("ascii")


def step(chain_key: bytes) -> tuple[bytes, bytes]:
    """The message key, and the chain key after it."""
    return hmac.digest(chain_key, b"\x01", "sha256"), hmac.digest(chain_key, b"\x02", "sha256")


def seal(key: bytes, nonce: bytes, content: bytes, beside: bytes) -> bytes:
    """AES-256-GCM."""
    return AESGCM(key).encrypt(nonce, content, beside)


def unseal(key: bytes, nonce: bytes, sealed: bytes, beside: bytes) -> bytes | None:
    """What was sealed, None if it does not open."""
    try:
        return AESGCM(key).decrypt(nonce, sealed, beside)
    except (InvalidTag, ValueError):
        return None


def bucket_for(size: int) -> int:
    """The smallest size of an envelope that holds so much."""
    for small in (256, 512, 1_024):
        if size <= small:
            return small
    exponent = size.bit_length() - 1
    unit = 1 << (exponent - exponent.bit_length())
    bucket = -(-size // unit) * unit
    if bucket > MAX_ENVELOPE_BYTES:
        raise ValueError(f"{size} B are above the largest envelope")
    return bucket


def pad(content: bytes, size: int, filler: bytes = b"\0") -> bytes:
    """length ‖ content ‖ zeros, `size` bytes in all; with another filler it is what the document has refused."""
    return len(content).to_bytes(4, "big") + content.ljust(size - 4, filler)


def unpad(padded: bytes, envelope_bytes: int) -> bytes:
    """The content; raises Failed if the padding, or the size of the envelope around it, is not as the document says."""
    length = int.from_bytes(padded[:4], "big")
    if len(padded) < 4 + length:
        raise Failed(f"the padding says {length} B of content, in {len(padded)} B")
    if any(padded[4 + length :]):
        raise Failed("the padding holds something else than zeros")
    unpadded = envelope_bytes - len(padded) + 4 + length
    if envelope_bytes != bucket_for(unpadded):
        raise Failed(
            f"an envelope of {envelope_bytes} B, where the smallest bucket that holds it is {bucket_for(unpadded)} B"
        )
    return padded[4 : 4 + length]
