"""Recovery: from one 256-bit key the account's root key and the key that backups are sealed to; backups themselves.

Any device can seal a backup, for that needs the public half alone; only the words open it, so no removed device reads
a later one. A manager signs it, naming its counter and manifest, so an older one is known for what it is (D3). What is
in a backup is for the client. docs/protocol.md, "Recovery".
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import BackupOutdated, InvalidEncoding, ManifestRefused, TooLarge
from .keys import LocalDevice, RootKeyPair
from .manifest import DeviceEntry
from .manifest_chain import VerifiedManifest
from .padding import LENGTH_BYTES, pad, padded_blob_length, unpad_blob
from .primitives import HpkePrivateKey, RandomBytes, ed25519_verify, hkdf_sha256, hpke_open, hpke_seal, sha256
from .recovery_words import key_of_words, words_of_key
from .transcript import transcript, u64

__all__ = [
    "BackupHead",
    "RecoveryKey",
    "SignedBackup",
    "SignedBackupHead",
    "open_backup",
    "seal_backup",
    "verify_backup_head",
]

_HEAD: Final = Struct(">B32s16sQQ32sQ64s")
BACKUP_HEAD_BYTES: Final = _HEAD.size  # 169
SIGNED_BACKUP_HEAD_BYTES: Final = BACKUP_HEAD_BYTES + 32


@dataclass(frozen=True, slots=True, eq=False)
class RecoveryKey:
    """The account's recovery key. The first device deletes it once the user has confirmed the words."""

    key: bytes = field(repr=False)
    """32 B."""

    @classmethod
    def generate(cls, random: RandomBytes) -> "RecoveryKey":
        """A fresh key."""
        return cls(random(limits.RECOVERY_KEY_BYTES))

    @classmethod
    def from_words(cls, typed: str) -> "RecoveryKey":
        """The key of 24 words, or InvalidEncoding."""
        return cls(key_of_words(typed))

    def words(self) -> tuple[str, ...]:
        """What the user writes down."""
        return words_of_key(self.key)

    def root(self) -> RootKeyPair:
        """The account's root key: the Ed25519 pair of HKDF(0, key, label)."""
        return RootKeyPair.from_seed(hkdf_sha256(b"", self.key, labels.RECOVERY_ROOT, 32))

    def sealing(self) -> HpkePrivateKey:
        """The X-Wing key that backups are sealed to: its 32 B seed is HKDF(0, key, label)."""
        seed = hkdf_sha256(b"", self.key, labels.RECOVERY_SEALING, limits.SEALING_SEED_BYTES)
        return HpkePrivateKey(seed)


@dataclass(frozen=True, slots=True)
class BackupHead:
    """What a backup says about itself, in the clear, signed, and bound to what is sealed."""

    account: bytes
    device: bytes
    """16 B: the manager that signed it."""
    counter: int
    """One above that of the backup before, over all devices of the account."""
    manifest_version: int
    manifest_hash: bytes
    made_at_ms: int

    def fields(self) -> tuple[bytes, ...]:
        """The fields of both transcripts."""
        numbers = u64(self.counter), u64(self.manifest_version), self.manifest_hash, u64(self.made_at_ms)
        return self.account, self.device, *numbers


def _pack(head: BackupHead, signature: bytes) -> bytes:
    numbers = head.counter, head.manifest_version, head.manifest_hash, head.made_at_ms
    return _HEAD.pack(limits.SUITE, head.account, head.device, *numbers, signature)


def _unpack(data: bytes) -> tuple[BackupHead, bytes]:
    """(Head, signature) at the beginning of these bytes, or InvalidEncoding."""
    if len(data) < BACKUP_HEAD_BYTES or data[0] != limits.SUITE:
        raise InvalidEncoding("not a backup of this suite")
    _, *fields, signature = _HEAD.unpack_from(data)
    head = BackupHead(*fields)
    if max(head.counter, head.manifest_version, head.made_at_ms) > limits.MAX_BACKUP_COUNTER:
        raise InvalidEncoding("a backup of an impossible number or time")
    return head, signature


