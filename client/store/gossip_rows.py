"""What is kept of gossip: what each contact was told last, what contacts claim, and which manifests they are to show."""

from dataclasses import dataclass
from typing import Final

from .database import Transaction

MAX_CLAIMS: Final = 16  # of one contact about one account: the newest


@dataclass(frozen=True, slots=True)
class Claim:
    """`source` holds a manifest of `about`, of this version and 32 B hash."""

    about: bytes
    version: int
    hash: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A signed manifest of `about` that `source` is to show."""

    source: bytes
    about: bytes
    version: int
    hash: bytes


def told(tx: Transaction, account_id: bytes) -> tuple[bytes, int]:
    """(What this contact was told last of the manifests on both sides, when); empty and 0 for never."""
    row = tx.one("SELECT told, at_ms FROM gossip_told WHERE account_id = ?", account_id)
    return (b"", 0) if row is None else (row[0], row[1])


def note_told(tx: Transaction, account_id: bytes, what: bytes, now_ms: int) -> None:
    """It is in a content that is on its way."""
    tx.run(
        "INSERT INTO gossip_told (account_id, told, at_ms) VALUES (?, ?, ?) ON CONFLICT (account_id)"
        " DO UPDATE SET told = excluded.told, at_ms = excluded.at_ms",
        account_id,
        what,
        now_ms,
    )


def add_claim(tx: Transaction, claim: Claim) -> None:
    """To be compared once the newer manifests are here."""
    tx.run(
        "INSERT INTO gossip_claims (about, version, hash, source) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        claim.about,
        claim.version,
        claim.hash,
        claim.source,
    )
    tx.run(
        "DELETE FROM gossip_claims WHERE about = ? AND source = ? AND rowid NOT IN (SELECT rowid FROM gossip_claims"
        " WHERE about = ? AND source = ? ORDER BY rowid DESC LIMIT ?)",
        claim.about,
        claim.source,
        claim.about,
        claim.source,
        MAX_CLAIMS,
    )


def claims_about(tx: Transaction, about: bytes) -> list[Claim]:
    """What is claimed of this account."""
    rows = tx.all("SELECT about, version, hash, source FROM gossip_claims WHERE about = ?", about)
    return [Claim(*row) for row in rows]


def claimed_accounts(tx: Transaction) -> list[bytes]:
    """The accounts of which a newer manifest is claimed than is known here."""
    return [about for (about,) in tx.all("SELECT DISTINCT about FROM gossip_claims")]


def remove_claim(tx: Transaction, claim: Claim) -> None:
    """It was compared."""
    tx.run(
        "DELETE FROM gossip_claims WHERE about = ? AND version = ? AND hash = ? AND source = ?",
        claim.about,
        claim.version,
        claim.hash,
        claim.source,
    )


def want(tx: Transaction, wanted: Wanted) -> None:
    """Ask for it; once."""
    tx.run(
        "INSERT INTO evidence_wanted (source, about, version, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        wanted.source,
        wanted.about,
        wanted.version,
        wanted.hash,
    )


def take_unasked(tx: Transaction) -> list[Wanted]:
    """What was not asked for yet; it counts as asked now."""
    rows = tx.all("SELECT source, about, version, hash FROM evidence_wanted WHERE asked = 0")
    tx.run("UPDATE evidence_wanted SET asked = 1 WHERE asked = 0")
    return [Wanted(*row) for row in rows]


def find_wanted(tx: Transaction, wanted: Wanted) -> bool:
    """Whether this contact was asked for it."""
    return (
        tx.one(
            "SELECT 1 FROM evidence_wanted WHERE source = ? AND about = ? AND version = ? AND hash = ?",
            wanted.source,
            wanted.about,
            wanted.version,
            wanted.hash,
        )
        is not None
    )


def remove_wanted(tx: Transaction, wanted: Wanted) -> None:
    """It was shown."""
    tx.run(
        "DELETE FROM evidence_wanted WHERE source = ? AND about = ? AND version = ? AND hash = ?",
        wanted.source,
        wanted.about,
        wanted.version,
        wanted.hash,
    )


def note_shown(tx: Transaction, account_id: bytes, about: bytes, version: int) -> bool:
    """This contact is shown this manifest; False if it was before."""
    return bool(
        tx.all(
            "INSERT INTO evidence_shown (account_id, about, version) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            " RETURNING 1",
            account_id,
            about,
            version,
        )
    )
