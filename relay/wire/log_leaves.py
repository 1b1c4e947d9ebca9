"""What the transparency log is made of: the bytes of a leaf and of a head; docs/protocol.md, "Transparency".

Knows neither trees (merkle.py) nor who signs.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .transcripts import LOG_HANDLE_LABEL, LOG_HEAD_LABEL, LOG_LEAF_LABEL, transcript

HANDLE_SALT_BYTES: Final = 16
NOBODY: Final = hashlib.sha256(b"").digest()
"""The value of a handle's leaf once it was given back, and of an account's last leaf once it was deleted."""


class LeafKind(IntEnum):
    """What a leaf is about."""

    MANIFEST = 1
    HANDLE = 2


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry: 32 B account id with the manifest's hash, or 32 B salted hash of a handle with that of its account's id."""

    kind: LeafKind
    subject: bytes
    version: int
    value_hash: bytes

    def encode(self) -> bytes:
        """The bytes that are hashed into the tree."""
        return transcript(
            LOG_LEAF_LABEL,
            bytes((self.kind,)),
            self.subject,
            self.version.to_bytes(8, "big"),
            self.value_hash,
        )


def manifest_leaf(account_id: bytes, version: int, manifest_hash: bytes) -> Leaf:
    """The leaf of a manifest."""
    return Leaf(LeafKind.MANIFEST, account_id, version, manifest_hash)


def account_gone_leaf(account_id: bytes, version: int) -> Leaf:
    """The last leaf of an account, in the place of the manifest that would have come next: it was deleted."""
    return Leaf(LeafKind.MANIFEST, account_id, version, NOBODY)


def handle_leaf(subject: bytes, version: int, account_id: bytes | None) -> Leaf:
    """The leaf of a handle that was bound to an account, or given back (None)."""
    value_hash = NOBODY if account_id is None else hashlib.sha256(account_id).digest()
    return Leaf(LeafKind.HANDLE, subject, version, value_hash)


def handle_salt(key: bytes, handle: str) -> bytes:
    """16 B that only this log gives this handle, the same each time: whoever may look it up is told, and nobody else."""
    return hmac.digest(key, handle.encode(), "sha256")[:HANDLE_SALT_BYTES]


def handle_subject(salt: bytes, handle: str) -> bytes:
    """32 B: the salted hash under which the log has a handle."""
    return hashlib.sha256(transcript(LOG_HANDLE_LABEL, salt, handle.encode())).digest()


def head_transcript(log_id: bytes, size: int, root: bytes, time_ms: int) -> bytes:
    """What the relay signs of its log."""
    return transcript(LOG_HEAD_LABEL, log_id, size.to_bytes(8, "big"), root, time_ms.to_bytes(8, "big"))
