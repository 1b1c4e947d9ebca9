"""The client's side of the transparency log: heads, leaves, growth, and what contacts gossip.

Proves that what was shown is in the log, and that the log only grew. Not that it is the newest or only one: two heads
that contradict each other show that, and so both are kept as evidence. docs/protocol.md, "Transparency".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import InvalidEncoding, LogRefused, LogSplit, SplitView
from .manifest import SignedManifest
from .manifest_chain import VerifiedManifest, verify_chain
from .merkle import verify_consistency, verify_inclusion
from .primitives import ed25519_verify, sha256
from .transcript import parse_transcript, transcript, u64

__all__ = [
    "Gossip",
    "Inclusion",
    "LeafType",
    "SignedHead",
    "advance",
    "check_gossiped_manifest",
    "compare_heads",
    "handle_subject",
    "head_body",
    "leaf",
    "verify_handle_logged",
    "verify_head",
    "verify_manifest_logged",
]

_SIGNATURE: Final = limits.ED25519_SIGNATURE_BYTES
_GOSSIP: Final = Struct(">Q32sQ32s")
_INCLUSION: Final = Struct(">QB")


class LeafType(IntEnum):
    """What a leaf is about."""

    MANIFEST = 1  # subject: account id; value: SHA-256 of the manifest's body
    HANDLE = 2  # subject: salted hash of the handle; value: SHA-256 of the account id


def leaf(kind: LeafType, subject: bytes, version: int, value_hash: bytes) -> bytes:
    """The bytes of a leaf: 32 B subject, version, 32 B hash of the value."""
    if len(subject) != 32 or len(value_hash) != 32:
        raise InvalidEncoding("a leaf has a subject and a value of 32 bytes")
    return transcript(labels.LOG_LEAF, bytes((kind,)), subject, u64(version), value_hash)


def handle_subject(salt: bytes, handle: str) -> bytes:
    """32 B: the salted hash under which the log has a handle; the relay tells the 16 B salt to whoever may look it up."""
    return sha256(transcript(labels.LOG_HANDLE, salt, handle.encode()))


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The log at one moment, as the relay signed it."""

    body: bytes
    """The exact bytes."""
    signature: bytes
    log_id: bytes
    size: int
    root: bytes
    time_ms: int

    def encode(self) -> bytes:
        """64 B signature ‖ body."""
        return self.signature + self.body

    @classmethod
    def parse(cls, data: bytes) -> "SignedHead":
        """Inverse of `encode`, or InvalidEncoding; verifies no signature."""
        signature, body = data[:_SIGNATURE], data[_SIGNATURE:]
        log_id, size, root, time_ms = parse_transcript(labels.LOG_HEAD, body, 4)
        if [len(field) for field in (log_id, size, root, time_ms)] != [32, 8, 32, 8]:
            raise InvalidEncoding("a head with a field of another length")
        count = int.from_bytes(size, "big")
        if count > limits.MAX_LOG_SIZE:
            raise InvalidEncoding("a log of an impossible size")
        return cls(body, signature, log_id, count, root, int.from_bytes(time_ms, "big"))


def head_body(log_id: bytes, size: int, root: bytes, time_ms: int) -> bytes:
    """What the relay signs."""
    return transcript(labels.LOG_HEAD, log_id, u64(size), root, u64(time_ms))


def verify_head(head: SignedHead, relay_public: bytes) -> None:
    """Raise InvalidSignature unless the relay's pinned 32 B key signed it."""
    ed25519_verify(relay_public, head.body, head.signature)


def compare_heads(known: SignedHead, other: SignedHead) -> None:
    """Raise LogSplit if two heads with valid signatures contradict each other as they stand.

    One size with two roots, or a later head of a smaller log. Heads of different sizes need a proof besides; heads of
    different log ids cannot be compared: the relay was restored, and the user is told once.
    """
    if known.log_id != other.log_id:
        return
    if known.size == other.size and known.root != other.root:
        raise LogSplit("one size of the log with two roots", known, other)
    older, newer = sorted((known, other), key=lambda head: head.time_ms)
    if older.time_ms < newer.time_ms and newer.size < older.size:
        raise LogSplit("the log has shrunk", known, other)


