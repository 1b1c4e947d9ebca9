"""Keys and names of wire.json and first_message.json: all come from seeds that are SHA-256 of a name."""

import hashlib

from nacl.bindings import crypto_scalarmult_base
from nacl.signing import SigningKey

from relay.wire.manifests import account_id_of

ORIGIN = "http://127.0.0.1:8080"
TIME_MS = 1_764_000_000_000


def seed(name: str, length: int = 32) -> bytes:
    """`length` ≤ 32 bytes that stand for randomness."""
    return hashlib.sha256(f"tokenim wire vectors, {name}".encode()).digest()[:length]


ROOT = SigningKey(seed("root key"))
DEVICE = SigningKey(seed("device signing key"))
RELAY = SigningKey(seed("relay signing key"))
IDENTITY_PRIVATE = seed("device identity key")
IDENTITY = crypto_scalarmult_base(IDENTITY_PRIVATE)
DEVICE_ID = seed("device id", 16)
ACCOUNT_ID = account_id_of(bytes(ROOT.verify_key))
