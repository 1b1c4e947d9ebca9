"""Web Push (RFC 8030), encrypted (RFC 8291, RFC 8188), with VAPID (RFC 8292); UnifiedPush is the same at other servers.

A wakeup is one record of 119 B: 16 B salt, 4 B record size, 1 B length, 65 B public key, 16 B token, 1 B end mark, 16 B tag.
"""

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from relay.ports.clock import Clock, Randomness
from relay.ports.pusher import PushAddress, PushAnswer, PusherCheck
from relay.wire.links import encode_bytes
from relay.wire.push_resources import PushKind
from relay.wire.transcripts import VAPID_LABEL

from .http_answers import BAD_REQUEST
from .outward import Outward
from .signed_tokens import es256, signed_token

SALT_BYTES: Final = 16
RECORD_BYTES: Final = 4_096
KEPT_SECONDS: Final = 86_400
"""So long the service keeps a wakeup for a device that it does not reach."""
TOKEN_SECONDS: Final = 43_200  # of a VAPID token; RFC 8292 allows a day
_CURVE: Final = ec.SECP256R1()
_ORDER: Final = (
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186-4 D.1.2.3
)


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """65 B, the uncompressed point."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def vapid_key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    """The relay's key at push services, made of the seed of its signing key: as that one, it is in a backup, and stays."""
    number = int.from_bytes(_derive(seed, b"", VAPID_LABEL, 48), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, _CURVE)


def encrypt(
    plain: bytes, p256dh: bytes, auth: bytes, *, salt: bytes, key: ec.EllipticCurvePrivateKey
) -> bytes:
    """`plain` as one record for the holder of the 65 B key and the 16 B secret; raises ValueError for a point off the curve."""
    own = public_bytes(key)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, p256dh))
    secret = _derive(shared, auth, b"WebPush: info\x00" + p256dh + own, 32)
    content_key = _derive(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\x00", 12)
    sealed = AESGCM(content_key).encrypt(nonce, plain + b"\x02", None)
    return salt + RECORD_BYTES.to_bytes(4, "big") + bytes((len(own),)) + own + sealed


def vapid_header(key: ec.EllipticCurvePrivateKey, audience: str, expires: int, contact: str | None) -> str:
    """The Authorization header: a JWT signed by ES256 for this origin alone, until this time (s since 1970)."""
    claims: dict[str, str | int] = {"aud": audience, "exp": expires, **({"sub": contact} if contact else {})}
    token = signed_token({"typ": "JWT", "alg": "ES256"}, claims, es256(key))
    return f"vapid t={token},k={encode_bytes(public_bytes(key))}"


class WebPush:
    """Pusher of the kinds `web` and `unifiedpush`."""

    def __init__(
        self,
        kind: PushKind,
        outward: Outward,
        key: ec.EllipticCurvePrivateKey,
        *,
        contact: str | None,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self.kind: PushKind = kind
        self._outward = outward
        self._key = key
        self._contact = contact
        self._clock = clock
        self._randomness = randomness

    def takes(self, address: PushAddress) -> bool:
        """By its URL."""
        return self._outward.takes(address.target)

    async def push(self, address: PushAddress, token: bytes, urgent: bool) -> PushAnswer:
        """One record; `urgent` is in the header Urgency alone."""
        try:
            body = encrypt(
                token,
                address.p256dh,
                address.auth,
                salt=self._randomness(SALT_BYTES),
                key=ec.generate_private_key(_CURVE),
            )
            audience = str(URL(address.target).origin())
        except ValueError:
            return BAD_REQUEST
        expires = self._clock.now_ms() // 1_000 + TOKEN_SECONDS
        headers = {
            "Authorization": vapid_header(self._key, audience, expires, self._contact),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(KEPT_SECONDS),
            "Topic": "wake",  # a later one takes the place of one that waits
            "Urgency": "high" if urgent else "normal",
        }
        return await self._outward.post(address.target, headers, body)

    async def check(self) -> PusherCheck:
        """Nobody to ask before a device registers: that the key can be used."""
        vapid_header(self._key, "https://push.example", 1, self._contact)
        return PusherCheck("ok", f"on, with the key {encode_bytes(public_bytes(self._key))[:16]}…")

    async def close(self) -> None:
        """Connections are those of `outward`."""
