"""Commits: several changes of a group at once, signed by the device that makes them, hash-chained by states.

The first fields are the same in every format that will ever be, so that a signature can be checked before a client
says that a commit is too new for it. Whether a commit may be made is for `group_rules`. docs/protocol.md, "Groups",
"Commits".
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from struct import Struct
from typing import Final

from . import labels, limits
from .errors import GroupTooNew, InvalidEncoding
from .group_changes import Change, encode_change, parse_change
from .keys import LocalDevice
from .transcript import parse_transcript, transcript, u64

__all__ = ["FORMAT", "Commit", "CommitHead", "CommitKind", "SignedCommit", "sign_commit"]

FORMAT: Final = 1
_HEAD: Final = Struct(">BB")  # format, kind
_HEAD_FIELDS: Final = 7


class CommitKind(IntEnum):
    """What a commit does to the epoch."""

    PLAIN = 0  # epoch and chains stay
    CUT = 1  # a new epoch with a fresh secret; all chains end
    STEP = 2  # broadcast only: the next secret follows from the last, chains stay


@dataclass(frozen=True, slots=True)
class CommitHead:
    """What a commit of any format begins with."""

    form: int
    kind: int
    group_id: bytes
    previous_hash: bytes
    """32 B; empty in the commit that creates the group."""
    account: bytes
    device: bytes
    manifest_version: int
    """Of the committer: the version that lists the device."""
    made_at_ms: int

    @classmethod
    def parse(cls, fields: tuple[bytes, ...]) -> "CommitHead":
        """Of the fields of a commit, or InvalidEncoding."""
        if len(fields) < _HEAD_FIELDS:
            raise InvalidEncoding("a commit with too few fields")
        head, group_id, previous, account, device, version, made_at_ms = fields[:_HEAD_FIELDS]
        lengths = [len(head), len(group_id), len(account), len(device), len(version), len(made_at_ms)]
        if lengths != [2, 32, 32, 16, 8, 8] or len(previous) not in (0, 32):
            raise InvalidEncoding("a commit with a field of another length")
        form, kind = _HEAD.unpack(head)
        numbers = int.from_bytes(version, "big"), int.from_bytes(made_at_ms, "big")
        return cls(form, kind, group_id, previous, account, device, *numbers)

    def encode(self) -> tuple[bytes, ...]:
        """The first seven fields."""
        return (
            _HEAD.pack(self.form, self.kind),
            self.group_id,
            self.previous_hash,
            self.account,
            self.device,
            u64(self.manifest_version),
            u64(self.made_at_ms),
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """One difference: from the state of `head.previous_hash` to the next one."""

    head: CommitHead
    commitment: bytes
    """32 B in a cut, else empty."""
    changes: tuple[Change, ...]

    @property
    def kind(self) -> CommitKind:
        """What it does to the epoch."""
        return CommitKind(self.head.kind)

    def encode(self) -> bytes:
        """The transcript that is signed."""
        changes = map(encode_change, self.changes)
        return transcript(labels.GROUP_COMMIT, *self.head.encode(), self.commitment, *changes)

    @classmethod
    def parse(cls, data: bytes) -> "Commit":
        """Inverse of `encode`; InvalidEncoding, or GroupTooNew for a format, kind or change that is not known here."""
        fields = parse_transcript(labels.GROUP_COMMIT, data)
        head = CommitHead.parse(fields)
        if head.form != FORMAT or head.kind not in tuple(CommitKind):
            raise GroupTooNew(f"a commit of format {head.form}, kind {head.kind}; this build reads {FORMAT}")
        commitment, changes = (*fields[_HEAD_FIELDS : _HEAD_FIELDS + 1], b""), fields[_HEAD_FIELDS + 1 :]
        if len(commitment[0]) != (limits.HASH_BYTES if head.kind == CommitKind.CUT else 0):
            raise InvalidEncoding("a cut names the commitment of its secret, and no other commit does")
        if len(changes) > limits.MAX_COMMIT_CHANGES:
            raise InvalidEncoding(f"more than {limits.MAX_COMMIT_CHANGES} changes in one commit")
        return cls(head, commitment[0], tuple(map(parse_change, changes)))


@dataclass(frozen=True)
class SignedCommit:
    """The exact body and the 64 B signature of the committing device over it."""

    body: bytes
    signature: bytes

    @cached_property
    def head(self) -> CommitHead:
        """What can be read of a commit of any format."""
        return CommitHead.parse(parse_transcript(labels.GROUP_COMMIT, self.body))

    @cached_property
    def commit(self) -> Commit:
        """The parsed body."""
        return Commit.parse(self.body)

    def encode(self) -> bytes:
        """64 B signature ‖ body."""
        return self.signature + self.body

    @classmethod
    def parse(cls, data: bytes) -> "SignedCommit":
        """Inverse of `encode`; the body is parsed when it is asked for."""
        if len(data) < limits.ED25519_SIGNATURE_BYTES:
            raise InvalidEncoding("a commit is shorter than its signature")
        return cls(data[limits.ED25519_SIGNATURE_BYTES :], data[: limits.ED25519_SIGNATURE_BYTES])


def sign_commit(commit: Commit, device: LocalDevice) -> SignedCommit:
    """The commit of this device."""
    body = commit.encode()
    return SignedCommit(body, device.signing.sign(body))
