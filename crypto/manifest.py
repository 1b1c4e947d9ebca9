"""One manifest: the exact bytes that list an account's devices, and who signed them. Knows no chain.

Body = transcript(label, root_public, version u64, previous_hash, device…): 1 to 16 devices in strictly
ascending order of their ids. The rules between versions are in `manifest_chain`.
docs/protocol.md, "Identity and manifests".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from struct import Struct

from . import labels, limits
from .errors import InvalidEncoding, ManifestRefused, UnknownDevice
from .keys import LocalDevice, RootKeyPair, SigningKeyPair, account_id
from .primitives import ed25519_check, ed25519_verify, sha256, x25519_check
from .transcript import parse_transcript, transcript, u64

__all__ = [
    "DEVICE_ENTRY_BYTES",
    "DeviceEntry",
    "Manifest",
    "SignedManifest",
    "build_manifest",
    "device_entry",
    "parse_manifest",
    "sign_manifest",
]

_ENTRY = Struct(">16s32s32sBQ64s")
DEVICE_ENTRY_BYTES = _ENTRY.size  # 153
_MANAGER, _BOT, _ARCHIVE = 1, 2, 4
_FLAGS = _MANAGER | _BOT | _ARCHIVE
_FIXED_FIELDS = 3
_SIGNED_BY_ROOT, _SIGNED_BY_DEVICE = 0, 1


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One device: 16 B id, 32 B signing and identity keys, flags, added at (ms), its own 64 B signature."""

    device_id: bytes
    signing_public: bytes
    identity_public: bytes
    manager: bool
    bot: bool
    archive: bool
    added_at_ms: int
    signature: bytes

    def encode(self) -> bytes:
        """153 B: id ‖ signing key ‖ identity key ‖ flags ‖ added at u64 ‖ signature."""
        flags = _MANAGER * self.manager | _BOT * self.bot | _ARCHIVE * self.archive
        keys = self.device_id, self.signing_public, self.identity_public
        return _ENTRY.pack(*keys, flags, self.added_at_ms, self.signature)

    @classmethod
    def parse(cls, data: bytes) -> "DeviceEntry":
        """Raise InvalidEncoding unless it is 153 B with known flags and a time."""
        if len(data) != DEVICE_ENTRY_BYTES:
            raise InvalidEncoding(f"device entry must be {DEVICE_ENTRY_BYTES} bytes, got {len(data)}")
        device_id, signing, identity, flags, added_at_ms, signature = _ENTRY.unpack(data)
        if flags & ~_FLAGS:
            raise InvalidEncoding("device entry has unknown flags")
        if added_at_ms > limits.MAX_ADDED_AT_MS:
            raise InvalidEncoding("a device was added before 2**53 ms after 1970")
        return cls(
            device_id=device_id,
            signing_public=signing,
            identity_public=identity,
            manager=bool(flags & _MANAGER),
            bot=bool(flags & _BOT),
            archive=bool(flags & _ARCHIVE),
            added_at_ms=added_at_ms,
            signature=signature,
        )

    def verify(self, account: bytes) -> None:
        """Raise InvalidKey for a key that A7 refuses, InvalidSignature unless the device signed its keys."""
        x25519_check(self.identity_public)
        ed25519_check(self.signing_public)
        signed = _device_transcript(account, self.device_id, self.signing_public, self.identity_public)
        ed25519_verify(self.signing_public, signed, self.signature)


def _device_transcript(account: bytes, device_id: bytes, signing: bytes, identity: bytes) -> bytes:
    return transcript(labels.DEVICE, account, device_id, signing, identity)


def device_entry(
    device: LocalDevice, *, added_at_ms: int, manager: bool = False, bot: bool = False, archive: bool = False
) -> DeviceEntry:
    """The entry of this device, signed by its own key; flags and time are the manager's to confirm."""
    signing, identity = device.signing.public, device.identity.public
    signature = device.signing.sign(
        _device_transcript(device.account_id, device.device_id, signing, identity)
    )
    return DeviceEntry(device.device_id, signing, identity, manager, bot, archive, added_at_ms, signature)


@dataclass(frozen=True)
class Manifest:
    """A parsed body: 32 B root key, version from 1, 32 B previous hash (version 1: empty), devices."""

    root_public: bytes
    version: int
    previous_hash: bytes
    devices: tuple[DeviceEntry, ...]

    @cached_property
    def account_id(self) -> bytes:
        """32 B id that the root key certifies."""
        return account_id(self.root_public)

    def device(self, device_id: bytes) -> DeviceEntry:
        """The entry of a device, or UnknownDevice."""
        for entry in self.devices:
            if entry.device_id == device_id:
                return entry
        raise UnknownDevice(f"manifest {self.version} does not list this device")

    def verify_devices(self) -> None:
        """Raise unless every device signed its keys and no key stands twice (A9)."""
        seen = {self.root_public}
        for entry in self.devices:
            entry.verify(self.account_id)
            for key in (entry.signing_public, entry.identity_public):
                if key in seen:
                    raise ManifestRefused("a key stands twice in the manifest")
                seen.add(key)


