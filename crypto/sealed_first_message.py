"""The set-up envelope (kind 1): sealed to the recipient's sealing key, so that it names its sender to nobody else.

Kind 1 ‖ suite 1 ‖ sealing key id u32 ‖ HPKE enc 1,120 ‖ ciphertext + 16. Inside, padded: set-up values 1,266 ‖ number
of manifests u8 ‖ for each u32 length ‖ signed manifest ‖ u32 length ‖ inclusion proof ‖ ratchet message. Checks
shapes only: who the sender is, and whether the manifests hold, is for `sessions` and `manifest_chain`.
docs/protocol.md, "Set-up envelope".
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, Undecryptable
from .local_prekeys import LocalPrekeys
from .manifest import SignedManifest
from .padding import LENGTH_BYTES, bucket_for, is_bucket, pad, unpad
from .pqxdh import SETUP_VALUES_BYTES, SetupValues
from .prekeys import KeyKind, SignedKey
from .primitives import HpkePrivateKey, hpke_open, hpke_seal
from .transcript import transcript, u32

__all__ = ["KIND_SETUP", "SetupContent", "open_setup", "seal_setup", "sealing_key_id"]

KIND_SETUP: Final = 1
_HEAD: Final = Struct(">BBI")  # kind, suite, sealing key id
_OVERHEAD_BYTES: Final = _HEAD.size + limits.SEALING_ENC_BYTES + limits.AEAD_TAG_BYTES
MINIMUM_SETUP_BYTES: Final = _OVERHEAD_BYTES + LENGTH_BYTES + SETUP_VALUES_BYTES + 1 + 4


@dataclass(frozen=True, slots=True)
class SetupContent:
    """What is inside: set-up values, A's manifests that B may lack, proof that they are in the log, first message.

    `proof` is opaque here, and empty where the relay keeps no transparency log. `message` is a ratchet envelope
    without padding of its own.
    """

    values: SetupValues
    message: bytes
    manifests: tuple[SignedManifest, ...] = ()
    proof: bytes = b""

    def encode(self) -> bytes:
        """The layout of the module docstring."""
        if len(self.manifests) > limits.MAX_SETUP_MANIFESTS:
            raise InvalidEncoding(f"at most {limits.MAX_SETUP_MANIFESTS} manifests in a set-up")
        parts = [self.values.encode(), bytes((len(self.manifests),))]
        for field in (*(signed.encode() for signed in self.manifests), self.proof):
            parts += (u32(len(field)), field)
        return b"".join((*parts, self.message))

    @classmethod
    def parse(cls, data: bytes) -> "SetupContent":
        """Inverse of `encode`, or InvalidEncoding."""
        at = SETUP_VALUES_BYTES
        values = SetupValues.parse(data[:at])
        if len(data) <= at or data[at] > limits.MAX_SETUP_MANIFESTS:
            raise InvalidEncoding("a set-up with an impossible number of manifests")
        count = data[at]
        at += 1
        fields = []
        for _ in range(count + 1):
            start = at + 4
            end = start + int.from_bytes(data[at:start], "big")
            if end > len(data) or start > len(data):
                raise InvalidEncoding("a set-up ends inside a field")
            fields.append(data[start:end])
            at = end
        manifests = tuple(SignedManifest.parse(field) for field in fields[:-1])
        return cls(values=values, message=data[at:], manifests=manifests, proof=fields[-1])


def _info(account: bytes, device_id: bytes, key_id: int) -> bytes:
    return transcript(labels.SETUP_ENVELOPE, account, device_id, u32(key_id))


def seal_setup(content: SetupContent, sealing: SignedKey, account: bytes, device_id: bytes) -> bytes:
    """The envelope for a device of an account, whose sealing key `verify_bundle` passed; its size is a bucket.

    Raises TooLarge if it would have more than 256 KiB.
    """
    encoded = content.encode()
    size = bucket_for(_OVERHEAD_BYTES + LENGTH_BYTES + len(encoded))
    padded = pad(encoded, size - _OVERHEAD_BYTES)
    sealed = hpke_seal(sealing.key, _info(account, device_id, sealing.key_id), padded)
    return _HEAD.pack(KIND_SETUP, limits.SUITE, sealing.key_id) + sealed


def sealing_key_id(envelope: bytes) -> int:
    """The id of the sealing key; InvalidEncoding unless this can be a set-up envelope of this suite."""
    if len(envelope) < MINIMUM_SETUP_BYTES or not is_bucket(len(envelope)):
        raise InvalidEncoding("the size of the set-up envelope is no bucket")
    kind, suite, key_id = _HEAD.unpack_from(envelope)
    if kind != KIND_SETUP or suite != limits.SUITE:
        raise InvalidEncoding("not a set-up envelope of this suite")
    return int(key_id)


def open_setup(envelope: bytes, prekeys: LocalPrekeys, account: bytes, device_id: bytes) -> SetupContent:
    """The content, opened with this device's own sealing key.

    Raises Undecryptable if that key is gone or does not open it, InvalidEncoding for what is not laid out as said.
    """
    key = prekeys.find(KeyKind.SEALING, sealing_key_id(envelope))
    if not isinstance(key.secret, HpkePrivateKey):
        raise Undecryptable("the key of this id is no sealing key")
    padded = hpke_open(key.secret, _info(account, device_id, key.key_id), envelope[_HEAD.size :])
    return SetupContent.parse(unpad(padded))
