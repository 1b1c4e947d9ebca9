"""What the audit log is made of: the bytes of a row and of a head; docs/decisions/0020-audit-log.md.

The tree holds the hashes of rows, and a row covers only salted hashes of who did it and to whom: with the salt gone an id
is gone, and with the details gone a row is, while the tree stays. Knows neither who signs nor what is recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Final

from .errors import Malformed
from .merkle import grown, leaf_hash, root_over
from .transcripts import AUDIT_HEAD_LABEL, AUDIT_PARTY_LABEL, AUDIT_ROW_LABEL, parse_transcript, transcript

SALT_BYTES: Final = 16
DAY_MS: Final = 86_400_000


def day_of(time_ms: int) -> int:
    """When the day (UTC) of this time began: how rows are dated whose exact time would tell something of somebody."""
    return time_ms // DAY_MS * DAY_MS


class PartyKind(IntEnum):
    """What somebody, or something, in a row is."""

    NOBODY = 0
    RELAY = 1
    OPERATOR = 2
    ACCOUNT = 3
    INVITE = 4


@dataclass(frozen=True, slots=True)
class Party:
    """Who does something, or what it is done to. `id`: an operator's uid as u32, 32 B account id, an invite's name."""

    kind: PartyKind
    id: bytes = b""

    @classmethod
    def operator(cls, uid: int) -> "Party":
        """Whoever asked through the control socket, as this user of the machine."""
        return cls(PartyKind.OPERATOR, uid.to_bytes(4, "big"))

    @classmethod
    def account(cls, account_id: bytes) -> "Party":
        """An account of this relay."""
        return cls(PartyKind.ACCOUNT, account_id)

    @classmethod
    def invite(cls, name: str) -> "Party":
        """An invite, by the name that `invite list` prints."""
        return cls(PartyKind.INVITE, name.encode())


NOBODY: Final = Party(PartyKind.NOBODY)
RELAY: Final = Party(PartyKind.RELAY)


@dataclass(frozen=True, slots=True)
class KeptParty:
    """A party as a row keeps it: its id with a 16 B salt, or, once it was erased, only the 32 B hash over both."""

    kind: int
    id: bytes | None
    salt: bytes | None = field(repr=False)
    hash: bytes | None = None

    @property
    def erased(self) -> bool:
        """Whether nobody can tell any more who it was."""
        return self.hash is not None

    @property
    def commitment(self) -> bytes:
        """32 B: what the row's hash covers; the same before and after it was erased. Raises Malformed for half a party."""
        if self.hash is not None and self.id is None and self.salt is None:
            return self.hash
        if self.id is None or self.salt is None or self.hash is not None:
            raise Malformed("a party is its id and salt, or their hash")
        return sha256(transcript(AUDIT_PARTY_LABEL, bytes((self.kind,)), self.salt, self.id)).digest()

    def erase(self) -> "KeptParty":
        """The same without id and salt."""
        return KeptParty(self.kind, None, None, self.commitment)


@dataclass(frozen=True, slots=True)
class Details:
    """What a row says: words of fixed vocabularies alone. `outcome` is empty when it was done, else the code of the refusal.

    `detail` is a role's name, a number, or the word that is the reason of a hold.
    """

    action: str
    actor: KeptParty
    subject: KeptParty
    outcome: str = ""
    detail: str = ""

    def hash(self, at_ms: int, before: bytes) -> bytes:
        """32 B: the leaf, which also covers when it was, and the 64 B signature of the row before (empty: none before)."""
        row = transcript(
            AUDIT_ROW_LABEL,
            at_ms.to_bytes(8, "big"),
            self.action.encode(),
            bytes((self.actor.kind,)) + self.actor.commitment,
            bytes((self.subject.kind,)) + self.subject.commitment,
            self.outcome.encode(),
            self.detail.encode(),
            before,
        )
        return leaf_hash(row)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row as it is kept, from 0; `details` are None once they were dropped for their age, then time (0) and signature too.

    `signature` (64 B) is the relay's over the head that the log had with this row as its newest. Of the last row without
    details time and signature stay: the next row covers them.
    """

    index: int
    at_ms: int
    details: Details | None
    leaf_hash: bytes
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class Tip:
    """Where a log stands: rows, hashes of its complete subtrees (32 B, largest first), signature of the newest row."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    signature: bytes = b""

    @property
    def root(self) -> bytes:
        """32 B."""
        return root_over(self.peaks)

    def with_leaf(self, hashed: bytes, signature: bytes) -> "Tip":
        """One row further."""
        return Tip(self.size + 1, grown(self.peaks, self.size, hashed), signature)

    def append(self, at_ms: int, details: Details, sign: Callable[[bytes], bytes]) -> tuple[AuditRow, "Tip"]:
        """The next row, and where the log stands with it; `sign` makes 64 B of a transcript."""
        hashed = details.hash(at_ms, self.signature)
        unsigned = self.with_leaf(hashed, b"")
        signature = sign(audit_head_transcript(unsigned.size, unsigned.root, at_ms))
        return AuditRow(self.size, at_ms, details, hashed, signature), Tip(
            unsigned.size, unsigned.peaks, signature
        )


def audit_head_transcript(size: int, root: bytes, time_ms: int) -> bytes:
    """What the relay signs of its audit log."""
    return transcript(AUDIT_HEAD_LABEL, size.to_bytes(8, "big"), root, time_ms.to_bytes(8, "big"))


@dataclass(frozen=True, slots=True)
class AuditHead:
    """What a signed head says: at `time_ms` the log had so many rows, and this root over them."""

    size: int
    root: bytes
    time_ms: int


def parse_audit_head(body: bytes) -> AuditHead:
    """What a head's transcript says; raises Malformed."""
    fields = parse_transcript(AUDIT_HEAD_LABEL, body)
    if [len(each) for each in fields] != [8, 32, 8]:
        raise Malformed("a head is a size, a root and a time")
    size, root, time_ms = fields
    return AuditHead(int.from_bytes(size, "big"), root, int.from_bytes(time_ms, "big"))