def build_manifest(
    root_public: bytes, version: int, previous_hash: bytes | None, devices: Iterable[DeviceEntry]
) -> bytes:
    """Body of a manifest, devices sorted by id; raises what `parse_manifest` and `verify_devices` would."""
    entries = sorted(devices, key=lambda entry: entry.device_id)
    fields = [entry.encode() for entry in entries]
    body = transcript(labels.MANIFEST, root_public, u64(version), previous_hash, *fields)
    parse_manifest(body).verify_devices()
    return body


def parse_manifest(body: bytes) -> Manifest:
    """Manifest of exactly these bytes, or InvalidEncoding; verifies no signature."""
    root_public, version_field, previous_hash, *entries = _manifest_fields(body)
    if len(root_public) != limits.ED25519_KEY_BYTES or len(version_field) != 8:
        raise InvalidEncoding("manifest has a root key or version of another length")
    version = int.from_bytes(version_field, "big")
    if not 1 <= version <= limits.MAX_MANIFEST_VERSION:
        raise InvalidEncoding("manifest versions start at 1 and end below 2**53")
    if len(previous_hash) != (limits.HASH_BYTES if version > 1 else 0):
        raise InvalidEncoding("manifest must name the previous hash, except version 1")
    devices = tuple(DeviceEntry.parse(entry) for entry in entries)
    ids = [entry.device_id for entry in devices]
    if any(left >= right for left, right in pairwise(ids)):
        raise InvalidEncoding("devices must be in strictly ascending order of their ids")
    return Manifest(root_public=root_public, version=version, previous_hash=previous_hash, devices=devices)


def _manifest_fields(body: bytes) -> tuple[bytes, ...]:
    most = len(labels.MANIFEST) + 1 + 4 * 3 + 72 + limits.MAX_DEVICES_PER_ACCOUNT * (4 + DEVICE_ENTRY_BYTES)
    if len(body) > most:
        raise InvalidEncoding(f"manifest has more than {limits.MAX_DEVICES_PER_ACCOUNT} devices")
    fields = parse_transcript(labels.MANIFEST, body)
    if not _FIXED_FIELDS < len(fields) <= _FIXED_FIELDS + limits.MAX_DEVICES_PER_ACCOUNT:
        raise InvalidEncoding(f"manifest must list 1 to {limits.MAX_DEVICES_PER_ACCOUNT} devices")
    return fields


@dataclass(frozen=True)
class SignedManifest:
    """The exact body, its signer (16 B device id, empty for the root key), a 64 B signature over it."""

    body: bytes
    signer: bytes
    signature: bytes

    @cached_property
    def hash(self) -> bytes:
        """32 B SHA-256 of the body: what the next version, sessions and gossip name."""
        return sha256(self.body)

    @cached_property
    def manifest(self) -> Manifest:
        """The parsed body, or InvalidEncoding."""
        return parse_manifest(self.body)

    def encode(self) -> bytes:
        """0 (root) or 1 ‖ 16 B device id ‖ 64 B signature ‖ body."""
        kind = _SIGNED_BY_DEVICE if self.signer else _SIGNED_BY_ROOT
        return bytes((kind,)) + self.signer + self.signature + self.body

    @classmethod
    def parse(cls, data: bytes) -> "SignedManifest":
        """Inverse of `encode`; the body is checked too."""
        if data[:1] not in (b"\x00", b"\x01"):
            raise InvalidEncoding("manifest is signed by neither root nor device")
        start = 1 + limits.DEVICE_ID_BYTES * data[0]
        end = start + limits.ED25519_SIGNATURE_BYTES
        signed = cls(body=data[end:], signer=data[1:start], signature=data[start:end])
        parse_manifest(signed.body)
        return signed


def sign_manifest(body: bytes, key: RootKeyPair | SigningKeyPair, signer: bytes = b"") -> SignedManifest:
    """Sign a body: by the root key with no signer, by a manager with its 16 B device id."""
    if (len(signer) == limits.DEVICE_ID_BYTES) != isinstance(key, SigningKeyPair) or len(signer) not in (
        0,
        16,
    ):
        raise InvalidEncoding("the root key signs without, a device with its id")
    return SignedManifest(body=body, signer=signer, signature=key.sign(body))
