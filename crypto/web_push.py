"""Opens what a Web Push service delivers: one record for the holder of a P-256 key and a 16 B secret (RFC 8291, RFC 8188).

P-256 and AES-128 are no primitives of suite 1, and nothing but a wakeup is ever sealed by them: so they stand here.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .errors import InvalidEncoding, Undecryptable
from .primitives import RandomBytes, hkdf_sha256

__all__ = ["PushReceiver"]

_CURVE: Final = ec.SECP256R1()
_ORDER: Final = (
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186-4 D.1.2.3
)
_SCALAR_BYTES: Final = 48  # so many that their remainder by the order is as good as uniform
_AUTH_BYTES: Final = 16
_SALT_BYTES: Final = 16
_POINT_BYTES: Final = 65  # uncompressed
_HEAD_BYTES: Final = (
    _SALT_BYTES + 4 + 1 + _POINT_BYTES
)  # salt ‖ record size u32 ‖ length of the key u8 ‖ the sender's key
_TAG_BYTES: Final = 16
_LAST_RECORD: Final = 2


class PushReceiver:
    """The keys of one subscription. No repr and no comparison of secrets."""

    def __init__(self, scalar: int, auth: bytes) -> None:
        """`scalar`: the private key, from 1 up to the order of P-256; `auth`: 16 B. Raises InvalidEncoding."""
        if len(auth) != _AUTH_BYTES or not 0 < scalar < _ORDER:
            raise InvalidEncoding("no keys of a push subscription")
        self._key = ec.derive_private_key(scalar, _CURVE)
        self.auth: Final = auth
        self.public: Final = self._key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        """65 B, the uncompressed point: `p256dh` of the subscription."""

    @classmethod
    def make(cls, random: RandomBytes) -> "PushReceiver":
        """New keys."""
        number = int.from_bytes(random(_SCALAR_BYTES), "big")
        return cls(number % (_ORDER - 1) + 1, random(_AUTH_BYTES))

    def __repr__(self) -> str:
        return "PushReceiver(…)"

    def open(self, message: bytes) -> bytes:
        """The plaintext of a message of one record. Raises Undecryptable; who knows not both `public` and `auth` makes none."""
        size = int.from_bytes(message[_SALT_BYTES : _SALT_BYTES + 4], "big")
        sealed = message[_HEAD_BYTES:]
        if (
            message[_SALT_BYTES + 4 : _SALT_BYTES + 5] != bytes((_POINT_BYTES,))
            or not _TAG_BYTES < len(sealed) <= size
        ):
            raise Undecryptable("no message of one record, or without its sender's key")
        sender = message[_HEAD_BYTES - _POINT_BYTES : _HEAD_BYTES]
        try:
            shared = self._key.exchange(
                ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, sender)
            )
        except ValueError as error:
            raise Undecryptable("the sender's key is no point of the curve") from error
        secret = hkdf_sha256(self.auth, shared, b"WebPush: info\x00" + self.public + sender, 32)
        salt = message[:_SALT_BYTES]
        key = hkdf_sha256(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = hkdf_sha256(salt, secret, b"Content-Encoding: nonce\x00", 12)
        try:
            padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        except InvalidTag as error:
            raise Undecryptable("does not open") from error
        if not padded or padded[-1] != _LAST_RECORD:
            raise Undecryptable("not the last record")
        return padded[:-1]
