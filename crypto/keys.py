"""Long-lived keys, one class for each kind, and the ids that are made of them.

No secret has a repr or an `==`. Account root and device signing keys are Ed25519, identity keys and
prekeys X25519. docs/protocol.md, "Identity and manifests".
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Self

from . import limits
from .errors import InvalidEncoding
from .primitives import (
    RandomBytes,
    ed25519_keypair,
    ed25519_sign,
    sha256,
    x25519,
    x25519_keypair,
)

__all__ = [
    "IdentityKeyPair",
    "LocalDevice",
    "RootKeyPair",
    "SigningKeyPair",
    "X25519PrekeyPair",
    "account_id",
    "id_text",
    "parse_id_text",
]


def account_id(root_public: bytes) -> bytes:
    """32 B: SHA-256 of the suite byte ‖ the account's public root key. Self-certifying."""
    if len(root_public) != limits.ED25519_KEY_BYTES:
        raise InvalidEncoding("root key must be 32 bytes")
    return sha256(bytes((limits.SUITE,)) + root_public)


def id_text(identifier: bytes) -> str:
    """Text form of an account or device id: base32 (RFC 4648), lower case, no padding."""
    return base64.b32encode(identifier).decode("ascii").rstrip("=").lower()


def parse_id_text(text: str, length: int) -> bytes:
    """Bytes of an id's text form; InvalidEncoding unless it is the one text of an id of `length` bytes."""
    try:
        identifier = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise InvalidEncoding("id is not base32") from error
    if len(identifier) != length or id_text(identifier) != text:
        raise InvalidEncoding("id is not in its one text form")
    return identifier


@dataclass(frozen=True, slots=True, eq=False)
class _Ed25519KeyPair:
    """64 B private key (seed ‖ public) and 32 B public key."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Key pair of a 32 B seed (RFC 8032)."""
        private, public = ed25519_keypair(seed)
        return cls(private=private, public=public)

    @classmethod
    def generate(cls, random: RandomBytes) -> Self:
        """A fresh key pair."""
        return cls.from_seed(random(limits.ED25519_SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 B seed: what is stored."""
        return self.private[: limits.ED25519_SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """64 B signature over a labelled transcript."""
        return ed25519_sign(self.private, message)


@dataclass(frozen=True, slots=True, eq=False)
class RootKeyPair(_Ed25519KeyPair):
    """The account's root key: signs manifest 1 and recovery manifests, nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class SigningKeyPair(_Ed25519KeyPair):
    """A device's signing key: for its own entry, prekeys, requests, and, of a manager, manifests."""


@dataclass(frozen=True, slots=True, eq=False)
class _X25519KeyPair:
    """32 B private key and 32 B public key (RFC 7748)."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Key pair of a 32 B private key."""
        private, public = x25519_keypair(seed)
        return cls(private=private, public=public)

    @classmethod
    def generate(cls, random: RandomBytes) -> Self:
        """A fresh key pair."""
        return cls.from_seed(random(limits.X25519_KEY_BYTES))

    @property
    def seed(self) -> bytes:
        """The 32 B private key: what is stored."""
        return self.private

    def public_bytes(self) -> bytes:
        """32 B public key."""
        return self.public

    def exchange(self, public: bytes) -> bytes:
        """32 B shared secret; InvalidKey as in `primitives.x25519`."""
        return x25519(self.private, public)


@dataclass(frozen=True, slots=True, eq=False)
class IdentityKeyPair(_X25519KeyPair):
    """A device's identity key: its part in every session set-up."""


@dataclass(frozen=True, slots=True, eq=False)
class X25519PrekeyPair(_X25519KeyPair):
    """A signed prekey, a one-time prekey, or the ephemeral key of one set-up."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalDevice:
    """This device: 32 B account id, 16 B device id, and the two key pairs made here and never copied."""

    account_id: bytes
    device_id: bytes
    signing: SigningKeyPair
    identity: IdentityKeyPair

    @classmethod
    def generate(cls, account: bytes, random: RandomBytes) -> Self:
        """A new device of an account, with a random id and fresh keys."""
        return cls(
            account_id=account,
            device_id=random(limits.DEVICE_ID_BYTES),
            signing=SigningKeyPair.generate(random),
            identity=IdentityKeyPair.generate(random),
        )
