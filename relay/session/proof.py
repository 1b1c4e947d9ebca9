"""Whether a signature proves what it should: device, root and prekey signatures, and the header of a signed request.

The relay's one use of Ed25519. Raises Unauthenticated, ManifestInvalid or MalformedRequest; an unknown device and a bad
signature take the same steps. docs/protocol.md, "Authentication".
"""

import re
from dataclasses import dataclass, field
from typing import Final

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from relay.wire import limits
from relay.wire.errors import Unauthenticated
from relay.wire.links import decode_bytes, decode_id

SCHEME: Final = "TokenIM-Ed25519"
_HEADER: Final = re.compile(
    rf'{SCHEME} device="([a-z2-7]{{26}})", time="([0-9]{{1,16}})", '
    r'nonce="([A-Za-z0-9_-]{22})", signature="([A-Za-z0-9_-]{86})"'
)
_FIELD_PRIME: Final = 2**255 - 19

NOBODY: Final = bytes(SigningKey(bytes(32)).verify_key)
"""Public key that stands in for an unknown device's: verifying against it costs the same and always fails.

Its private key is known to all, so a signature that it does make is refused as well (`verify_as`)."""


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of a current manifest, and what its account is: 16 B id, 32 B account id, 32 B Ed25519 key."""

    device_id: bytes
    account_id: bytes
    signing_key: bytes
    role: str
    suspended: bool
    hosts: frozenset[bytes] | None = None
    """Of a guest: the 32 B ids of the accounts that it may write to beside its own."""

    def may_reach(self, account_id: bytes) -> bool:
        """Whether it may write to this account, as far as its role says."""
        return self.hosts is None or account_id == self.account_id or account_id in self.hosts


@dataclass(frozen=True, slots=True)
class RequestProof:
    """The parsed Authorization header of a signed request."""

    device_id: bytes
    time_ms: int
    nonce: bytes
    signature: bytes = field(repr=False)


def parse_authorization(header: str) -> RequestProof:
    """The proof in an Authorization header, exactly of the form of docs/protocol.md; raises Unauthenticated."""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise Unauthenticated
    device, time_ms, nonce, signature = match.groups()
    try:
        return RequestProof(
            decode_id(device, limits.DEVICE_ID_BYTES),
            int(time_ms),
            decode_bytes(nonce),
            decode_bytes(signature),
        )
    except ValueError as error:
        raise Unauthenticated from error


def check_time(time_ms: int, now_ms: int) -> None:
    """Raise Unauthenticated unless the time is within MAX_CLOCK_SKEW_MS of the relay's."""
    if abs(time_ms - now_ms) > limits.MAX_CLOCK_SKEW_MS:
        raise Unauthenticated


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> None:
    """Raise Unauthenticated unless the 64 B signature by the 32 B key covers the message (strict, cofactorless)."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError) as error:
        raise Unauthenticated from error


def verify_as(public_key: bytes | None, message: bytes, signature: bytes) -> None:
    """Like verify_signature; without a key (an unknown device) the same work is done, and refused."""
    verify_signature(NOBODY if public_key is None else public_key, message, signature)
    if public_key is None:
        raise Unauthenticated


def is_ed25519_key(key: bytes) -> bool:
    """Whether 32 B are a canonical point of the prime-order group, other than the neutral one."""
    return len(key) == limits.PUBLIC_KEY_BYTES and bool(crypto_core_ed25519_is_valid_point(key))


def is_x25519_key(key: bytes) -> bool:
    """Whether 32 B are the canonical form of an X25519 key: below the prime, not zero. (Torsion is harmless.)"""
    return len(key) == limits.PUBLIC_KEY_BYTES and 0 < int.from_bytes(key, "little") < _FIELD_PRIME


class RelayKey:
    """The relay's own signing key: signs `/.well-known/tokenim`, and is pinned by every invite."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)

    @property
    def public(self) -> bytes:
        """32 B Ed25519 public key."""
        return bytes(self._key.verify_key)

    def sign(self, transcript: bytes) -> bytes:
        """64 B signature over the transcript."""
        return self._key.sign(transcript).signature
