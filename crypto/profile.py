"""The profile: what an account says of itself, for whoever has its profile key, each version under keys of its own.

profile = suite 1 ‖ salt 32 ‖ commitment 32 ‖ AES-256-GCM of the padded statement, the 65 B before as associated data.
HKDF-SHA-256(salt, IKM = profile key, info = transcript of account and version) gives AES-256 key 32 ‖ nonce 12 ‖ commitment 32.
statement = device id 16 ‖ signature 64 ‖ content: a device of the account signs it, so that nobody who was given the key can
make one. What is in the content is for the client. docs/protocol.md, "Profiles".
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, TooLarge, Undecryptable
from .keys import LocalDevice
from .manifest_chain import VerifiedManifest
from .padding import LENGTH_BYTES, pad, padded_blob_length, unpad_blob
from .primitives import RandomBytes, aes256gcm_open, aes256gcm_seal, ed25519_verify, hkdf_sha256
from .transcript import transcript, u64

__all__ = ["Statement", "open_profile", "seal_profile"]

_NONCE_BYTES: Final = 12
_NONCE_END: Final = limits.AEAD_KEY_BYTES + _NONCE_BYTES
_SALT_END: Final = 1 + limits.PROFILE_SALT_BYTES
PROFILE_HEAD_BYTES: Final = _SALT_END + limits.PROFILE_COMMITMENT_BYTES  # 65
_CONTENT_BEGIN: Final = limits.DEVICE_ID_BYTES + limits.ED25519_SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Statement:
    """An opened profile: what it says, and the device that signed it."""

    account: bytes
    version: int
    device: bytes
    """16 B."""
    signature: bytes = field(repr=False)
    content: bytes = field(repr=False)

    def verify(self, newest: VerifiedManifest) -> None:
        """Raise UnknownDevice unless a device of the account's list made it, InvalidSignature unless it signed this."""
        entry = newest.device(self.device)
        if newest.account_id != self.account:
            raise InvalidEncoding("a device list of another account")
        signed = _signed(self.account, self.version, self.device, self.content)
        ed25519_verify(entry.signing_public, signed, self.signature)


def _signed(account: bytes, version: int, device: bytes, content: bytes) -> bytes:
    return transcript(labels.PROFILE_SIGNATURE, account, u64(version), device, content)


def _derive(key: bytes, salt: bytes, account: bytes, version: int) -> tuple[bytes, bytes, bytes]:
    """(AES key 32, nonce 12, commitment 32)."""
    info = transcript(labels.PROFILE, account, u64(version))
    derived = hkdf_sha256(salt, key, info, _NONCE_END + limits.PROFILE_COMMITMENT_BYTES)
    return derived[: limits.AEAD_KEY_BYTES], derived[limits.AEAD_KEY_BYTES : _NONCE_END], derived[_NONCE_END:]


def _padded_length(length: int) -> int:
    return max(limits.LEAST_PROFILE_BYTES, padded_blob_length(length + LENGTH_BYTES))


def seal_profile(content: bytes, key: bytes, device: LocalDevice, version: int, random: RandomBytes) -> bytes:
    """Version 1, 2, 3 … of the device's account's profile under its 32 B profile key. Raises TooLarge above 16,000 B."""
    if len(content) > limits.MAX_PROFILE_CONTENT_BYTES:
        raise TooLarge(f"a profile has at most {limits.MAX_PROFILE_CONTENT_BYTES} bytes")
    salt = random(limits.PROFILE_SALT_BYTES)
    aes_key, nonce, commitment = _derive(key, salt, device.account_id, version)
    head = bytes((limits.SUITE,)) + salt + commitment
    signature = device.signing.sign(_signed(device.account_id, version, device.device_id, content))
    statement = device.device_id + signature + content
    return head + aes256gcm_seal(aes_key, nonce, pad(statement, _padded_length(len(statement))), head)


def open_profile(sealed: bytes, key: bytes, account: bytes, version: int) -> Statement:
    """What this version of the account's profile says; to be verified with the account's device list.

    Raises InvalidEncoding, and Undecryptable for one that was changed, or sealed under another key, for another account or
    version.
    """
    if len(sealed) <= PROFILE_HEAD_BYTES or sealed[0] != limits.SUITE:
        raise InvalidEncoding("not a profile of this suite")
    aes_key, nonce, commitment = _derive(key, sealed[1:_SALT_END], account, version)
    if not hmac.compare_digest(commitment, sealed[_SALT_END:PROFILE_HEAD_BYTES]):
        raise Undecryptable("the profile was not sealed under this key for this version")
    head, ciphertext = sealed[:PROFILE_HEAD_BYTES], sealed[PROFILE_HEAD_BYTES:]
    statement = unpad_blob(
        aes256gcm_open(aes_key, nonce, ciphertext, head), least_bytes=limits.LEAST_PROFILE_BYTES
    )
    if len(statement) < _CONTENT_BEGIN:
        raise InvalidEncoding("a profile without a signature")
    device, signature = (
        statement[: limits.DEVICE_ID_BYTES],
        statement[limits.DEVICE_ID_BYTES : _CONTENT_BEGIN],
    )
    return Statement(account, version, device, signature, statement[_CONTENT_BEGIN:])