@dataclass(frozen=True, slots=True)
class SignedBackupHead:
    """What proves that there is a backup, without it: for contacts, who tell it to a device that comes back (D3)."""

    head: BackupHead
    signature: bytes = field(repr=False)
    sealed_hash: bytes
    """32 B."""

    def encode(self) -> bytes:
        """201 B: the first 169 of the backup ‖ SHA-256 of the sealed rest."""
        return _pack(self.head, self.signature) + self.sealed_hash

    @classmethod
    def parse(cls, data: bytes) -> "SignedBackupHead":
        """Inverse of `encode`, or InvalidEncoding; verifies nothing."""
        if len(data) != SIGNED_BACKUP_HEAD_BYTES:
            raise InvalidEncoding("the head of a backup of another length")
        return cls(*_unpack(data), data[BACKUP_HEAD_BYTES:])


@dataclass(frozen=True, slots=True)
class SignedBackup:
    """A backup as it is stored."""

    head: BackupHead
    signature: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    def encode(self) -> bytes:
        """169 B: suite ‖ account ‖ device ‖ counter u64 ‖ version u64 ‖ hash ‖ made at u64 ‖ signature, then the sealed rest."""
        return _pack(self.head, self.signature) + self.sealed

    @property
    def signed_head(self) -> SignedBackupHead:
        """What can be shown of it to whoever shall not have it."""
        return SignedBackupHead(self.head, self.signature, sha256(self.sealed))

    @classmethod
    def parse(cls, data: bytes) -> "SignedBackup":
        """Inverse of `encode`, or InvalidEncoding."""
        return cls(*_unpack(data), data[BACKUP_HEAD_BYTES:])


def _signed(head: BackupHead, sealed_hash: bytes) -> bytes:
    return transcript(labels.BACKUP, *head.fields(), sealed_hash)


def _info(head: BackupHead) -> bytes:
    return transcript(labels.BACKUP_KEY, *head.fields())


def seal_backup(
    content: bytes,
    recovery_public: bytes,
    device: LocalDevice,
    own: VerifiedManifest,
    counter: int,
    now_ms: int,
) -> SignedBackup:
    """A backup by this device, which must be a manager; padded as blobs are.

    Raises ManifestRefused if it is none, TooLarge above 64 MiB, InvalidKey for a bad recovery key.
    """
    if len(content) > limits.MAX_BACKUP_BYTES:
        raise TooLarge(f"a backup has at most {limits.MAX_BACKUP_BYTES} bytes")
    if not own.device(device.device_id).manager:
        raise ManifestRefused("only a manager makes backups")
    head = BackupHead(device.account_id, device.device_id, counter, own.version, own.hash, now_ms)
    padded = pad(content, padded_blob_length(len(content) + LENGTH_BYTES))
    sealed = hpke_seal(recovery_public, _info(head), padded)
    return SignedBackup(head, device.signing.sign(_signed(head, sha256(sealed))), sealed)


def verify_backup_head(signed: SignedBackupHead, chain: VerifiedManifest) -> DeviceEntry:
    """The manager of this account that signed it, as its manifest lists it.

    Raises ManifestRefused, also for a manifest from before the known chain, ManifestGap, UnknownDevice, InvalidSignature.
    """
    head = signed.head
    if head.account != chain.account_id:
        raise ManifestRefused("a backup of another account")
    entry = chain.require(head.manifest_version, head.manifest_hash).manifest.device(head.device)
    if not entry.manager:
        raise ManifestRefused("a backup that no manager has signed")
    ed25519_verify(entry.signing_public, _signed(head, signed.sealed_hash), signed.signature)
    return entry


def open_backup(
    backup: SignedBackup,
    recovery: RecoveryKey,
    newest: VerifiedManifest,
    *,
    known_counter: int = 0,
    outdated_is_fine: bool = False,
) -> bytes:
    """The content of a backup of this account.

    `newest`: the account's newest manifest that can be had; `known_counter`: the highest counter that contacts or other
    devices tell of. Raises BackupOutdated for an older backup, also for one from before a manager was removed who signed
    it, unless the user was warned and says it is fine; ManifestGap, ManifestRefused, InvalidSignature, Undecryptable,
    InvalidEncoding.
    """
    head = backup.head
    verify_backup_head(backup.signed_head, newest)
    if not outdated_is_fine:
        if head.counter < known_counter:
            raise BackupOutdated("there is a newer backup than this one", head.counter, known_counter)
        listed = [device.device_id for device in newest.manifest.devices if device.manager]
        if head.device not in listed:
            raise BackupOutdated(
                "signed by a manager that was removed since", head.counter, max(known_counter, head.counter)
            )
    return unpad_blob(hpke_open(recovery.sealing(), _info(head), backup.sealed))
