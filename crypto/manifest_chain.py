"""Which manifests a client believes: the walk from the version it knows, or from the last root-signed one.

Version 1 and recovery manifests are signed by the root key, all others by a manager of the *previous*
version, so a removed manager has no power left (A13). A rollback is
ignored; a fork is shown with both manifests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import (
    InvalidSignature,
    ManifestFork,
    ManifestGap,
    ManifestRefused,
    ManifestRollback,
    UnknownDevice,
)
from .manifest import DeviceEntry, Manifest, SignedManifest
from .primitives import ed25519_verify

__all__ = ["VerifiedManifest", "verify_chain"]


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """The newest manifest of an account that this client verified, and the chain that leads to it.

    `chain` starts at the root-signed manifest of the first contact, so a later fork can be proved.
    """

    account_id: bytes
    chain: tuple[SignedManifest, ...]

    @property
    def newest(self) -> SignedManifest:
        """The signed newest manifest."""
        return self.chain[-1]

    @property
    def manifest(self) -> Manifest:
        """The newest manifest, parsed."""
        return self.newest.manifest

    @property
    def version(self) -> int:
        """Version of the newest manifest."""
        return self.manifest.version

    @property
    def hash(self) -> bytes:
        """32 B hash of the newest manifest."""
        return self.newest.hash

    def device(self, device_id: bytes) -> DeviceEntry:
        """A device of the newest manifest, or UnknownDevice."""
        return self.manifest.device(device_id)

    def signed(self, version: int) -> SignedManifest | None:
        """The manifest of a version, if it is on the known part of the chain."""
        index = version - self.chain[0].manifest.version
        return self.chain[index] if 0 <= index < len(self.chain) else None

    def since(self, version: int) -> tuple[SignedManifest, ...]:
        """What a peer lacks that knows `version` of this account."""
        return tuple(signed for signed in self.chain if signed.manifest.version > version)

    def leading_to(self, version: int) -> tuple[SignedManifest, ...]:
        """What a stranger needs to believe `version` and all later ones: from the last root-signed one up to it."""
        starts = [
            index
            for index, signed in enumerate(self.chain)
            if not signed.signer and signed.manifest.version <= version
        ]
        return self.chain[starts[-1] if starts else 0 :]

    def require(self, version: int, manifest_hash: bytes) -> SignedManifest:
        """The manifest of this version and hash.

        Raises ManifestGap if the version is above the known ones, ManifestRefused if it is not on this chain.
        """
        if version > self.version:
            raise ManifestGap(f"version {version} is newer than the known {self.version}", self.version)
        signed = self.signed(version)
        if signed is None or signed.hash != manifest_hash:
            raise ManifestRefused(f"another version {version} than the one on the known chain")
        return signed


def verify_chain(
    account_id: bytes, known: VerifiedManifest | None, chain: Sequence[SignedManifest]
) -> VerifiedManifest:
    """The newest manifest that `chain` proves, given what is known.

    `chain` is in ascending order without gaps. It may overlap what is known; what overlaps must be the same.
    At first contact (`known` None) it starts with a root-signed manifest. Raises ManifestRollback if it ends
    below the known version, ManifestGap if versions are missing, ManifestFork for a validly signed
    other manifest of a known version, ManifestRefused, InvalidEncoding, InvalidKey or InvalidSignature for what
    breaks a rule. On any of them keep `known`.
    """
    if not chain:
        raise ManifestRefused("a chain has at least one manifest")
    if any(signed.manifest.account_id != account_id for signed in chain):
        raise ManifestRefused("the root key is not the one of this account id")
    if known is None:
        first, *rest = chain
        _verify_signer(first, None)
        first.manifest.verify_devices()
        walked = VerifiedManifest(account_id, (first,))
    else:
        rest = list(chain)
        walked = known
    for signed in rest:
        walked = _step(walked, signed)
    if known is not None and chain[-1].manifest.version < known.version:
        raise ManifestRollback(f"version {chain[-1].manifest.version} is older than {known.version}")
    return walked


def _step(walked: VerifiedManifest, signed: SignedManifest) -> VerifiedManifest:
    """Compare with the known manifest of that version, or append as the next one."""
    version = signed.manifest.version
    if version > walked.version + 1:
        raise ManifestGap(f"versions between {walked.version} and {version} are missing", walked.version)
    same_version = walked.signed(version)
    if same_version is not None:
        if same_version.hash != signed.hash:
            _verify_link(walked.signed(version - 1), signed)
            raise ManifestFork(f"two manifests of version {version}", same_version, signed)
        return walked
    if version <= walked.version:  # before the first contact: nothing to compare it with
        return walked
    _verify_link(walked.newest, signed)
    _verify_keys_stay(walked, signed.manifest)
    return VerifiedManifest(walked.account_id, (*walked.chain, signed))


def _verify_link(previous: SignedManifest | None, signed: SignedManifest) -> None:
    """Raise unless `signed` may follow `previous`; without a previous one only the root key may sign."""
    if previous is not None and signed.manifest.previous_hash != previous.hash:
        raise ManifestRefused("the manifest does not follow the known one")
    _verify_signer(signed, None if previous is None else previous.manifest)
    signed.manifest.verify_devices()


def _verify_signer(signed: SignedManifest, previous: Manifest | None) -> None:
    manifest = signed.manifest
    if not signed.signer:
        ed25519_verify(manifest.root_public, signed.body, signed.signature)
        return
    if previous is None:
        raise ManifestRefused("the first manifest of a chain must be signed by the root key")
    try:
        entry = previous.device(signed.signer)
    except UnknownDevice as error:
        raise ManifestRefused("signed by a device that the previous version does not list") from error
    if not entry.manager:
        raise ManifestRefused("signed by a device that is no manager in the previous version")
    try:
        ed25519_verify(entry.signing_public, signed.body, signed.signature)
    except InvalidSignature as error:
        raise InvalidSignature("manifest signature does not verify") from error


def _verify_keys_stay(walked: VerifiedManifest, manifest: Manifest) -> None:
    """A9 along the chain: a device keeps its keys, none takes over those of another, even removed one."""
    owners: dict[bytes, bytes] = {}
    keys: dict[bytes, tuple[bytes, bytes]] = {}
    for signed in walked.chain:
        for entry in signed.manifest.devices:
            keys[entry.device_id] = entry.signing_public, entry.identity_public
            owners[entry.signing_public] = owners[entry.identity_public] = entry.device_id
    for entry in manifest.devices:
        pair = entry.signing_public, entry.identity_public
        if keys.get(entry.device_id, pair) != pair:
            raise ManifestRefused("a device changed its keys")
        if any(owners.get(key, entry.device_id) != entry.device_id for key in pair):
            raise ManifestRefused("a key that another device had")
