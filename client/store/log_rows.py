"""What is kept of the relay's log: heads, those that no proof has connected yet, the own proof; alarms and their evidence."""

from dataclasses import dataclass
from typing import Final

from crypto.limits import DAY_MS
from crypto.transparency import SignedHead

from .database import Transaction

MAX_UNCONNECTED: Final = 16  # heads of one source; the oldest go first
MAX_SOURCES: Final = 1_000


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log of this relay: its largest head, and the time of the first one seen."""

    head: SignedHead
    first_ms: int


@dataclass(frozen=True, slots=True)
class Unconnected:
    """A head to be connected with the known one; `source` is the account that told it, empty for the relay itself."""

    source: bytes
    head: SignedHead
    since_ms: int
    told: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """An alarm, and the two objects that contradict each other."""

    kind: str
    account_id: bytes
    at_ms: int
    known: bytes
    other: bytes


def known_logs(tx: Transaction) -> list[KnownLog]:
    """All logs that this relay signed for, the present one first."""
    rows = tx.all("SELECT head, first_ms FROM log_heads ORDER BY place DESC")
    return [KnownLog(SignedHead.parse(head), first_ms) for head, first_ms in rows]


def keep_head(tx: Transaction, head: SignedHead) -> None:
    """The largest head of its log so far; a log that was not known is the present one from here on.

    It began after everything that was signed of the one before, also where a clock was set back meanwhile.
    """
    before_ms = max((each.head.time_ms for each in known_logs(tx)), default=0)
    tx.run(
        "INSERT INTO log_heads (log_id, head, first_ms, place)"
        " VALUES (?, ?, ?, (SELECT coalesce(max(place), 0) + 1 FROM log_heads))"
        " ON CONFLICT (log_id) DO UPDATE SET head = excluded.head",
        head.log_id,
        head.encode(),
        max(head.time_ms, before_ms),
    )


def add_unconnected(tx: Transaction, source: bytes, head: SignedHead, now_ms: int) -> None:
    """Connect it later. Of one account the newest counts, of the relay several."""
    most = 1 if source else MAX_UNCONNECTED
    tx.run(
        "INSERT INTO log_unconnected (source, head, since_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        source,
        head.encode(),
        now_ms,
    )
    tx.run(
        "DELETE FROM log_unconnected WHERE source = ? AND head NOT IN"
        " (SELECT head FROM log_unconnected WHERE source = ? ORDER BY rowid DESC LIMIT ?)",
        source,
        source,
        most,
    )
    tx.run(
        "DELETE FROM log_unconnected WHERE rowid <= (SELECT max(rowid) FROM log_unconnected) - ?", MAX_SOURCES
    )


def unconnected(tx: Transaction) -> list[Unconnected]:
    """What is to be connected, oldest first."""
    rows = tx.all("SELECT source, head, since_ms, told FROM log_unconnected ORDER BY rowid")
    return [
        Unconnected(source, SignedHead.parse(head), since, bool(told)) for source, head, since, told in rows
    ]


def remove_unconnected(tx: Transaction, head: SignedHead) -> None:
    """It is connected, or never will be."""
    tx.run("DELETE FROM log_unconnected WHERE head = ?", head.encode())


def mark_unconnected_told(tx: Transaction, head: SignedHead) -> None:
    """The user knows that it waits."""
    tx.run("UPDATE log_unconnected SET told = 1 WHERE head = ?", head.encode())


def forget_logs(tx: Transaction) -> None:
    """All heads and the own proof go, as before the first contact; the evidence stays."""
    for table in ("log_heads", "log_unconnected", "log_own_proof"):
        tx.run(f"DELETE FROM {table}")  # noqa: S608  # names of this file


def keep_own_proof(tx: Transaction, manifest_hash: bytes, proof: bytes) -> None:
    """The newest proof for the own manifest of this 32 B hash."""
    tx.run(
        "INSERT INTO log_own_proof (only_one, manifest_hash, proof) VALUES (1, ?, ?) ON CONFLICT (only_one)"
        " DO UPDATE SET manifest_hash = excluded.manifest_hash, proof = excluded.proof",
        manifest_hash,
        proof,
    )


def own_proof(tx: Transaction, manifest_hash: bytes) -> bytes:
    """The proof for the own manifest of this hash, or nothing."""
    row = tx.one("SELECT proof FROM log_own_proof WHERE manifest_hash = ?", manifest_hash)
    return b"" if row is None else bytes(row[0])


def keep_evidence(
    tx: Transaction, kind: str, account_id: bytes, known: bytes, other: bytes, now_ms: int
) -> bool:
    """Keep both objects of an alarm; False if it is kept already.

    A relay that goes on deceiving signs ever new heads against the same known one: of those one a day is enough.
    """
    if kind.startswith("log_") and tx.one(
        "SELECT 1 FROM evidence WHERE kind = ? AND account_id = ? AND known = ? AND at_ms > ? AND at_ms <= ?",
        kind,
        account_id,
        known,
        now_ms - DAY_MS,
        now_ms,
    ):
        return False
    return bool(
        tx.all(
            "INSERT INTO evidence (kind, account_id, at_ms, known, other) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING n",
            kind,
            account_id,
            now_ms,
            known,
            other,
        )
    )


def all_evidence(tx: Transaction) -> list[Evidence]:
    """Every alarm that was ever raised here, oldest first."""
    rows = tx.all("SELECT kind, account_id, at_ms, known, other FROM evidence ORDER BY n")
    return [Evidence(*row) for row in rows]


def note_made(tx: Transaction, manifest_hash: bytes) -> None:
    """This device signed the own manifest of this hash: call it before the relay sees that."""
    tx.run("INSERT INTO own_manifests_made (hash) VALUES (?) ON CONFLICT DO NOTHING", manifest_hash)


def was_made_here(tx: Transaction, manifest_hash: bytes) -> bool:
    """Whether this device signed it."""
    return tx.one("SELECT 1 FROM own_manifests_made WHERE hash = ?", manifest_hash) is not None
