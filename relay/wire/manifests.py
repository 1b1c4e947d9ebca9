"""A device manifest as the relay reads it: strict shape only; docs/protocol.md, "Manifests".

Signatures are the business of relay.session.proof.

body = transcript(`tokenim/v1 manifest`, root key 32, version u64, previous hash 32 or absent, then a field of 153 B a device:
device id 16 ‖ signing key 32 ‖ identity key 32 ‖ flags 1 ‖ added_at_ms u64 ‖ the device's own signature 64), 1 to 16 devices,
in ascending order of their ids.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from . import limits
from .errors import Malformed, ManifestInvalid
from .transcripts import DEVICE_LABEL, MANIFEST_LABEL, parse_transcript, transcript

FLAG_MANAGER: Final = 1
FLAG_BOT: Final = 2
FLAG_ARCHIVE: Final = 4
_KNOWN_FLAGS: Final = FLAG_MANAGER | FLAG_BOT | FLAG_ARCHIVE
_DEVICE_FIELD_BYTES: Final = 153
_TOO_LARGE: Final = 2**53  # more than every JSON number holds exactly


@dataclass(frozen=True, slots=True)
class ManifestDevice:
    """One device of a manifest: 16 B id, 32 B Ed25519 and X25519 keys, flags, time, 64 B own signature."""

    device_id: bytes
    signing_key: bytes
    identity_key: bytes
    flags: int
    added_at_ms: int
    signature: bytes

    @property
    def is_manager(self) -> bool:
        """Whether this device may sign the next manifest."""
        return bool(self.flags & FLAG_MANAGER)

    def signed_transcript(self, account_id: bytes) -> bytes:
        """What `signature` covers: the account's id and both keys under the device's id."""
        return transcript(DEVICE_LABEL, account_id, self.device_id, self.signing_key, self.identity_key)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parsed body of a manifest."""

    root_key: bytes
    version: int
    previous_hash: bytes | None
    devices: tuple[ManifestDevice, ...]
    hash: bytes  # SHA-256 of the body

    @property
    def account_id(self) -> bytes:
        """32 B, SHA-256 of the suite byte and the root key: nobody can put another key behind an id."""
        return account_id_of(self.root_key)

    def device(self, device_id: bytes) -> ManifestDevice | None:
        """The device of this id, if it is listed."""
        return next((device for device in self.devices if device.device_id == device_id), None)


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """As it travels: the exact signed bytes, who signed (16 B device id, or empty for the root key), 64 B signature."""

    body: bytes
    signer: bytes
    signature: bytes


def account_id_of(root_key: bytes) -> bytes:
    """32 B account id of a 32 B Ed25519 root key."""
    return hashlib.sha256(bytes((limits.SUITE,)) + root_key).digest()


def root_key_in(body: bytes) -> bytes:
    """32 B root key of a manifest that was accepted: its first field. The same work for each."""
    start = len(MANIFEST_LABEL) + 1 + 4
    return body[start : start + limits.PUBLIC_KEY_BYTES]


def _parse_device(field: bytes) -> ManifestDevice:
    if len(field) != _DEVICE_FIELD_BYTES:
        raise ManifestInvalid("a device of the manifest has the wrong length")
    flags, added_at_ms = field[80], int.from_bytes(field[81:89], "big")
    if flags & ~_KNOWN_FLAGS:
        raise ManifestInvalid("a device of the manifest has unknown flags")
    if added_at_ms >= _TOO_LARGE:
        raise ManifestInvalid("a device of the manifest names a time of 2⁵³ or more")
    return ManifestDevice(
        device_id=field[:16],
        signing_key=field[16:48],
        identity_key=field[48:80],
        flags=flags,
        added_at_ms=added_at_ms,
        signature=field[89:],
    )


def parse_manifest(body: bytes) -> Manifest:
    """The manifest in `body`; raises ManifestInvalid if any rule of its shape is broken."""
    if len(body) > limits.MAX_MANIFEST_BYTES:
        raise ManifestInvalid("the manifest is too long")
    try:
        root_key, version, previous_hash, *device_fields = parse_transcript(MANIFEST_LABEL, body)
    except (Malformed, ValueError) as error:
        raise ManifestInvalid("the manifest is not a transcript of its kind") from error
    if (
        len(root_key) != limits.PUBLIC_KEY_BYTES
        or len(version) != 8
        or len(previous_hash) not in (0, limits.HASH_BYTES)
    ):
        raise ManifestInvalid("a field of the manifest has the wrong length")
    if not 1 <= len(device_fields) <= limits.MAX_DEVICES:
        raise ManifestInvalid(f"a manifest lists 1 to {limits.MAX_DEVICES} devices")
    devices = tuple(map(_parse_device, device_fields))
    ids = [device.device_id for device in devices]
    if any(first >= second for first, second in pairwise(ids)):
        raise ManifestInvalid("the devices of a manifest are in ascending order of their ids")
    keys = [root_key, *(key for device in devices for key in (device.signing_key, device.identity_key))]
    if len(set(keys)) != len(keys):
        raise ManifestInvalid("a key stands twice in the manifest")
    number = int.from_bytes(version, "big")
    if not 1 <= number < _TOO_LARGE or (number == 1) != (not previous_hash):
        raise ManifestInvalid("version 1 alone has no predecessor")
    return Manifest(root_key, number, previous_hash or None, devices, hashlib.sha256(body).digest())