def advance(
    known: SignedHead | None, other: SignedHead, proof: Sequence[bytes], relay_public: bytes
) -> SignedHead:
    """The head to keep: the larger of the two, once `other` is verified and the proof leads from one to the other.

    `known` is None at first contact. Raises InvalidSignature, LogSplit for heads that contradict each other, also when
    the proof between them does not hold: the relay signed both and cannot connect them.
    """
    verify_head(other, relay_public)
    if known is None or known.log_id != other.log_id:
        return other
    compare_heads(known, other)
    smaller, larger = sorted((known, other), key=lambda head: head.size)
    try:
        verify_consistency(smaller.size, smaller.root, larger.size, larger.root, proof)
    except LogRefused as error:
        raise LogSplit(f"no proof connects two heads of the log: {error}", known, other) from error
    return larger


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What proves that a leaf is in the log of a signed head: its place, and 32 B hashes from the leaf upwards."""

    head: SignedHead
    index: int
    hashes: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Index u64 ‖ number of hashes u8 ‖ hashes, 32 B each ‖ signed head."""
        return _INCLUSION.pack(self.index, len(self.hashes)) + b"".join(self.hashes) + self.head.encode()

    @classmethod
    def parse(cls, data: bytes) -> "Inclusion":
        """Inverse of `encode`, or InvalidEncoding; verifies nothing."""
        if len(data) < _INCLUSION.size:
            raise InvalidEncoding("an inclusion proof ends early")
        index, count = _INCLUSION.unpack_from(data)
        hashes, rest = data[_INCLUSION.size :][: 32 * count], data[_INCLUSION.size + 32 * count :]
        if count > limits.MAX_PROOF_HASHES or len(hashes) != 32 * count:
            raise InvalidEncoding("an inclusion proof of another number of hashes")
        split = tuple(hashes[at : at + 32] for at in range(0, len(hashes), 32))
        return cls(SignedHead.parse(rest), index, split)


def verify_manifest_logged(inclusion: Inclusion, signed: SignedManifest) -> None:
    """Raise LogRefused unless this manifest is the leaf in the log of the proof's head, which is verified elsewhere."""
    manifest = signed.manifest
    entry = leaf(LeafType.MANIFEST, manifest.account_id, manifest.version, signed.hash)
    _verify_logged(inclusion, entry)


def verify_handle_logged(
    inclusion: Inclusion, handle: str, salt: bytes, version: int, account_id: bytes
) -> None:
    """Raise LogRefused unless the leaf says that this version of the handle names this account; likewise."""
    _verify_logged(
        inclusion, leaf(LeafType.HANDLE, handle_subject(salt, handle), version, sha256(account_id))
    )


def _verify_logged(inclusion: Inclusion, entry: bytes) -> None:
    head = inclusion.head
    verify_inclusion(entry, inclusion.index, head.size, inclusion.hashes, head.root)


@dataclass(frozen=True, slots=True)
class Gossip:
    """What goes to each contact inside a message: own manifest, theirs as it is known here, and the log's head."""

    own_version: int
    own_hash: bytes
    their_version: int
    """0 with an empty hash of 32 zeros if none is known."""
    their_hash: bytes
    head: SignedHead | None

    def encode(self) -> bytes:
        """80 B: own version u64 ‖ hash ‖ their version u64 ‖ hash; then the signed head, if there is one."""
        fixed = _GOSSIP.pack(self.own_version, self.own_hash, self.their_version, self.their_hash)
        return fixed + (self.head.encode() if self.head else b"")

    @classmethod
    def parse(cls, data: bytes) -> "Gossip":
        """Inverse of `encode`, or InvalidEncoding."""
        if len(data) < _GOSSIP.size:
            raise InvalidEncoding("gossip ends early")
        rest = data[_GOSSIP.size :]
        own_version, own_hash, their_version, their_hash = _GOSSIP.unpack_from(data)
        head = SignedHead.parse(rest) if rest else None
        return cls(own_version, own_hash, their_version, their_hash, head)


def check_gossiped_manifest(
    known: VerifiedManifest, version: int, manifest_hash: bytes, shown: SignedManifest | None = None
) -> None:
    """What somebody else holds as a manifest of this account, own or a contact's, against the chain known here (A10).

    Raises ManifestGap for a newer version: fetch it, as the owner at once, for it made none. Raises SplitView for
    another manifest of a known version; if the gossiper shows its copy and that is validly signed, ManifestFork with
    both as evidence. A version from before the known chain says nothing.
    """
    if not version or version < known.chain[0].manifest.version:
        return
    if version <= known.version:
        signed = known.signed(version)
        if signed is not None and signed.hash == manifest_hash:
            return
        if shown is not None and shown.hash == manifest_hash:
            verify_chain(known.account_id, known, [shown])
        raise SplitView(f"somebody was shown another version {version} of this account's manifest")
    known.require(version, manifest_hash)
