"""AES-256-GCM (SP 800-38D), the one thing of the oracle that comes from a library; docs/protocol.md, "Conventions"."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.oracle.refusals import Refused


def gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    return AESGCM(key).encrypt(nonce, plaintext, ad)


def gcm_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, ad)
    except (InvalidTag, ValueError):
        raise Refused("does not open", "Undecryptable") from None
