"""Every failure of this package, as one tree; whatever a library raises becomes one of these.

- CryptoError
    - UnsupportedBuild      this build of `cryptography` lacks ML-KEM-768 or X-Wing
    - InvalidEncoding       a length, count, tag or version that docs/protocol.md does not allow
    - InvalidKey            a key of the right length that must not be used (A7)
    - InvalidSignature      a signature that does not cover these bytes under this key
    - StaleKey              older than one already seen, or than its lifetime (A11)
    - ManifestRefused       a manifest that breaks a rule of the chain
        - ManifestRollback  an older version than the one known: ignored, never shown
        - ManifestGap       versions between the known one and this are missing: fetch them
        - ManifestFork      two manifests of one version: sending stops, both are shown
        - SplitView         a peer saw a manifest of ours that we never made (A10)
    - UnknownDevice         a device that its account's newest manifest does not list
    - Undecryptable         no key opens it, or what opened is not what was promised
        - Replayed          a message number or set-up that was used before
        - TooFarAhead       a counter beyond the forward limit
    - CopiedState           a used number with an unseen envelope: somebody has our state (B4)
    - TooLarge              content that no envelope can hold
    - NoSession             nothing to encrypt with: fetch a bundle and start one
        - SessionExpired    the active one was not answered in time: the same
    - NotEntitled           the account or device is not in the group, or lacks the right
    - ChainMissing          the sender's chain or the epoch's secret has not come yet: hold the envelope
    - ChainEnded            the own chain is used up, or its epoch is over: begin a new one
    - CommitRefused         an entry of the group log that every member skips
        - CommitOutdated    made on another state than the present one: make it anew
    - GroupTooNew           the group uses what this build does not know and must not ignore
    - LinkRefused           a link request or answer that is late, used, or not the one that was scanned
    - BackupOutdated        an older backup than one that is known of (D3)
    - LogRefused            a head or proof of the transparency log that does not hold
        - LogSplit          two heads that cannot both be true; carries both

A failure never carries key material, plaintext or the offending bytes.
"""

from typing import Protocol

__all__ = [
    "BackupOutdated",
    "ChainEnded",
    "ChainMissing",
    "CommitOutdated",
    "CommitRefused",
    "CopiedState",
    "CryptoError",
    "GroupTooNew",
    "InvalidEncoding",
    "InvalidKey",
    "InvalidSignature",
    "LinkRefused",
    "LogRefused",
    "LogSplit",
    "ManifestFork",
    "ManifestGap",
    "ManifestRefused",
    "ManifestRollback",
    "NoSession",
    "NotEntitled",
    "Replayed",
    "SessionExpired",
    "SplitView",
    "StaleKey",
    "TooFarAhead",
    "TooLarge",
    "Undecryptable",
    "UnknownDevice",
    "UnsupportedBuild",
]


class SignedObject(Protocol):
    """What a fork carries as evidence: the exact bytes that were signed, and the signature."""

    @property
    def body(self) -> bytes:
        """The signed bytes."""

    @property
    def signature(self) -> bytes:
        """64 B Ed25519."""


class CryptoError(Exception):
    """Root of every failure of this package; the tree is in the module docstring."""


class UnsupportedBuild(CryptoError):
    """The installed `cryptography` was built against a library without ML-KEM-768."""


class InvalidEncoding(CryptoError):
    """Bytes that are not laid out as docs/protocol.md says."""


class InvalidKey(CryptoError):
    """A key that must not be used: all-zero result, not canonical, outside the group, bad modulus (A7)."""


class InvalidSignature(CryptoError):
    """A signature that does not verify strictly."""


class StaleKey(CryptoError):
    """A prekey, sealing key or bundle that is past its lifetime, or older than one seen (A11)."""


class ManifestRefused(CryptoError):
    """A manifest that breaks a rule: wrong signer, version, link, or a key that another device has."""


class ManifestRollback(ManifestRefused):
    """A chain that ends below the version already known."""


class ManifestGap(ManifestRefused):
    """Versions are missing between the known one and one that is named; carries the known version."""

    def __init__(self, message: str, known_version: int) -> None:
        super().__init__(message)
        self.known_version = known_version


class ManifestFork(ManifestRefused):
    """Two different manifests of one version; carries both signed objects as evidence."""

    def __init__(self, message: str, known: SignedObject, other: SignedObject) -> None:
        super().__init__(message)
        self.known = known
        self.other = other


class SplitView(ManifestRefused):
    """A peer names a version and hash of our own manifest that is not on our chain (A10)."""


class UnknownDevice(CryptoError):
    """The device is not in its account's newest manifest, or was removed from it."""


class Undecryptable(CryptoError):
    """The one failure of opening: it does not say which check failed."""


class Replayed(Undecryptable):
    """The message number or the set-up was used before; its plaintext is not given again (A4)."""


class TooFarAhead(Undecryptable):
    """An authenticated counter beyond MAX_FORWARD_JUMP."""


class CopiedState(CryptoError):
    """A used message number in an envelope never seen: a copy of the session's state is in use (B4)."""


class TooLarge(CryptoError):
    """The content does not fit into an envelope of MAX_ENVELOPE_BYTES."""


class NoSession(CryptoError):
    """There is no session with this device; fetch a bundle and start one."""


class SessionExpired(NoSession):
    """The set-up was not answered within its lifetime; fetch a bundle and start anew."""


class NotEntitled(CryptoError):
    """An account or device that is not in the group, or lacks the right for what it did (B5)."""


class ChainMissing(CryptoError):
    """The sender's chain or the epoch's secret has not come yet; hold the envelope and try again when it has."""


class ChainEnded(CryptoError):
    """The own chain has reached its messages, its age or the end of its epoch; begin a new one."""


class CommitRefused(CryptoError):
    """An entry of a group log that breaks a rule; every member skips it and goes on."""


class CommitOutdated(CommitRefused):
    """A commit on another state than the present one: who lost the race makes it anew."""


class GroupTooNew(CryptoError):
    """The group has a critical setting or a form of commit that this build does not know: it stops writing."""


class LinkRefused(CryptoError):
    """A link request or answer that is late, was used, or is not the one that was scanned (D5)."""


class BackupOutdated(CryptoError):
    """An older backup than one that is known of (D3); carries both counters."""

    def __init__(self, message: str, counter: int, known_counter: int) -> None:
        super().__init__(message)
        self.counter = counter
        self.known_counter = known_counter


class LogRefused(CryptoError):
    """A head, leaf or proof of the transparency log that does not hold."""


class LogSplit(LogRefused):
    """Two signed heads that cannot both be true; carries both as evidence."""

    def __init__(self, message: str, known: SignedObject, other: SignedObject) -> None:
        super().__init__(message)
        self.known = known
        self.other = other
